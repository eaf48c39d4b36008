"""Outcomes whose prediction never came are given up in small transactions, with room for a drain in between."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.adapters.clock import ManualClock
from gateway.adapters.models.prepare import ModelCache
from gateway.adapters.store.memory import MemoryEventLog
from gateway.ports import EXPIRED_AT_ONCE
from gateway.processes.sweeping import Sweeping
from tests.records import T0, outcome

DAY_S = 86_400.0


async def test_a_flood_of_orphans_goes_in_many_turns_and_what_is_young_stays(tmp_path: Path) -> None:
    log, clock, turns = MemoryEventLog(), ManualClock(data=T0 + 2 * DAY_S), list[int]()
    old, young = 2 * EXPIRED_AT_ONCE + 1, 3
    orphans = [outcome(f"b{n}", 1, T0 if n < old else T0 + 1.5 * DAY_S) for n in range(old + young)]
    log.append("w-o000000", list(enumerate(orphans)), len(orphans))

    async def run(work: Callable[[], Any]) -> Any:
        turns.append(work())
        return turns[-1]

    sweeping = Sweeping(ModelCache(tmp_path), log, clock, run, set, ttl_s=DAY_S)
    assert await sweeping.expire() == old
    assert turns == [EXPIRED_AT_ONCE, EXPIRED_AT_ONCE, 1]
    assert log.books().outcomes["waiting"] == young
