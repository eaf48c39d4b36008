"""Who gets in: what the worker can do, shadows only while there is room to spare."""

import asyncio

import pytest

from gateway.core.errors import Overloaded
from gateway.edge.lanes import AdaptiveLane, Pulse


def moment(lane: AdaptiveLane, at: float, latency_s: float, n: int) -> float:
    """Fill the lane for a moment in which every request takes ``latency_s``."""
    for _ in range(n):
        lane.enter()
    for _ in range(n):
        lane.leave(at, at + latency_s, answered=True)
    return at + max(0.11, latency_s)


def test_a_place_is_taken_and_given_back() -> None:
    lane = AdaptiveLane(2)
    lane.enter()
    lane.enter()
    with pytest.raises(Overloaded):
        lane.enter()
    lane.leave(0.0, 0.1, answered=False)
    lane.enter()


def test_while_all_wait_fewer_get_in_and_more_once_nobody_does() -> None:
    lane, at = AdaptiveLane(256), 0.0
    at = moment(lane, at, 0.01, 4)
    first = lane.places
    for _ in range(18):
        at = moment(lane, at, 0.5, lane.places)
    assert lane.places < first / 4
    few = lane.places
    for _ in range(30):
        at = moment(lane, at, 0.01, lane.places)
    assert lane.places > few


def test_shadows_stay_away_before_anybody_is_refused() -> None:
    lane = AdaptiveLane(64)
    entered = 0
    while not lane.crowded:
        lane.enter()
        entered += 1
    assert entered < lane.places


async def test_a_loop_that_is_always_late_lets_nobody_in_and_one_that_was_late_once_does() -> None:
    pulse = Pulse()
    lane = AdaptiveLane(64, pulse)
    beating = asyncio.create_task(pulse.run())
    await asyncio.sleep(0.0)
    pulse._late.append(1.0)  # one long turn of the loop
    lane.enter()
    pulse._late.extend([1.0] * 20)
    with pytest.raises(Overloaded, match="behind"):
        lane.enter()
    await asyncio.sleep(0.1)
    lane.enter()
    beating.cancel()
