"""How many requests are let in: a fixed number of outcomes, and as many predictions as this worker can do now.

What does not get in is told so at once, before its body is read as JSON. Shadows go first: they are dropped while half
of the places are still free. Probes have no lane, they always get in.
"""

import asyncio
import math
from collections import deque
from dataclasses import dataclass

from gateway.core.concurrency import Limit, Seen, adapted, opened
from gateway.core.errors import Overloaded

LEAST = 8
"""Places that are always there: fewer would leave the pools of models without work."""
_MOMENT_S = 0.1
_BEAT_S = 0.02
_BEATS = 10
_LATE_S = 0.05


class Lane:
    """Lets at most ``limit`` requests under way at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.under_way = 0

    def enter(self) -> "Lane":
        """Take a place while the context lasts. Raises Overloaded at once when there is none."""
        return self

    def __enter__(self) -> None:
        if self.under_way >= self._limit:
            raise Overloaded(f"This worker has {self._limit} requests under way already.")
        self.under_way += 1

    def __exit__(self, *_: object) -> None:
        self.under_way -= 1


class Pulse:
    """How late this event loop is: where work is done on the loop itself, what waits is in no queue of ours."""

    def __init__(self) -> None:
        self._late = deque([0.0] * _BEATS, maxlen=_BEATS)

    @property
    def late(self) -> bool:
        """Whether every beat lately came late: a queue is standing before the loop."""
        return min(self._late) > _LATE_S

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _BEAT_S
            await asyncio.sleep(_BEAT_S)
            self._late.append(loop.time() - due)


@dataclass(slots=True)
class _Moment:
    """What was seen since machine time ``began``."""

    began: float = 0.0
    answered: int = 0
    fastest: float = math.inf
    most: int = 0
    refused: int = 0


class AdaptiveLane:
    """Lets in what this worker can do, and at most ``greatest`` requests under way at a time."""

    def __init__(self, greatest: int, pulse: Pulse | None = None) -> None:
        self._limit: Limit = opened(LEAST, greatest)
        self._places = int(self._limit.now)
        self._pulse = pulse or Pulse()
        self._moment = _Moment()
        self.under_way = 0

    @property
    def places(self) -> int:
        """Requests that may be under way now."""
        return self._places

    @property
    def crowded(self) -> bool:
        """Whether shadows should stay away."""
        return 2 * self.under_way > self._places or self._pulse.late

    def enter(self) -> None:
        """Take a place. Raises Overloaded at once when there is none; whoever gets one has to :meth:`leave`."""
        if self.under_way >= self._places:
            self._moment.refused += 1
            raise Overloaded(f"This worker has {self.under_way} requests under way and can do no more now.")
        if self._pulse.late:
            self._moment.refused += 1
            raise Overloaded("This worker is behind with its requests.")
        self.under_way += 1
        if self.under_way > self._moment.most:
            self._moment.most = self.under_way

    def leave(self, arrived: float, now: float, *, answered: bool) -> None:
        """Give the place back. Times are machine time; only what was answered tells how fast it is."""
        self.under_way -= 1
        moment = self._moment
        if answered:
            moment.answered += 1
            moment.fastest = min(moment.fastest, now - arrived)
        if now - moment.began >= _MOMENT_S and moment.answered:
            seen = Seen(moment.answered, moment.fastest, moment.most, moment.refused)
            self._limit = adapted(self._limit, seen, now)
            self._places = int(self._limit.now)
            self._moment = _Moment(began=now, most=self.under_way)
