"""The duty that forgets what is too old, a little at a time: no drain waits longer than for one small transaction.

One host does it, the one that leads. What may go is worked out in :mod:`gateway.core.retention`, from the control
document as it stands then, so a candidate that has just begun keeps what it needs.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

import structlog

from gateway.core.errors import LakeUnavailable, StoreUnavailable
from gateway.core.retention import Keeping, due, ended, first_kept
from gateway.core.state import DeploymentState
from gateway.ports import Clock, ControlState, EventLog, Lake

log = structlog.get_logger(__name__)

AT_ONCE = 250
"""Predictions, or claims, deleted in one transaction."""
_EVERY_S = 600.0
_SHARE = 0.2
"""Longest share of the store's time that it takes."""

Run = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]


class Forgetting:
    """Forgets days of predictions, and generations that have ended. ``lake``: the export that has to have a day first.

    ``run`` does work on the store's thread.
    """

    def __init__(
        self,
        keeping: Keeping,
        log: EventLog,
        control: ControlState,
        clock: Clock,
        run: Run,
        lake: Lake | None = None,
    ) -> None:
        self._keeping, self._log, self._control, self._clock = keeping, log, control, clock
        self._run, self._lake = run, lake

    async def run(self, states: Callable[[], Iterable[DeploymentState]]) -> None:
        """Forget, every ten minutes, for ever."""
        while True:
            try:
                for state in list(states()):
                    await self.sweep(state)
            except (StoreUnavailable, LakeUnavailable) as error:  # there is another time
                log.warning("not_forgotten", reason=str(error))
            await asyncio.sleep(_EVERY_S)

    async def sweep(self, state: DeploymentState) -> int:
        """Forget what one deployment need not keep; says how many predictions.

        Generations go first: one whose evidence is not whole any more must not be computed again. Raises
        StoreUnavailable, LakeUnavailable.
        """
        name, now = state.deployment, self._clock.data()
        forgotten = 0
        for generation in await self._ended(state, now):
            await self._all_of(partial(self._log.forget_claims, name, generation, AT_ONCE))
            await self._run(partial(self._control.forget_generation, name, generation))
        for day, changes in (await self._due(state, now)).items():
            await self._run(partial(self._log.close_day, name, day, changes))
        for day in await self._run(partial(self._log.closed_days, name)):
            count = await self._all_of(partial(self._log.forget, name, day, AT_ONCE))
            log.info("forgotten", deployment=name, day=day, predictions=count)
            forgotten += count
        return forgotten

    async def _ended(self, state: DeploymentState, now: float) -> list[str]:
        openings = await self._run(partial(self._control.openings, state.deployment))
        return [one.generation for one in ended(openings, state, self._keeping, now)]

    async def _due(self, state: DeploymentState, now: float) -> Mapping[int, int]:
        first = first_kept(state, self._keeping, now)
        if first is None:
            return {}
        days = await self._run(partial(self._log.days, state.deployment))
        written = None if self._lake is None else await asyncio.to_thread(self._lake.days, state.deployment)
        return due(days, first, written)

    async def _all_of(self, some: Callable[[], int]) -> int:
        """Delete bit by bit, with pauses in which others have the store; says how many went."""
        total = 0
        while True:
            began = self._clock.machine()
            count: int = await self._run(some)
            if not count:
                return total
            total += count
            await asyncio.sleep((self._clock.machine() - began) * (1.0 - _SHARE) / _SHARE)
