"""The ports of the hosts around one store: who lives, and who leads."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HostWord:
    """What a host says of itself several times a second. Data times in seconds; ``as_of`` is wall time.

    ``low`` and ``high`` are a Punctuation's, over all its spools, each drained up to there; ``high`` None: no spool of
    its has anything to say. ``loaded`` are the digests that every worker there has warm, ``failed`` those that none can
    load, and why. ``spooled`` counts what it has acknowledged and not drained, by kind.
    """

    host: str
    low: float | None = None
    high: float | None = None
    workers: int = 0
    loaded: frozenset[str] = frozenset()
    failed: dict[str, str] = field(default_factory=dict)
    spooled: dict[str, int] = field(default_factory=dict)
    as_of: float = 0.0
    schema: int = 1


class Hosts(Protocol):
    """The hosts around one store. Raises StoreUnavailable."""

    def beat(self, word: HostWord) -> None:
        """Say that this host lives, and how it is."""

    def live(self) -> list[HostWord]:
        """The last word of every host heard within ``SILENT_AFTER_S`` seconds, by name."""

    def leave(self, host: str) -> None:
        """Forget a host that ends, so that nobody waits for it."""


class Leadership(Protocol):
    """Which of the hosts around one store looks at rollouts: one at a time, its epoch checked at each write."""

    def acquire(self) -> int | None:
        """Take the lead or renew it, for a few seconds; the epoch, or None while another host leads. Never raises."""

    def epoch(self) -> int:
        """The epoch in which this process leads, as it last heard. Raises NotLeading."""

    def reach(self, watermark: float | None) -> float | None:
        """Move the store's watermark (data time; never back) and say where it stands: the next leader goes on there.

        What is drained below it later is reported and never bet on. Raises NotLeading, StoreUnavailable.
        """

    def resign(self) -> None:
        """Let another host lead at once. Raises StoreUnavailable."""
