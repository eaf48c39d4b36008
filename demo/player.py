"""Plays flights against the gateway, many thousand times faster than life, in the order in which things happened.

In every window of data time: the one writer brings the histories up to date, and meanwhile the truth about those that
have landed goes to ``/feedback``; then the flights due to leave ask for a prediction each.
"""

import asyncio
import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from demo.client import Answer, Gateway, timestamp
from demo.writer import HistoryWriter
from models.flights.replay import Flight

WINDOW_S = 600
_FEEDBACK_BATCH = 500


@dataclass(frozen=True, slots=True)
class Figures:
    """A tally as the report shows it."""

    requests: int
    served: dict[str, int]
    fallbacks: int
    degraded: int
    outcomes: int


@dataclass(slots=True)
class Tally:
    """What callers met while an act was played."""

    served: Counter[str] = field(default_factory=Counter)
    fallbacks: int = 0
    degraded: int = 0
    outcomes: int = 0
    landed: list[str] = field(default_factory=list)
    """Predictions whose truth was posted, by id."""
    started: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """How long it has been played, in machine seconds."""
        return time.monotonic() - self.started

    def figures(self) -> "Figures":
        """Put the counts into the report's words."""
        return Figures(self.requests, dict(self.served), self.fallbacks, self.degraded, self.outcomes)

    @property
    def requests(self) -> int:
        """How many predictions were asked for and answered with 200."""
        return self.served.total()

    def count(self, answer: Answer) -> None:
        """Take one answer into account."""
        self.served[answer.variant] += 1
        self.fallbacks += answer.fallback
        self.degraded += answer.degraded


@dataclass
class Player:
    """Holds what is in the air: flights that have asked for a prediction and not landed yet."""

    gateway: Gateway
    writer: HistoryWriter
    watch: Callable[[float, Tally], None]
    now: float = 0.0
    began: float | None = None
    """Data time of the first flight since somebody set it to None."""
    _landing: list[tuple[float, str, int]] = field(default_factory=list)

    async def play(self, flights: Iterable[Flight], tally: Tally, until: asyncio.Event | None = None) -> Tally:
        """Play flights until there are none left or ``until`` is set; returns the tally."""
        for index, window in groupby(flights, key=lambda flight: int(flight.at // WINDOW_S)):
            if until is not None and until.is_set():
                break
            due = list(window)
            self.began = due[0].at if self.began is None else self.began
            await asyncio.gather(self.writer.advance(float(index * WINDOW_S)), self._land(self.now, tally))
            await asyncio.gather(*(self._ask(flight, tally) for flight in due))
            self.now = due[-1].at
            self.watch(self.now, tally)
        await self._land(self.now, tally)
        return tally

    async def land_all(self, tally: Tally) -> None:
        """Let everything in the air land, so that no label is outstanding."""
        if self._landing:
            self.now = max(landing[0] for landing in self._landing)
            await self._land(self.now, tally)

    async def _ask(self, flight: Flight, tally: Tally) -> None:
        answer = await self.gateway.predict(flight.entities, flight.features, flight.at)
        tally.count(answer)
        if flight.late is not None and flight.landed_at is not None:
            heapq.heappush(self._landing, (flight.landed_at, answer.prediction_id, flight.late))

    async def _land(self, now: float, tally: Tally) -> None:
        landed: list[dict[str, Any]] = []
        while self._landing and self._landing[0][0] <= now:
            at, prediction_id, late = heapq.heappop(self._landing)
            landed.append({"prediction_id": prediction_id, "outcome": late, "observed_at": timestamp(at)})
            tally.landed.append(prediction_id)
        for start in range(0, len(landed), _FEEDBACK_BATCH):
            tally.outcomes += await self.gateway.feedback(landed[start : start + _FEEDBACK_BATCH])
