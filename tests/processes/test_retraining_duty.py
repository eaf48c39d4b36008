"""The duty around runs: a target is called once per attempt, never waited for, and nothing is lost with the process."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from gateway.adapters.retraining import MemoryTarget, open_target
from gateway.core.drift.causes import DriftEvent
from gateway.core.drift.terms import DriftTerms
from gateway.core.errors import StoreUnavailable
from gateway.core.retraining.runs import Run, RunPhase
from gateway.core.retraining.terms import OnDrift, RetrainingTerms, Target, TargetKind
from gateway.ports import Order, RetrainingTarget, Taken
from gateway.processes.retraining_duty import RetrainingDuty, Stirred, order_of
from gateway.retraining import Runs
from gateway.triggers import Triggers
from tests.control_house import NAME
from tests.drift_house import DriftHouse

COMMAND = Target(TargetKind.COMMAND, ("train",), attempts=3, backoff_s=10.0)
_T = TypeVar("_T")


class Stage:
    """A deployment under drift watch, with a duty that may begin again as another process."""

    def __init__(self, target: Target = COMMAND, answers: RetrainingTarget | None = None) -> None:
        self.drift = DriftHouse(DriftTerms())
        self.house = self.drift.house
        terms = RetrainingTerms(target, drift=OnDrift())
        self.house.control.apply(replace(self.house.document.spec, retraining=terms), actor="ann", reason="")
        self.runs = Runs(self.house.documents, self.house.log, self.house.clock)
        self.target = answers or MemoryTarget()
        self.exports = MemoryTarget()
        self.stirred = Stirred()
        self.away = False
        self.begin()

    def begin(self) -> None:
        """Begin as a process that was not there before."""
        self.duty = RetrainingDuty(
            Triggers(self.runs, self.house.documents, self.drift.store, self.drift.drifting),
            self.runs,
            self.house.clock,
            lambda: {NAME: self.house.document},
            lambda: self.drift.at,
            self.stirred,
            lambda _: self.target,
            lambda _, __: self.exports,
        )

    async def run(self, work: Callable[[], _T]) -> _T:
        if self.away:
            self.away = False
            raise StoreUnavailable("It is away.")
        return work()

    async def round(self) -> None:
        await self.duty.round(self.run)
        await self.duty.idle()

    @property
    def phase(self) -> str:
        return self.last.phase.value

    @property
    def last(self) -> Run:
        run = self.runs.read(NAME)[1].last
        assert run is not None
        return run

    @property
    def orders(self) -> list[Order]:
        assert isinstance(self.target, MemoryTarget)
        return self.target.orders


async def test_drift_has_a_target_called_once_with_the_runs_id_and_its_cause() -> None:
    stage = Stage()
    stage.drift.ticks(20, delay=1.0)
    event: DriftEvent = stage.drift.heard.events[0]
    await stage.round()
    assert not stage.orders
    stage.stirred.drifted(event)
    for _ in range(5):
        await stage.round()
    [order] = stage.orders
    assert (order.run_id, order.attempt, order.trigger) == (stage.last.id, 1, "drift")
    assert order.cause.startswith("delay moved up")
    assert stage.phase == "succeeded"


async def test_causes_are_looked_for_now_and_then_where_nothing_stirs() -> None:
    stage = Stage()
    stage.drift.ticks(20, delay=1.0)
    for _ in range(3):
        await stage.round()
    assert not stage.orders
    stage.house.clock.advance(10.0)
    await stage.round()
    await stage.round()
    assert len(stage.orders) == 1


async def test_a_target_that_fails_is_called_again_later_each_time() -> None:
    stage = Stage(answers=MemoryTarget(["exit code 1", "exit code 1", "exit code 1"]))
    stage.runs.ask(NAME, "one", actor="ann", reason="please")
    waited = []
    for second in range(60):
        before = len(stage.orders)
        await stage.round()
        if len(stage.orders) > before:
            waited.append(second)
        stage.house.clock.advance(1.0)
    assert waited == [0, 10, 30]
    assert [order.attempt for order in stage.orders] == [1, 2, 3]
    assert stage.phase == "failed"
    assert stage.last.said == "exit code 1"


async def test_the_log_is_exported_before_each_call_and_a_failed_export_is_a_failed_call() -> None:
    stage = Stage(replace(COMMAND, export="lake"))
    stage.exports = MemoryTarget(["the lake is dry"])
    stage.begin()
    stage.runs.ask(NAME, "one", actor="ann", reason="please")
    await stage.round()
    assert not stage.orders
    assert stage.last.said == "the lake is dry"
    stage.house.clock.advance(10.0)
    await stage.round()
    assert [order.export for order in stage.orders] == ["lake"]
    assert len(stage.exports.orders) == 2


async def test_a_server_that_takes_a_run_is_given_its_time_to_say_how_it_ended() -> None:
    server = Target(TargetKind.WEBHOOK, url="http://trainer.example", timeout_s=100.0)
    stage = Stage(server, MemoryTarget([Taken(ended=False, said="taken"), Taken(ended=False)]))
    stage.runs.ask(NAME, "one", actor="ann", reason="please")
    await stage.round()
    assert stage.phase == "accepted"
    await stage.round()
    stage.house.clock.advance(99.0)
    await stage.round()
    assert stage.phase == "accepted"
    stage.house.clock.advance(1.0)
    await stage.round()
    assert stage.phase == "failed"
    assert "within 100 seconds" in stage.last.said
    assert len(stage.orders) == 1


async def test_a_server_may_say_how_it_ended_before_its_answer_is_written_down() -> None:
    stage = Stage(Target(TargetKind.WEBHOOK, url="http://trainer.example"))
    run, _ = stage.runs.ask(NAME, "one", actor="ann", reason="please")

    class Quick(MemoryTarget):
        def call(self, order: Order) -> Taken:
            super().call(order)
            stage.runs.told(NAME, run.id, actor="pipeline", succeeded=True, said="version 4")
            return Taken(ended=False)

    stage.target = Quick()
    await stage.round()
    assert (stage.last.phase, stage.last.said) == (RunPhase.SUCCEEDED, "version 4")


async def test_what_the_target_said_is_written_down_however_long_the_store_is_away() -> None:
    stage = Stage()
    stage.runs.ask(NAME, "one", actor="ann", reason="please")

    class Leaves(MemoryTarget):
        def call(self, order: Order) -> Taken:
            stage.away = True
            return super().call(order)

    stage.target = Leaves()
    await stage.round()
    assert stage.phase == "succeeded"
    assert len(stage.orders) == 1


async def test_a_run_whose_caller_is_gone_is_called_again_under_the_same_id() -> None:
    stage = Stage()
    run, _ = stage.runs.ask(NAME, "one", actor="ann", reason="please")
    stage.runs.call(NAME, run.id, "a process that was killed")
    stage.begin()
    await stage.round()
    assert stage.last.said == "whoever called the target is gone"
    await stage.round()
    assert [(order.run_id, order.attempt) for order in stage.orders] == [(run.id, 2)]
    assert stage.phase == "succeeded"


class Endless:
    """A target that runs until it is closed."""

    def __init__(self) -> None:
        self.called, self.closed = threading.Event(), threading.Event()

    def call(self, order: Order) -> Taken:
        assert order.attempt == 1
        self.called.set()
        self.closed.wait()
        return Taken(ended=True)

    def close(self) -> None:
        self.closed.set()


async def test_rounds_go_on_while_a_target_runs_and_it_is_stopped_when_this_host_leads_no_more() -> None:
    endless = Endless()
    stage = Stage(answers=endless)
    stage.runs.ask(NAME, "one", actor="ann", reason="please")
    duty = asyncio.create_task(stage.duty.run(stage.run))
    await asyncio.to_thread(endless.called.wait)
    await stage.duty.round(stage.run)
    assert stage.phase == "called"
    duty.cancel()
    await asyncio.gather(duty, return_exceptions=True)
    assert endless.closed.is_set()
    assert stage.phase == "called"


async def test_a_real_command_is_run_by_the_duty(tmp_path: Path) -> None:
    target = Target(TargetKind.COMMAND, ("sh", "-c", "echo trained for $RETRAINING_RUN_ID"))
    stage = Stage(target, open_target(target, tmp_path))
    run, _ = stage.runs.ask(NAME, "one", actor="ann", reason="please")
    await stage.round()
    assert stage.last.said == f"trained for {run.id}"
    assert stage.last.link.endswith(f"{run.id}.log")


def test_an_order_says_where_to_call_back() -> None:
    run = Stage().runs.ask(NAME, "one", actor="ann", reason="please")[0]
    target = Target(TargetKind.WEBHOOK, callback="https://gateway.example/")
    callback = order_of(NAME, run, target).callback
    assert callback == f"https://gateway.example/admin/deployments/{NAME}/retraining/{run.id}/end"
    assert order_of(NAME, run, COMMAND).callback == ""
