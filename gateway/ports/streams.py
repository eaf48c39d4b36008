"""What goes out to a broker and what comes in from one, and the outbox between the store and it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gateway.core.envelopes import Envelope, Told


@dataclass(frozen=True, slots=True)
class Untold:
    """An event that the outside has yet to be told of. ``number`` orders it, ``id`` is its own for ever."""

    number: int
    id: str
    event: Told


class Outbox(Protocol):
    """Events that wait to be told to the outside, put there by the transaction that stores them.

    They stay until they are said to be told, so each is told at least once. May block. Raises StoreUnavailable.
    """

    def untold(self, limit: int) -> list[Untold]:
        """At most ``limit`` of them, oldest first."""

    def told(self, numbers: Collection[int]) -> None:
        """Let go of these; those that are gone are fine."""

    def waiting(self) -> int:
        """How many wait, within a few."""

    def give_up(self, most: int) -> int:
        """Let go of the oldest beyond about ``most``; says how many."""


class Delivery(Enum):
    """What became of an event that was sent."""

    TOLD = "told"
    """The broker has it, on as many replicas as it was asked for."""
    FAILED = "failed"
    """Nobody knows that it has; to be sent again."""
    REFUSED = "refused"
    """It never will, however often it is asked: too large, or not to its mind."""


class EventSink(Protocol):
    """Somebody outside who is told of events."""

    def send(self, envelopes: Sequence[Envelope]) -> list[Delivery]:
        """Send these and wait for word of each, in their order. Never raises; may block for seconds."""

    def close(self) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that may tell outcomes, as it came: ``place`` is its topic, partition and offset."""

    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    place: tuple[str, int, int] = ("", 0, 0)


class OutcomeSource(Protocol):
    """Somebody outside who tells outcomes. May block; what is not said to be done is delivered again."""

    def take(self, most: int, within_s: float) -> list[Incoming]:
        """At most ``most`` messages, those that come within ``within_s`` machine seconds. Never raises."""

    def put_aside(self, refused: Sequence[tuple[Incoming, str]]) -> bool:
        """Keep messages that cannot be taken, each with the reason, where people find them. True: all are kept."""

    def done(self, messages: Sequence[Incoming]) -> None:
        """These need not come again. Never raises: what cannot be said is only delivered once more."""

    def again(self, messages: Sequence[Incoming]) -> None:
        """Deliver these again, and what comes behind them. Never raises."""

    def close(self) -> None:
        """Leave; others take what is not done."""
