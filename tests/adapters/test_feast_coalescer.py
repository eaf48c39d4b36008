"""Who travels together, who waits for whom, and when a store is left alone."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.adapters.features.coalescer import Breaker, Coalescer, StoreRefused, TaskLane


class Lane:
    """A store under the test's hand: each call waits until it is told to end."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gates: list[asyncio.Future[None]] = []
        self.called = asyncio.Event()

    async def __call__(self, asks: Sequence[int]) -> list[str]:
        self.calls.append(list(asks))
        self.gates.append(asyncio.get_running_loop().create_future())
        self.called.set()
        await self.gates[-1]
        return [f"answer to {ask}" for ask in asks]

    async def wait_for_call(self) -> None:
        await self.called.wait()
        self.called.clear()


async def test_what_is_asked_in_one_turn_of_the_loop_travels_together() -> None:
    lane = Lane()
    coalescer = Coalescer([TaskLane(lane)])
    asking = asyncio.gather(*(coalescer.ask(number, 5.0) for number in range(3)))
    await lane.wait_for_call()
    lane.gates[0].set_result(None)
    assert await asking == ["answer to 0", "answer to 1", "answer to 2"]
    assert lane.calls == [[0, 1, 2]]


async def test_what_is_asked_while_every_lane_is_busy_travels_next() -> None:
    lane = Lane()
    coalescer = Coalescer([TaskLane(lane)])
    first = asyncio.create_task(coalescer.ask(1, 5.0))
    await lane.wait_for_call()
    later = [asyncio.create_task(coalescer.ask(number, 5.0)) for number in (2, 3)]
    lane.gates[0].set_result(None)
    await lane.wait_for_call()
    lane.gates[1].set_result(None)
    assert [await first, *await asyncio.gather(*later)] == ["answer to 1", "answer to 2", "answer to 3"]
    assert lane.calls == [[1], [2, 3]]


async def test_two_lanes_carry_two_batches_at_once() -> None:
    one, two = Lane(), Lane()
    coalescer = Coalescer([TaskLane(one), TaskLane(two)])
    first = asyncio.create_task(coalescer.ask(1, 5.0))
    await two.wait_for_call()
    second = asyncio.create_task(coalescer.ask(2, 5.0))
    await one.wait_for_call()
    one.gates[0].set_result(None)
    assert await second == "answer to 2"
    two.gates[0].set_result(None)
    assert await first == "answer to 1"


async def test_a_caller_who_walks_away_takes_nobody_along() -> None:
    lane = Lane()
    coalescer = Coalescer([TaskLane(lane)])
    leaving, staying = (asyncio.create_task(coalescer.ask(number, 5.0)) for number in (1, 2))
    await lane.wait_for_call()
    leaving.cancel()
    lane.gates[0].set_result(None)
    assert await staying == "answer to 2"
    assert leaving.cancelled()


async def test_what_nobody_waits_for_any_more_is_not_asked() -> None:
    lane = Lane()
    coalescer = Coalescer([TaskLane(lane)])
    first = asyncio.create_task(coalescer.ask(1, 5.0))
    await lane.wait_for_call()
    with pytest.raises(TimeoutError):
        await coalescer.ask(2, 0.0)
    lane.gates[0].set_result(None)
    await first
    assert lane.calls == [[1]]


async def test_an_error_of_the_lane_reaches_everyone_in_the_batch_and_the_lane_is_used_again() -> None:
    lane = Lane()
    coalescer = Coalescer([TaskLane(lane)])
    asking = asyncio.gather(*(coalescer.ask(number, 5.0) for number in range(2)), return_exceptions=True)
    await lane.wait_for_call()
    lane.gates[0].set_exception(OSError("down"))
    assert [type(error) for error in await asking] == [OSError, OSError]
    again = asyncio.create_task(coalescer.ask(7, 5.0))
    await lane.wait_for_call()
    lane.gates[1].set_result(None)
    assert await again == "answer to 7"


async def test_closing_frees_whoever_waits() -> None:
    lane = Lane()
    coalescer = Coalescer([TaskLane(lane)])
    flying = asyncio.create_task(coalescer.ask(1, 5.0))
    await lane.wait_for_call()
    waiting = asyncio.create_task(coalescer.ask(2, 5.0))
    await asyncio.sleep(0)
    await coalescer.close()
    results = await asyncio.gather(flying, waiting, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError, ConnectionError]


