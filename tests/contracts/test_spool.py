"""What every spool promises the worker."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.adapters.spool.drain import SpoolReader
from gateway.adapters.spool.memory import MemorySpool
from gateway.adapters.spool.segment import SegmentSpool
from gateway.core.errors import LogRefused
from gateway.core.events import Event
from gateway.ports import Spool
from tests.records import EVENTS, outcome

Made = tuple[Spool, Callable[[], list[Event]]]


@pytest.fixture(params=["memory", "segment"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    """A spool, and a way to see what it kept."""
    if request.param == "memory":
        memory = MemorySpool()
        yield memory, lambda: memory.events
        return
    spool, reader = SegmentSpool(tmp_path, writer="w"), SpoolReader(tmp_path)
    yield spool, lambda: [e for s in reader.segments() for _, e in reader.read(s.spool_id, 0).events]
    spool.close()


def test_every_kind_of_record_comes_back_as_it_was_in_the_order_it_was_appended(made: Made) -> None:
    spool, kept = made
    for event in EVENTS:
        spool.append(event)
    assert kept() == EVENTS


def test_a_record_is_kept_before_append_returns(made: Made) -> None:
    spool, kept = made
    spool.append(outcome("b1"))
    assert kept() == [outcome("b1")]


async def test_a_flush_returns_when_there_is_nothing_and_when_there_is_something(made: Made) -> None:
    spool, kept = made
    await spool.flush()
    spool.append(outcome())
    await spool.flush()
    await spool.flush()
    assert kept() == [outcome()]


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800"], ids=["too great", "too small", "lone surrogate"])
def test_a_value_that_no_record_can_hold_is_refused_and_leaves_no_trace(made: Made, value: object) -> None:
    spool, kept = made
    with pytest.raises(LogRefused):
        spool.append(outcome(value=value))
    spool.append(outcome())
    assert kept() == [outcome()]


def test_what_was_appended_outlives_close(made: Made) -> None:
    spool, kept = made
    spool.append(outcome())
    spool.close()
    assert kept() == [outcome()]


async def test_what_is_appended_soon_is_kept_in_its_order_once_the_future_is_done(made: Made) -> None:
    spool, kept = made
    first, second = spool.append_soon(outcome("b1")), spool.append_soon(outcome("b2"))
    await first
    await second
    assert kept() == [outcome("b1"), outcome("b2")]


async def test_append_does_not_overtake_what_was_appended_soon(made: Made) -> None:
    spool, kept = made
    soon = spool.append_soon(outcome("b1"))
    spool.append(outcome("b2"))
    assert kept() == [outcome("b1"), outcome("b2")]
    await soon


async def test_a_caller_who_goes_away_does_not_take_the_record_back(made: Made) -> None:
    spool, kept = made
    spool.append_soon(outcome("b1")).cancel()
    await spool.append_soon(outcome("b2"))
    assert kept() == [outcome("b1"), outcome("b2")]


async def test_a_refused_record_spoils_none_beside_it(made: Made) -> None:
    spool, kept = made
    good, bad = spool.append_soon(outcome("b1")), spool.append_soon(outcome(value=2**64))
    await good
    with pytest.raises(LogRefused):
        await bad
    assert kept() == [outcome("b1")]


async def test_what_waits_is_written_by_close(made: Made) -> None:
    spool, kept = made
    soon = spool.append_soon(outcome("b1"))
    spool.close()
    await soon
    assert kept() == [outcome("b1")]


def test_several_are_kept_in_their_order_and_a_refused_one_spoils_none_beside_it(made: Made) -> None:
    spool, kept = made
    assert spool.append_all([outcome("b1"), outcome("b2")]) == [None, None]
    refusals = spool.append_all([outcome("b3"), outcome(value=2**64), outcome("b4")])
    assert [type(refusal) for refusal in refusals] == [type(None), LogRefused, type(None)]
    assert kept() == [outcome("b1"), outcome("b2"), outcome("b3"), outcome("b4")]


async def test_several_do_not_overtake_what_was_appended_soon(made: Made) -> None:
    spool, kept = made
    soon = spool.append_soon(outcome("b1"))
    spool.append_all([outcome("b2"), outcome("b3")])
    assert kept() == [outcome("b1"), outcome("b2"), outcome("b3")]
    await soon
