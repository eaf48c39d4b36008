"""Letting go of what nobody needs any more: prepared models without a name, outcomes whose prediction never came."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from gateway.adapters.models.prepare import ModelCache
from gateway.core.errors import StoreUnavailable
from gateway.ports import EXPIRED_AT_ONCE, Clock, EventLog

_EVERY_S = 600.0
_UNNAMED_MODEL_S = 3_600.0

Run = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]


class Sweeping:
    """A duty of every host. ``ttl_s`` is how long (data time) an outcome waits for its prediction.

    ``named`` gives the digests of the models that some table or worker names. ``run`` does work on the store's thread.
    """

    def __init__(
        self, cache: ModelCache, log: EventLog, clock: Clock, run: Run, named: Callable[[], set[str]], ttl_s: float
    ) -> None:
        self._cache, self._log, self._clock, self._run = cache, log, clock, run
        self._named, self._ttl_s = named, ttl_s

    async def run(self) -> None:
        """Sweep, every ten minutes, for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await asyncio.to_thread(self._cache.prune, self._named(), self._clock.wall() - _UNNAMED_MODEL_S)
            with contextlib.suppress(StoreUnavailable):  # there is another time
                await self.expire()

    async def expire(self) -> int:
        """Give up every outcome that has waited too long, so many at a time that a drain gets its turn in between."""
        before, expired, gone = self._clock.data() - self._ttl_s, 0, EXPIRED_AT_ONCE
        while gone >= EXPIRED_AT_ONCE:
            gone = await self._run(partial(self._log.expire_outcomes, before, EXPIRED_AT_ONCE))
            expired += gone
        return expired
