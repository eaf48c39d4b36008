"""How answers did week by week of data time, for people who wonder whether a model is growing old.

Counting a week costs the store's thread some time, so a week that is over is counted again only every few minutes:
late labels still find their way in.
"""

from dataclasses import dataclass

from gateway.edge.run import Run
from gateway.ports import Clock, EventLog, VariantPerformance

WEEK_S = 7 * 86_400.0
WEEKS = 12
_KEEP_S = 300.0


@dataclass(frozen=True, slots=True)
class Week:
    """One week: (``after``, ``until``] in data time (seconds), and what was counted at machine time ``counted_at``."""

    after: float
    until: float
    rows: tuple[VariantPerformance, ...]
    counted_at: float


class Trend:
    """Counts weeks and remembers them for a while."""

    def __init__(self, log: EventLog, clock: Clock, run: Run) -> None:
        self._log = log
        self._clock = clock
        self._run = run
        self._kept: dict[tuple[str, float], Week] = {}

    async def weeks(self, deployment: str, now: float) -> list[Week]:
        """The last weeks in which anything was answered, oldest first; weeks begin at multiples of their length."""
        first = (now // WEEK_S - WEEKS + 1) * WEEK_S
        found = [await self._week(deployment, first + number * WEEK_S, now) for number in range(WEEKS)]
        self._kept = {key: week for key, week in self._kept.items() if key[0] != deployment or key[1] >= first}
        return [week for week in found if week.rows]

    async def _week(self, deployment: str, after: float, now: float) -> Week:
        until, machine = after + WEEK_S, self._clock.machine()
        kept = self._kept.get((deployment, after))
        if kept is not None and kept.until < now and machine - kept.counted_at < _KEEP_S:
            return kept
        rows = await self._run(lambda: self._log.performance(deployment, after, until))
        self._kept[deployment, after] = Week(after, until, tuple(rows), machine)
        return self._kept[deployment, after]
