"""Keeps what was dear to work out for as long as it was dear, so that pages never hold the store's thread up.

That thread drains the spools and judges. A page that counts a million requests every other second would stand in its
way; so an answer that took a second is given again for ten, whoever asks, and one that took nothing is never kept.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from gateway.edge.run import Run
from gateway.ports import Clock

SHARE = 0.1
"""Of the store thread's time that all answers of one kind may take together."""
LONGEST_S = 300.0
_MOST = 10_000

_T = TypeVar("_T")


class Dear(Generic[_T]):
    """Answers by key. Nobody works out the same answer twice at a time."""

    def __init__(self, clock: Clock, run: Run) -> None:
        self._clock = clock
        self._run = run
        self._kept: dict[Hashable, tuple[float, _T]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def get(self, key: Hashable, work: Callable[[], _T], sharing: int = 1) -> _T:
        """Return the answer kept under ``key``, or work it out on the store's thread.

        ``sharing`` is how many keys share one kind's time.
        """
        async with self._one_at_a_time:
            started = self._clock.machine()
            if key in self._kept and started < self._kept[key][0]:
                return self._kept[key][1]
            answer = await self._run(work)
            now = self._clock.machine()
            if len(self._kept) >= _MOST:
                self._kept = {each: kept for each, kept in self._kept.items() if now < kept[0]}
            self._kept[key] = (now + min(LONGEST_S, sharing * (now - started) / SHARE), answer)
            return answer
