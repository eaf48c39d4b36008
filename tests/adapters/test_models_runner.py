"""Models run in pools of their own: a variant that is slow, stuck or broken never hurts another, nor the event loop."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from gateway.adapters.models.memory import MemoryModel, Script
from gateway.adapters.models.runner import PoolRunner, PoolSize, PoolSizes
from gateway.core.deployments import Field, ModelCard, Scalar, Task, Type
from gateway.core.errors import DeadlinePassed, ModelFailed, NoModelReady, Overloaded
from gateway.core.routing import Part
from gateway.ports import Output

LONG = 60.0
"""Seconds; no test waits that long."""
SOON = 0.02
SMALL = PoolSizes(PoolSize(2, 2), PoolSize(1, 1), PoolSize(1, 1))


def card(digest: str, *inputs: Field) -> ModelCard:
    return ModelCard("delay", "1", "models:/delay/1", digest, "memory", digest, inputs or (ENTITY,), Task.REGRESSION)


ENTITY = Field("entity", Type.INTEGER, example=1)


@dataclass
class Gated:
    """A model whose calls wait at a gate, so that a test decides when a thread returns."""

    card: ModelCard
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    calls: int = 0

    def predict(self, rows: Sequence[Sequence[Scalar]]) -> list[Output]:
        self.calls += 1
        self.entered.release()
        self.gate.wait(LONG)
        return [Output(row[0]) for row in rows]


@dataclass
class Raises:
    """A model that raises what it was given."""

    card: ModelCard
    error: BaseException

    def predict(self, _: Sequence[Sequence[Scalar]]) -> list[Output]:
        raise self.error


def part(name: str, model: MemoryModel | Gated | Raises) -> Part:
    return Part(name, f"generation-of-{name}", model.card)


def scripted(digest: str, base: float) -> MemoryModel:
    return MemoryModel(card(digest), Script(base))


def gated(runner: PoolRunner, digest: str) -> Gated:
    """Install a model through its open gate, then close it."""
    model = Gated(card(digest))
    model.gate.set()
    runner.install(model)
    model.gate.clear()
    model.entered = threading.Semaphore(0)
    model.calls = 0
    return model


async def entered(model: Gated) -> None:
    """Return once a thread is inside the model."""
    await asyncio.to_thread(model.entered.acquire)


async def until(holds: Callable[[], bool]) -> None:
    """Return once it holds: threads and timers report to the loop, turn by turn."""
    async with asyncio.timeout(LONG):
        while not holds():  # noqa: ASYNC110  # the runner tells the caller of each call, and nobody else
            await asyncio.sleep(0)


async def until_idle(runner: PoolRunner) -> None:
    """Return once no call is under way."""
    await until(lambda: not runner.under_way())


@pytest.fixture
async def runner() -> AsyncIterator[PoolRunner]:
    runner = PoolRunner(SMALL)
    yield runner
    for digest in runner.digests():
        runner.drop(digest)


async def test_every_part_is_answered_by_its_own_model(runner: PoolRunner) -> None:
    stable, canary = scripted("s", 1e9), scripted("c", 2e9)
    for model in (stable, canary):
        runner.install(model)
    answers = await asyncio.gather(
        *(runner.predict(part("stable", stable), [[entity], [entity + 1]], LONG) for entity in (10, 20)),
        runner.predict(part("canary", canary), [[10]], LONG),
    )
    assert [[each.label for each in rows] for rows in answers] == [
        [1e9 + 10, 1e9 + 11],
        [1e9 + 20, 1e9 + 21],
        [2e9 + 10],
    ]


async def test_a_model_is_warm_before_it_counts_as_loaded(runner: PoolRunner) -> None:
    model = scripted("s", 1e9)
    runner.install(model)
    assert model.calls == 3
    assert runner.loaded("s") and runner.digests() == {"s"}


def test_a_model_that_fails_at_its_own_example_is_not_loaded() -> None:
    runner = PoolRunner(SMALL)
    with pytest.raises(ModelFailed, match="Broken"):
        runner.install(MemoryModel(card("s"), Script(raises="Broken")))
    assert not runner.loaded("s")


def test_failing_at_a_row_that_was_made_up_proves_nothing() -> None:
    runner = PoolRunner(SMALL)
    runner.install(MemoryModel(card("s", Field("entity", Type.INTEGER)), Script(raises="Broken")))
    assert runner.loaded("s")


async def test_a_model_that_is_not_loaded_is_not_waited_for(runner: PoolRunner) -> None:
    with pytest.raises(NoModelReady):
        await runner.predict(part("stable", scripted("s", 0)), [[1]], LONG)


async def test_a_stuck_canary_delays_neither_stable_nor_the_loop(runner: PoolRunner) -> None:
    stable, canary = scripted("s", 1e9), gated(runner, "c")
    runner.install(stable)
    waiting = asyncio.ensure_future(runner.predict(part("canary", canary), [[1]], LONG))
    await entered(canary)
    assert (await runner.predict(part("stable", stable), [[7]], LONG))[0].label == 1e9 + 7
    assert not waiting.done()
    canary.gate.set()
    assert (await waiting)[0].label == 1


async def test_a_canary_with_a_timed_out_thread_is_refused_until_it_returns(runner: PoolRunner) -> None:
    canary = gated(runner, "c")
    with pytest.raises(DeadlinePassed):
        await runner.predict(part("canary", canary), [[1]], SOON)
    assert runner.stuck() == {"canary": 1}
    assert runner.refused(part("canary", canary))
    with pytest.raises(ModelFailed, match="stuck"):
        await runner.predict(part("canary", canary), [[2]], LONG)
    assert canary.calls == 1
    canary.gate.set()
    await until_idle(runner)
    assert runner.stuck() == {} and not runner.refused(part("canary", canary))
    assert (await runner.predict(part("canary", canary), [[3]], LONG))[0].label == 3


async def test_stable_goes_on_while_a_thread_is_left_and_is_refused_when_none_is(runner: PoolRunner) -> None:
    stable = gated(runner, "s")
    with pytest.raises(DeadlinePassed):
        await runner.predict(part("stable", stable), [[1]], SOON)
    assert not runner.refused(part("stable", stable))
    with pytest.raises(DeadlinePassed):
        await runner.predict(part("stable", stable), [[2]], SOON)
    assert runner.refused(part("stable", stable))
    assert runner.stuck() == {"stable": 2}
    with pytest.raises(Overloaded, match="stuck"):
        await runner.predict(part("stable", stable), [[3]], LONG)
    stable.gate.set()
    await until_idle(runner)
    assert not runner.refused(part("stable", stable))


async def test_two_deployments_with_a_canary_each_do_not_share_its_fate(runner: PoolRunner) -> None:
    ours, theirs = gated(runner, "c1"), gated(runner, "c2")
    with pytest.raises(DeadlinePassed):
        await runner.predict(part("canary", ours), [[1]], SOON)
    assert runner.refused(part("canary", ours)) and not runner.refused(part("canary", theirs))
    ours.gate.set()
    await until_idle(runner)


async def test_a_full_pool_refuses_at_once(runner: PoolRunner) -> None:
    canary = gated(runner, "c")
    held = [asyncio.ensure_future(runner.predict(part("canary", canary), [[n]], LONG)) for n in range(2)]
    await entered(canary)
    with pytest.raises(Overloaded, match="2 calls under way"):
        await runner.predict(part("canary", canary), [[3]], LONG)
    canary.gate.set()
    assert [rows[0].label for rows in await asyncio.gather(*held)] == [0, 1]
    await until_idle(runner)


async def test_a_call_whose_deadline_passed_in_the_queue_is_never_run(runner: PoolRunner) -> None:
    canary = gated(runner, "c")
    running = asyncio.ensure_future(runner.predict(part("canary", canary), [[1]], LONG))
    await entered(canary)
    with pytest.raises(DeadlinePassed):
        await runner.predict(part("canary", canary), [[2]], SOON)
    assert runner.stuck() == {}
    canary.gate.set()
    await running
    await until_idle(runner)
    assert canary.calls == 1


async def test_a_call_that_is_too_late_is_not_run_though_a_late_loop_has_not_said_so_yet(runner: PoolRunner) -> None:
    canary = gated(runner, "c")
    running = asyncio.ensure_future(runner.predict(part("canary", canary), [[1]], LONG))
    await entered(canary)
    late = asyncio.ensure_future(runner.predict(part("canary", canary), [[2]], SOON))
    await asyncio.sleep(0)
    never = threading.Event()
    never.wait(2.0 * SOON)  # the loop stands still here, past the deadline
    canary.gate.set()
    never.wait(SOON)  # and until the thread has been at the second call
    assert canary.calls == 1
    with pytest.raises(DeadlinePassed):
        await late
    await running
    await until_idle(runner)
    assert (canary.calls, runner.stuck()) == (1, {})


async def test_a_cancelled_caller_leaves_at_once_and_nothing_behind(runner: PoolRunner) -> None:
    canary = gated(runner, "c")
    running, queued = (asyncio.ensure_future(runner.predict(part("canary", canary), [[n]], LONG)) for n in (1, 2))
    await entered(canary)
    for call in (running, queued):
        call.cancel()
    assert [type(each) for each in await asyncio.gather(running, queued, return_exceptions=True)] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
    ]
    canary.gate.set()
    await until_idle(runner)
    assert canary.calls == 1
    assert (await runner.predict(part("canary", canary), [[9]], LONG))[0].label == 9


async def test_a_thread_whose_caller_left_is_stuck_once_its_deadline_has_passed(runner: PoolRunner) -> None:
    canary = gated(runner, "c")
    call = asyncio.ensure_future(runner.predict(part("canary", canary), [[1]], SOON))
    await entered(canary)
    call.cancel()
    await until(lambda: bool(runner.stuck()))
    assert runner.refused(part("canary", canary))
    canary.gate.set()
    await until_idle(runner)


@pytest.mark.parametrize("error", [KeyError("dest"), SystemExit(1), KeyboardInterrupt(), StopIteration()], ids=repr)
async def test_whatever_a_model_raises_is_its_failure_and_its_thread_lives_on(
    runner: PoolRunner, error: BaseException
) -> None:
    model = Raises(card("c"), error)
    runner._models["c"] = model  # not through ``install``, where such a model would not come past its example
    for _ in range(3):
        with pytest.raises(ModelFailed) as caught:
            await runner.predict(part("canary", model), [[1]], LONG)
        assert caught.value.kind == type(error).__name__


async def test_a_call_under_way_finishes_on_the_model_it_began_with(runner: PoolRunner) -> None:
    old = gated(runner, "c")
    call = asyncio.ensure_future(runner.predict(part("canary", old), [[5]], LONG))
    await entered(old)
    runner.drop("c")
    assert not runner.loaded("c")
    old.gate.set()
    assert (await call)[0].label == 5


async def test_a_dropped_model_and_its_threads_are_gone(runner: PoolRunner) -> None:
    model = gated(runner, "d")
    model.gate.set()
    await runner.predict(part("dropped", model), [[1]], LONG)
    threads = [each for each in threading.enumerate() if each.name.startswith("model-dropped-")]
    gone = weakref.ref(model)
    runner.drop("d")
    for thread in threads:
        await asyncio.to_thread(thread.join, LONG)
    assert len(threads) == 1 and not any(thread.is_alive() for thread in threads)
    del model
    gc.collect()
    assert gone() is None


async def test_a_part_that_only_watches_gets_the_smallest_pool() -> None:
    runner, model = PoolRunner(PoolSizes(watching=PoolSize(1, 0))), scripted("w", 0)
    runner.install(model)
    runner.watch(["shadow"])
    await runner.predict(part("shadow", model), [[1]], LONG)
    await runner.predict(part("canary", model), [[1]], LONG)
    names = [each.name for each in threading.enumerate()]
    assert (names.count("model-shadow-0"), names.count("model-shadow-1"), names.count("model-canary-1")) == (1, 0, 1)
    runner.drop("w")
