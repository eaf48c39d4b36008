"""How a deployment's answers did span by span of data time, for pages that ask every other second.

Counting costs the store's thread time in proportion to the requests in a span, and that thread also drains the spools.
So what was counted is kept for as long as it was dear: however many pages are open, and whatever the traffic, the span
under way takes at most a tenth of that thread's time, and all the others together another.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.edge.run import Run
from gateway.ports import Clock, VariantPerformance

SHARE = 0.1
"""Of the store thread's time."""
_LEAST_KEPT_S, _LONGEST_KEPT_S = 1.0, 300.0


@dataclass(frozen=True, slots=True)
class Span:
    """One span: (``after``, ``until``] in data time (seconds), good until machine time ``kept_until``."""

    after: float
    until: float
    rows: tuple[VariantPerformance, ...]
    kept_until: float


class Counts(Protocol):
    """The part of the event log that counts."""

    def performance(self, deployment: str, after: float, until: float) -> Sequence[VariantPerformance]:
        """Count what each variant answered with data time in (``after``, ``until``]."""


class Pulse:
    """Counts spans that begin at multiples of their length, and remembers them for a while."""

    def __init__(self, log: Counts, clock: Clock, run: Run) -> None:
        self._log = log
        self._clock = clock
        self._run = run
        self._kept: dict[tuple[str, float], dict[float, Span]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def spans(self, deployment: str, width_s: float, count: int, now: float) -> list[Span]:
        """The last ``count`` spans of ``width_s`` seconds, oldest first; the last one is still under way at ``now``."""
        edges = [(now // width_s - number) * width_s for number in reversed(range(count))]
        async with self._one_at_a_time:
            kept = self._kept.get((deployment, width_s), {})
            found = {}
            for after in edges:
                sharing = 1 if after == edges[-1] else count
                found[after] = await self._span(deployment, (after, after + width_s), kept.get(after), sharing)
            self._kept[deployment, width_s] = found
        return list(found.values())

    async def _span(self, deployment: str, edges: tuple[float, float], kept: Span | None, sharing: int) -> Span:
        started = self._clock.machine()
        if kept is not None and started < kept.kept_until:
            return kept
        rows = await self._run(lambda: self._log.performance(deployment, *edges))
        now = self._clock.machine()
        keep = min(_LONGEST_KEPT_S, max(_LEAST_KEPT_S, sharing * (now - started) / SHARE))
        return Span(*edges, tuple(rows), now + keep)
