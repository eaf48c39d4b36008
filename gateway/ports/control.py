"""The port of the store's control documents, with their timelines and what the judge remembers."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from gateway.core.audit import Head, Trail
from gateway.core.course import CoursePoint
from gateway.core.events import Decision
from gateway.core.looks import Look, Opening
from gateway.core.state import DeploymentState


class ControlState(Protocol):
    """The store's control documents. Raises StoreUnavailable."""

    def read(self, deployment: str) -> DeploymentState | None:
        """The document as it stands, or None."""

    def all(self) -> list[DeploymentState]:
        """Every deployment's document, by name."""

    def write(self, state: DeploymentState, expected: int, decisions: Sequence[Decision]) -> None:
        """Replace revision ``expected`` (0: there was none) and append the decisions, in one transaction.

        Raises RevisionConflict, and then nothing has changed.
        """

    def timeline(self, deployment: str, limit: int = 100) -> list[Decision]:
        """Decisions, newest first."""

    def judge_state(self, deployment: str, generation: str) -> bytes | None:
        """What the judge of this generation remembered at its last look."""

    def together(self) -> AbstractContextManager[None]:
        """Make one transaction of everything that is written inside: all of it holds, or, if it raises, nothing."""

    def save_look(
        self, deployment: str, generation: str, state: bytes, look: Look, opening: Opening | None = None
    ) -> None:
        """Remember what the judge knows after a look, and the look itself, in one transaction. Moves no revision.

        The first look of a generation comes with its opening; looks of one whose opening was never kept are not
        kept either, since they could not be made again.
        """

    def opening(self, deployment: str, generation: str) -> Opening | None:
        """How a generation's evidence began."""

    def openings(self, deployment: str) -> list[Opening]:
        """The openings of every generation, oldest first."""

    def trail(self) -> Trail:
        """Every timeline with its seals (``core.audit``), which :meth:`write` makes, and the documents' digests."""

    def head(self, deployment: str) -> Head:
        """How long a timeline is, and its last seal."""

    def looks(self, deployment: str, generation: str) -> list[Look]:
        """Every look of a generation, in order."""

    def forget_generation(self, deployment: str, generation: str) -> None:
        """Delete a generation's opening and looks, and what its judge remembered. Its decisions stay."""

    def save_point(self, deployment: str, generation: str, point: CoursePoint) -> None:
        """Keep a point of how a generation's evidence has gone; one of the same look replaces it."""

    def course(self, deployment: str, generation: str) -> list[CoursePoint]:
        """The points kept of a generation, in order."""
