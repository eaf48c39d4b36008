"""How a deployment's answers did span by span of data time, for pages that ask every other second.

Counting takes the store's thread time in proportion to the requests in a span. The span under way may take a tenth of
that time, and all those that are over together another tenth: see :mod:`gateway.edge.dear`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.edge.dear import Dear
from gateway.edge.run import Run
from gateway.ports import Clock, VariantPerformance


@dataclass(frozen=True, slots=True)
class Span:
    """One span: (``after``, ``until``] in data time (seconds)."""

    after: float
    until: float
    rows: tuple[VariantPerformance, ...]


class Counts(Protocol):
    """The part of the event log that counts."""

    def performance(self, deployment: str, after: float, until: float) -> Sequence[VariantPerformance]:
        """Count what each variant answered with data time in (``after``, ``until``]."""


class Pulse:
    """Counts spans that begin at multiples of their length, and remembers them for a while."""

    def __init__(self, log: Counts, clock: Clock, run: Run) -> None:
        self._log = log
        self._dear = Dear[tuple[VariantPerformance, ...]](clock, run)

    async def spans(self, deployment: str, width_s: float, count: int, now: float) -> list[Span]:
        """The last ``count`` spans of ``width_s`` seconds, oldest first; the last one is still under way at ``now``."""
        first = now // width_s - count + 1
        return [
            await self._span(deployment, (first + number) * width_s, width_s, 1 if number == count - 1 else count)
            for number in range(count)
        ]

    async def _span(self, deployment: str, after: float, width_s: float, sharing: int) -> Span:
        until = after + width_s
        key = (deployment, width_s, after)
        rows = await self._dear.get(key, lambda: tuple(self._log.performance(deployment, after, until)), sharing)
        return Span(after, until, rows)