async def test_failures_in_a_row_open_the_breaker_and_one_probe_closes_it() -> None:
    lane = Lane()
    breaker = Breaker(failures=2, pause_s=0.01)
    coalescer = Coalescer([TaskLane(lane)], breaker)
    for number in range(2):
        failing = asyncio.create_task(coalescer.ask(number, 5.0))
        await lane.wait_for_call()
        lane.gates[-1].set_exception(OSError("down"))
        with pytest.raises(OSError, match="down"):
            await failing
    with pytest.raises(StoreRefused):
        await coalescer.ask(2, 5.0)
    await until_probing(breaker)
    probe = asyncio.create_task(coalescer.ask(3, 5.0))
    await lane.wait_for_call()
    with pytest.raises(StoreRefused):
        await coalescer.ask(4, 5.0)
    lane.gates[-1].set_result(None)
    assert await probe == "answer to 3"
    assert not breaker.is_open


async def test_a_batch_that_was_late_has_failed_also_when_it_arrives() -> None:
    lane = Lane()
    breaker = Breaker(failures=1, pause_s=60.0)
    coalescer = Coalescer([TaskLane(lane)], breaker)
    with pytest.raises(TimeoutError):
        await coalescer.ask(1, 0.001)
    lane.gates[0].set_result(None)
    await asyncio.sleep(0)
    assert breaker.is_open
    await coalescer.close()


async def test_a_failed_probe_keeps_the_breaker_open_for_another_pause() -> None:
    breaker = Breaker(failures=1, pause_s=0.01)
    breaker.failed()
    await until_probing(breaker)
    assert breaker.admits()
    breaker.failed()
    assert not breaker.admits()
    await until_probing(breaker)
    assert breaker.admits()
    breaker.succeeded()
    assert breaker.admits()


async def test_a_probe_that_waits_for_a_stuck_lane_is_counted_like_any_other() -> None:
    lane = Lane()
    breaker = Breaker(failures=2, pause_s=0.01)
    coalescer = Coalescer([TaskLane(lane)], breaker)
    for number in range(2):
        with pytest.raises(TimeoutError):
            await coalescer.ask(number, 0.001)
    for number in range(2, 4):
        await until_probing(breaker)
        with pytest.raises(TimeoutError):
            await coalescer.ask(number, 0.001)
    assert lane.calls == [[0]]
    lane.gates[0].set_result(None)
    await until_probing(breaker)
    lane.called.clear()
    probe = asyncio.create_task(coalescer.ask(4, 5.0))
    await lane.wait_for_call()
    lane.gates[1].set_result(None)
    assert await probe == "answer to 4"
    assert not breaker.is_open


async def test_a_probe_that_left_before_it_was_asked_lets_the_next_one_try() -> None:
    lane = Lane()
    breaker = Breaker(failures=1, pause_s=0.01)
    coalescer = Coalescer([TaskLane(lane)], breaker)
    breaker.failed()
    await until_probing(breaker)
    leaving = asyncio.create_task(coalescer.ask(1, 5.0))
    asyncio.get_running_loop().call_soon(leaving.cancel)
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await asyncio.sleep(0)
    assert lane.calls == []
    probe = asyncio.create_task(coalescer.ask(2, 5.0))
    await lane.wait_for_call()
    lane.gates[0].set_result(None)
    assert await probe == "answer to 2"


async def test_callers_who_leave_before_they_are_asked_say_nothing_about_the_store() -> None:
    breaker = Breaker(failures=1, pause_s=60.0)
    coalescer = Coalescer([TaskLane(Lane())], breaker)
    leaving = asyncio.create_task(coalescer.ask(1, 5.0))
    asyncio.get_running_loop().call_soon(leaving.cancel)
    await asyncio.gather(leaving, return_exceptions=True)
    await asyncio.sleep(0)
    assert not breaker.is_open


async def until_probing(breaker: Breaker) -> None:
    """Wait on a timer set for the same pause after the breaker's own: it rings later."""
    rung = asyncio.Event()
    asyncio.get_running_loop().call_later(breaker.pause_s, rung.set)
    await rung.wait()
