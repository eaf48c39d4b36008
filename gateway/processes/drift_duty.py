"""The agent's duty to look at drift: a tick at a time as it is drained, skew now and then, and whether labels come.

A look reads the store on its one thread; a comparison with the offline store takes seconds and a process of its own.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from gateway.adapters.drift import Comparer
from gateway.core.drift.report import DriftReport
from gateway.core.errors import GatewayError
from gateway.core.features import FeaturePlan
from gateway.drifting import Drifting
from gateway.edge.run import Run
from gateway.hearing import Hearing
from gateway.processes.duties import aside
from gateway.processes.publisher import Publisher

log = structlog.get_logger(__name__)

_EVERY_S = 1.0


class DriftDuty:
    """Looks at every deployment in turn. ``reports`` is what the last look of each left, for the metrics."""

    def __init__(
        self,
        drifting: Drifting,
        hearing: Hearing,
        publisher: Publisher,
        watermark: Callable[[], float | None],
        plan: Callable[[str], FeaturePlan],
        comparer: Comparer | None,
    ) -> None:
        self._drifting, self._hearing = drifting, hearing
        self._publisher, self._watermark = publisher, watermark
        self._plan, self._comparer = plan, comparer
        self._compared: dict[str, float] = {}
        self._comparing: dict[str, asyncio.Task[None]] = {}
        self.reports: Mapping[str, DriftReport] = {}

    async def run(self, run: Run) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            mark = self._watermark()
            if mark is None:
                continue
            for name in list(self._publisher.states):
                try:
                    await self._look(name, mark, run)
                except GatewayError as error:  # the store is away, or the deployment gone: there is a next time
                    log.info("drift_not_looked_at", deployment=name, reason=str(error))

    async def _look(self, name: str, mark: float, run: Run) -> None:
        """Look, report where the look took something in, listen for labels, and begin a comparison where one is due."""
        looked = await run(partial(self._drifting.look, name, mark))
        if looked.folded or name not in self.reports:
            self.reports = {**self.reports, name: await run(partial(self._drifting.report, name))}
        state = self._publisher.states.get(name)
        if state is None:
            return
        await run(partial(self._hearing.look, state, mark))
        every = state.spec.drift.skew_every_s
        if self._comparer is None or every <= 0.0 or name in self._comparing:
            return
        if name not in self._compared:
            self._compared[name] = (await run(partial(self._drifting.skew, name))).at or 0.0
        if mark - self._compared[name] >= every:
            self._compared[name] = mark
            task = asyncio.get_running_loop().create_task(self._compare(self._comparer, name, mark, every, run))
            self._comparing[name] = task
            task.add_done_callback(lambda _: self._comparing.pop(name, None))

    async def _compare(self, comparer: Comparer, name: str, mark: float, every: float, run: Run) -> None:
        """Compare a sample of what was served with the offline store, aside."""
        state = self._publisher.states.get(name)
        if state is None:
            return
        most = state.spec.drift.skew_sample
        try:
            rows = await run(partial(self._drifting.sample, name, mark - every, mark, most))
            skew = await aside(comparer.compare, self._plan(name), rows, mark)
            if skew.trouble:
                log.warning("skew_not_compared", deployment=name, reason=skew.trouble)
            await run(partial(self._drifting.save_skew, name, skew))
            self.reports = {**self.reports, name: await run(partial(self._drifting.report, name))}
        except GatewayError as error:  # there is another time
            log.warning("skew_not_compared", deployment=name, reason=str(error))
