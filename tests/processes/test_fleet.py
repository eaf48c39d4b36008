"""Hosts around one store: who looks, up to where, and whom nobody waits for."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.adapters.clock import ManualClock
from gateway.adapters.spool.drain import SpoolReader
from gateway.adapters.spool.segment import SegmentSpool
from gateway.adapters.store import open_store
from gateway.adapters.store.solo import SoloLeadership
from gateway.core.events import Punctuation
from gateway.ports import HostWord
from gateway.processes.drainer import Drainer
from gateway.processes.fleet import Fleet

_Result = TypeVar("_Result")


async def run(work: Callable[[], _Result]) -> _Result:
    return work()


class Shaky(SoloLeadership):
    """Leads until it is told that it does not."""

    lost = False

    def acquire(self) -> int | None:
        return None if self.lost else super().acquire()


class House:
    """One host with a spool of its own; other hosts are what they say."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(machine=50.0)
        self.store = replace(open_store("memory:"), leadership=Shaky())
        self.spool = SegmentSpool(folder / "spool", writer="host-boot-1-1")
        self.drainer = Drainer(SpoolReader(folder / "spool"), self.store.events, self.clock)
        self.fleet = Fleet(self.store, "here", self.drainer, self.clock)

    async def come_to(self, low: float | None, high: float) -> float | None:
        self.spool.append(Punctuation(low, high))
        self.drainer.drain()
        await self.fleet.beat([], run)
        return self.fleet.watermark()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def before(at: float) -> float:
    return math.nextafter(at, -math.inf)


async def test_alone_a_host_leads_and_looks_up_to_where_it_has_drained(house: House) -> None:
    assert await house.come_to(100.0, 120.0) == before(100.0)
    assert house.fleet.leads
    assert [word.host for word in house.fleet.live] == ["here"]
    assert house.fleet.others() == []


async def test_what_only_one_host_may_do_is_done_while_it_leads(house: House) -> None:
    told: list[str] = []

    async def duty() -> None:
        told.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            told.append("ended")

    doing = asyncio.create_task(house.fleet.while_leading(duty))
    await asyncio.sleep(0.01)
    assert told == []
    await house.come_to(None, 1.0)
    await asyncio.sleep(0.01)
    assert told == ["begun"]
    house.store.leadership.lost = True  # type: ignore[attr-defined]
    await house.fleet.beat([], run)
    await asyncio.sleep(0.01)
    assert told == ["begun", "ended"]
    house.store.leadership.lost = False  # type: ignore[attr-defined]
    await house.fleet.beat([], run)
    await asyncio.sleep(0.01)
    assert told == ["begun", "ended", "begun"]
    doing.cancel()


async def test_a_host_says_nothing_before_it_has_drained_what_was_left_behind(house: House) -> None:
    await house.fleet.beat([], run)
    assert not house.fleet.leads
    assert house.fleet.live == []


async def test_the_watermark_waits_for_the_slowest_host(house: House) -> None:
    house.store.hosts.beat(HostWord("there", low=90.0, high=200.0))
    assert await house.come_to(100.0, 120.0) == before(90.0)
    house.store.hosts.beat(HostWord("there", low=None, high=200.0))
    assert await house.come_to(100.0, 120.0) == before(100.0)


async def test_nobody_waits_for_a_host_that_is_gone_or_has_nothing_to_say(house: House) -> None:
    house.store.hosts.beat(HostWord("there", low=90.0, high=200.0))
    house.store.hosts.beat(HostWord("idle"))
    await house.come_to(100.0, 120.0)
    house.store.hosts.leave("there")
    assert await house.come_to(110.0, 130.0) == before(110.0)


async def test_the_watermark_never_moves_back(house: House) -> None:
    assert await house.come_to(100.0, 120.0) == before(100.0)
    house.store.hosts.beat(HostWord("there", low=10.0, high=20.0))
    assert await house.come_to(105.0, 120.0) == before(100.0)


async def test_a_model_is_ready_once_every_live_host_has_it_warm(house: House) -> None:
    await house.come_to(None, 1.0)
    assert not house.fleet.loaded("d")
    house.store.hosts.leave("here")
    for host, loaded in (("a", {"d"}), ("b", {"c"})):
        house.store.hosts.beat(HostWord(host, loaded=frozenset(loaded), failed={"e": f"{host} cannot"}))
    house.fleet.live = house.store.hosts.live()
    assert (house.fleet.loaded("d"), house.fleet.failed("e"), house.fleet.failed("d")) == (False, "a cannot", None)
    house.store.hosts.beat(HostWord("b", loaded=frozenset({"c", "d"})))
    house.fleet.live = house.store.hosts.live()
    assert (house.fleet.loaded("d"), house.fleet.failed("e")) == (True, None)
