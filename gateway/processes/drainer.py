"""Moves what the workers wrote into the store, and knows how far data time has been drained.

Everything here blocks and runs on the agent's store thread. What a drain means is the spool adapter's business;
this keeps the watermark, the backlog, and the cursors that a look is made with.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from gateway.adapters.spool.drain import Drained, SpoolReader, drain
from gateway.core import watermark
from gateway.core.events import Punctuation
from gateway.core.watermark import Watermark
from gateway.ports import Clock, EventLog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the spool holds and the store does not: bytes, files, and machine time of the count (seconds)."""

    bytes: int = 0
    segments: int = 0
    at: float = 0.0


class Drainer:
    """The spool of this host, from the agent's side."""

    def __init__(self, spool: SpoolReader, events: EventLog, clock: Clock) -> None:
        self._spool = spool
        self._events = events
        self._clock = clock
        self._mark = Watermark()
        self.backlog = Backlog()
        self.begun = False
        """Whether a pass has found nothing more to do: what an earlier run left behind is in the store."""
        self.left: Mapping[str, int] = {}
        """Records by kind that were spooled and not stored when :meth:`spooled` counted last."""

    @property
    def watermark(self) -> float | None:
        """Data time (seconds) up to which everything is in the store; None before the first word."""
        return self._mark.value

    def word(self) -> Punctuation | None:
        """What this host says of data time, over all its live spools; None when none of them says anything."""
        words = self._mark.words.values()
        if not words:
            return None
        busy = [word.low for word in words if word.low is not None]
        return Punctuation(min(busy, default=None), max(word.high for word in words))

    def drain(self) -> Drained:
        """Move one batch of every segment into the store. Raises StoreUnavailable; the next pass goes on from there."""
        drained = drain(self._spool, self._events)
        now = self._clock.machine()
        for spool_id, word in drained.punctuations.items():
            self._clock.observe(word.high)
            self._mark = watermark.hear(self._mark, spool_id, word, now)
        for spool_id in drained.removed:
            self._mark = watermark.leave(self._mark, spool_id)
        self._mark = watermark.advance(self._mark, now)
        self.begun = self.begun or not drained.behind
        self._report(drained)
        return drained

    def drain_all(self, until: float) -> Backlog:
        """Drain until nothing is left or machine time ``until`` has come; says what is left."""
        while True:
            drained = self.drain()
            backlog = self.count()
            if backlog.bytes == 0 or self._clock.machine() >= until:
                return backlog
            if not drained.behind and not drained.removed:  # only what a live writer is in the middle of writing
                return backlog

    def count(self) -> Backlog:
        """Count what is spooled and not stored."""
        cursors = self._events.cursors()
        segments = self._spool.segments()
        waiting = sum(max(0, segment.size - cursors.get(segment.spool_id, 0)) for segment in segments)
        self.backlog = Backlog(waiting, len(segments), self._clock.machine())
        return self.backlog

    def spooled(self) -> dict[str, int]:
        """Count by kind the records that are spooled and not stored; slower than :meth:`count`."""
        cursors = self._events.cursors()
        total: dict[str, int] = {}
        for segment in self._spool.segments():
            for kind, count in self._spool.pending(segment.spool_id, cursors.get(segment.spool_id, 0)).items():
                total[kind] = total.get(kind, 0) + count
        self.left = total
        return total

    def visible(self) -> Mapping[str, int]:
        """Up to which offset of each spool records can be seen now."""
        return self._events.cursors()

    def _report(self, drained: Drained) -> None:
        for spool_id, holes in drained.unreadable.items():
            log.error("spool_damaged", spool=spool_id, holes=len(holes), reason=holes[0].reason)
        for spool_id in drained.torn:
            log.info("spool_torn", spool=spool_id)
        for writer in drained.dead:
            log.warning("worker_died", writer=writer, crashes=drained.events["crash"])
