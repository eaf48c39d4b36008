"""Control documents and decisions as JSON: strict about what it knows, blind to what a later version added."""

from functools import lru_cache

import msgspec

from gateway.core.course import CoursePoint
from gateway.core.errors import RevisionConflict, StoreUnavailable
from gateway.core.events import Decision
from gateway.core.looks import Opening
from gateway.core.state import DeploymentState

_ENCODER = msgspec.json.Encoder()
_STATES = msgspec.json.Decoder(DeploymentState)
_DECISIONS = msgspec.json.Decoder(Decision)
_OPENINGS = msgspec.json.Decoder(Opening)
_POINTS = msgspec.json.Decoder(CoursePoint)


def encode(document: DeploymentState | Decision | Opening | CoursePoint) -> str:
    """Write a document as JSON."""
    return _ENCODER.encode(document).decode()


@lru_cache(maxsize=1_024)
def decode_state(text: str) -> DeploymentState:
    """Read a control document; one that is read again and again, as every look does, once.

    Raises StoreUnavailable when it is none.
    """
    try:
        return _STATES.decode(text)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"A control document in the store cannot be read: {error}") from error


def decode_decision(text: str) -> Decision:
    """Read a line of a timeline. Raises StoreUnavailable when it is none."""
    try:
        return _DECISIONS.decode(text)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"A decision in the store cannot be read: {error}") from error


def decode_opening(text: str) -> Opening:
    """Read how a generation began. Raises StoreUnavailable when it is none."""
    try:
        return _OPENINGS.decode(text)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"The opening of a generation in the store cannot be read: {error}") from error


def decode_point(text: str) -> CoursePoint:
    """Read a point of a candidate's course. Raises StoreUnavailable when it is none."""
    try:
        return _POINTS.decode(text)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"A point of a candidate's course in the store cannot be read: {error}") from error


def check_revision(state: DeploymentState, expected: int, found: int) -> None:
    """Hold a write to compare-and-set: it was made for the revision that is there, and moves on from it.

    Raises RevisionConflict, and ValueError for a document that would not move the revision.
    """
    if found != expected:
        raise RevisionConflict(expected, found)
    if state.revision <= expected:
        raise ValueError(f"revision {state.revision} does not follow {expected}")
