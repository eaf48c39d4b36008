"""The clocks: machine time never goes back, and data time means what the settings say it means."""

import math
import time

import pytest

from gateway.adapters.clock import ManualClock, ReplayClock, WallClock, open_clock
from gateway.ports import Clock


@pytest.fixture(params=[WallClock, ReplayClock, ManualClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


def test_machine_time_never_goes_back(clock: Clock) -> None:
    first = clock.machine()
    assert clock.machine() >= first


def test_on_the_wall_data_time_is_now_whatever_anybody_says() -> None:
    clock = WallClock()
    clock.observe(5.0)
    assert abs(clock.data() - time.time()) < 1.0
    assert abs(clock.wall() - clock.data()) < 1.0


def test_under_replay_data_time_is_the_greatest_seen() -> None:
    clock = ReplayClock()
    for at in (100.0, 300.0, 200.0):
        clock.observe(at)
    assert clock.data() == 300.0


@pytest.mark.parametrize("at", [math.nan, math.inf])
def test_a_time_that_is_no_number_moves_nothing(at: float) -> None:
    clock = ReplayClock()
    clock.observe(at)
    assert clock.data() == 0.0


def test_under_replay_people_still_read_the_calendar() -> None:
    assert abs(ReplayClock().wall() - time.time()) < 1.0


def test_a_hand_wound_clock_moves_only_by_hand() -> None:
    clock = ManualClock(machine=10.0, data=1_000.0)
    clock.advance(1.0)
    assert (clock.machine(), clock.data(), clock.wall()) == (11.0, 1_001.0, 1_001.0)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1.0)


def test_clocks_are_opened_by_the_word_in_the_settings() -> None:
    assert isinstance(open_clock("wall"), WallClock)
    assert isinstance(open_clock("replay"), ReplayClock)
