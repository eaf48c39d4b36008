"""The leader's duty to have models trained again: looks for causes, calls targets aside, writes down what they said.

Nothing is decided here, and nothing waits for a target: each run is a task of its own, its target a thread or a process
of its own. When this host leads no more, or ends, what it runs is stopped; the next leader finds the run written down
as called by somebody who is gone, and calls again. Waits between two attempts are machine time, counted anew by a new
leader.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from gateway.core.actors import RETRAINING
from gateway.core.drift.causes import DriftEvent
from gateway.core.errors import GatewayError, StoreUnavailable, TargetFailed
from gateway.core.retraining.runs import Run, RunPhase
from gateway.core.retraining.terms import Target
from gateway.core.state import DeploymentState
from gateway.edge.run import Run as Aside
from gateway.ports import Clock, Order, RetrainingTarget, Taken
from gateway.processes.duties import aside
from gateway.retraining import Runs
from gateway.triggers import Triggers

log = structlog.get_logger(__name__)

_EVERY_S: Final = 0.5
_LOOK_EVERY_S: Final = 10.0
_STORE_AGAIN_S: Final = 1.0
_LONGEST_BACKOFF_S: Final = 3_600.0

OpenTarget = Callable[[Target], RetrainingTarget]
OpenExport = Callable[[str, Target], RetrainingTarget]
"""(deployment, target) -> what writes the log to ``target.export``; its ``call`` ends when all is written."""


class Stirred:
    """A DriftSink that notes where drift has moved, so that a cause is looked for at once."""

    def __init__(self) -> None:
        self.deployments: set[str] = set()

    def drifted(self, event: DriftEvent) -> None:
        """Note it."""
        self.deployments.add(event.alarm.deployment)


class RetrainingDuty:
    """Looks after the runs of every deployment."""

    def __init__(
        self,
        triggers: Triggers,
        runs: Runs,
        clock: Clock,
        states: Callable[[], Mapping[str, DeploymentState]],
        watermark: Callable[[], float | None],
        stirred: Stirred,
        open_target: OpenTarget,
        open_export: OpenExport,
    ) -> None:
        self._triggers, self._runs, self._clock = triggers, runs, clock
        self._states, self._watermark, self._stirred = states, watermark, stirred
        self._open_target, self._open_export = open_target, open_export
        self._runner = ""
        self._looked_at: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._patient_until: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self, run: Aside) -> None:
        """Look after them until cancelled; then stop what runs here."""
        self._runner, self._due, self._patient_until = secrets.token_hex(6), {}, {}
        try:
            while True:
                await self.round(run)
                await asyncio.sleep(_EVERY_S)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Stop what runs here, and wait until it has let go."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def round(self, run: Aside) -> None:
        """Look once at every deployment that says who would train its model."""
        for name, state in list(self._states().items()):
            if state.spec.retraining.target is None:
                continue
            try:
                await self._look(name, run)
                await self._mind(name, run)
            except GatewayError as error:  # the store is away, or somebody was faster: there is a next round
                log.info("retraining_not_looked_at", deployment=name, reason=str(error))

    async def idle(self) -> None:
        """Wait until nothing runs here."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())
            await asyncio.sleep(0)

    async def _look(self, name: str, run: Aside) -> None:
        mark, now = self._watermark(), self._clock.machine()
        resting = now - self._looked_at.get(name, float("-inf")) < _LOOK_EVERY_S
        if mark is None or (resting and name not in self._stirred.deployments):
            return
        self._looked_at[name] = now
        self._stirred.deployments.discard(name)
        await run(partial(self._triggers.look, name, mark))

    async def _mind(self, name: str, run: Aside) -> None:
        """Take the run that has not ended one step further, where a step is due."""
        terms, kept = await run(partial(self._runs.read, name))
        alive, target = kept.alive, terms.target
        if alive is None or target is None or alive.id in self._tasks:
            return
        if alive.phase is RunPhase.CALLED:  # and not by us: we would have a task of it
            await run(partial(self._runs.failed_once, name, alive.id, "whoever called the target is gone"))
        elif alive.phase is RunPhase.ACCEPTED:
            await self._wait(name, alive, target, run)
        elif self._clock.machine() >= self._due.get(alive.id, float("-inf")):
            task = asyncio.get_running_loop().create_task(self._work(name, alive, target, run))
            self._tasks[alive.id] = task
            task.add_done_callback(lambda _, run_id=alive.id: self._tasks.pop(run_id, None))  # type: ignore[misc]

    async def _wait(self, name: str, alive: Run, target: Target, run: Aside) -> None:
        """Give up a run whose target never says how it ended."""
        until = self._patient_until.setdefault(alive.id, self._clock.machine() + target.timeout_s)
        if self._clock.machine() >= until:
            said = f"its target has not said how it ended within {target.timeout_s:g} seconds"
            await run(partial(self._runs.ended, name, alive.id, actor=RETRAINING, succeeded=False, said=said))

    async def _work(self, name: str, alive: Run, target: Target, run: Aside) -> None:
        """Call the target once and write down what came of it."""
        try:
            called = await run(partial(self._runs.call, name, alive.id, self._runner))
        except GatewayError as error:
            log.info("retraining_not_called", deployment=name, run=alive.id, reason=str(error))
            return
        order = order_of(name, called, target)
        try:
            if target.export:
                await _call(self._open_export(name, target), order)
            taken = await _call(self._open_target(target), order)
        except TargetFailed as error:
            log.warning("retraining_target_failed", deployment=name, run=alive.id, reason=str(error))
            backoff_s = min(_LONGEST_BACKOFF_S, target.backoff_s * 2.0 ** (called.attempt - 1))
            self._due[alive.id] = self._clock.machine() + backoff_s
            await self._write(run, partial(self._runs.failed_once, name, alive.id, str(error)))
            return
        if taken.ended:
            ended = partial(self._runs.ended, name, alive.id, actor=RETRAINING, succeeded=True)
            await self._write(run, partial(ended, said=taken.said, link=taken.link))
        else:
            await self._write(run, partial(self._runs.accepted, name, alive.id, taken.said, taken.link))

    async def _write(self, run: Aside, step: Callable[[], Run]) -> None:
        """Write a step down, however long the store is away."""
        while True:
            try:
                await run(step)
            except StoreUnavailable:
                await asyncio.sleep(_STORE_AGAIN_S)
            except GatewayError as error:  # another host leads, or the target said itself how it ended
                log.info("retraining_step_not_written", reason=str(error))
                return
            else:
                return


def order_of(deployment: str, run: Run, target: Target) -> Order:
    """What a target is told of a run."""
    place = f"/admin/deployments/{deployment}/retraining/{run.id}/end"
    callback = f"{target.callback.rstrip('/')}{place}" if target.callback else ""
    return Order(run.id, deployment, run.trigger.value, run.cause, run.attempt, target.export, callback)


async def _call(target: RetrainingTarget, order: Order) -> Taken:
    """Call a target aside; whoever is cancelled meanwhile stops it."""
    try:
        return await aside(target.call, order)
    finally:
        with suppress(OSError):
            target.close()
