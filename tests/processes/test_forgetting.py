"""What is too old goes, a little at a time; what a candidate is judged by and what no export holds stays."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.adapters.lake import MemoryLake
from gateway.core.errors import LakeUnavailable
from gateway.core.retention import DAY_S, Keeping
from gateway.core.rollout import Phase, Signal
from gateway.export import export
from gateway.processes.forgetting import Forgetting
from tests.control_house import NAME, House
from tests.records import T0

RIGHT = {"1": 0.1, "2": 0.1}
DAY = int(T0 // DAY_S)
WEEK = Keeping(predictions_s=7.0 * DAY_S)


async def run(work: Callable[[], Any]) -> Any:
    return work()


def duty(house: House, keeping: Keeping = WEEK, lake: MemoryLake | None = None) -> Forgetting:
    return Forgetting(keeping, house.log, house.state, house.clock, run, lake)


def pass_days(house: House, days: float) -> None:
    house.clock.advance(days * DAY_S)


def stored(house: House) -> int:
    return house.log.books(NAME).predictions["stored"]


async def test_days_older_than_they_are_to_be_kept_go_and_younger_ones_stay() -> None:
    house = House().open()
    house.serve(100, RIGHT)
    pass_days(house, 5)
    house.serve(100, RIGHT)
    assert await duty(house).sweep(house.document) == 0
    pass_days(house, 3.5)
    assert await duty(house).sweep(house.document) == 100
    assert stored(house) == 100
    assert await duty(house).sweep(house.document) == 0


async def test_without_a_time_to_keep_nothing_goes() -> None:
    house = House().open()
    house.serve(100, RIGHT)
    pass_days(house, 10_000)
    assert await duty(house, Keeping()).sweep(house.document) == 0
    assert stored(house) == 100


async def test_what_a_living_candidate_is_judged_by_stays_as_long_as_it_lives() -> None:
    house = House().open()
    house.serve(50, RIGHT)
    pass_days(house, 1)
    house.start()
    house.serve(200, RIGHT)
    house.look()
    before = house.log.books(NAME).predictions["received"]
    pass_days(house, 30)
    assert await duty(house).sweep(house.document) == 50
    assert house.rollout().phase is Phase.RUNNING
    assert house.log.books(NAME).predictions["received"] == before
    house.control.send(NAME, Signal.DEMOTE, actor="ann", reason="enough", candidate="canary")
    assert await duty(house).sweep(house.document) == 200


async def test_a_candidate_that_ended_is_forgotten_with_its_evidence_and_its_decisions_stay() -> None:
    house = House().open()
    generation = house.start().generation
    house.serve(200, RIGHT)
    house.look()
    house.control.send(NAME, Signal.DEMOTE, actor="ann", reason="enough", candidate="canary")
    decisions = house.state.timeline(NAME)
    assert house.state.opening(NAME, generation) is not None
    pass_days(house, 9)
    await duty(house).sweep(house.document)
    assert house.state.opening(NAME, generation) is None
    assert house.state.looks(NAME, generation) == []
    assert house.state.judge_state(NAME, generation) is None
    assert house.state.timeline(NAME) == decisions


async def test_looks_may_go_before_the_predictions_they_looked_at() -> None:
    house = House().open()
    generation = house.start().generation
    house.serve(200, RIGHT)
    house.look()
    house.control.send(NAME, Signal.DEMOTE, actor="ann", reason="enough", candidate="canary")
    pass_days(house, 2)
    assert await duty(house, Keeping(looks_s=1.0 * DAY_S)).sweep(house.document) == 0
    assert house.state.opening(NAME, generation) is None
    assert stored(house) == 200


async def test_a_day_goes_only_once_the_export_holds_it_as_it_is() -> None:
    house, lake = House().open(), MemoryLake()
    house.serve(100, RIGHT)
    pass_days(house, 9)
    assert await duty(house, lake=lake).sweep(house.document) == 0
    list(export(house.log, lake, NAME))
    assert await duty(house, lake=lake).sweep(house.document) == 100
    assert sum(len(rows) for (name, _), rows in lake.rows.items() if name == NAME) == 100


async def test_an_export_that_cannot_be_asked_lets_nothing_go() -> None:
    class Away(MemoryLake):
        def days(self, deployment: str) -> dict[int, int]:
            raise LakeUnavailable(deployment)

    house = House().open()
    house.serve(100, RIGHT)
    pass_days(house, 9)
    with pytest.raises(LakeUnavailable):
        await duty(house, lake=Away()).sweep(house.document)
    assert stored(house) == 100


async def test_what_was_begun_by_an_agent_that_died_is_ended_by_the_next() -> None:
    house = House().open()
    house.serve(100, RIGHT)
    pass_days(house, 9)
    [(day, changes)] = house.log.days(NAME).items()
    assert house.log.close_day(NAME, day, changes)
    assert house.log.forget(NAME, day, 30) == 30
    assert await duty(house).sweep(house.document) == 70


async def test_no_more_than_a_handful_goes_in_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House().open()
    house.serve(1_000, RIGHT)
    pass_days(house, 9)
    asked: list[int] = []

    async def counted(work: Callable[[], Any]) -> Any:
        found = work()
        asked.append(found if isinstance(found, int) and not isinstance(found, bool) else 0)
        return found

    await Forgetting(WEEK, house.log, house.state, house.clock, counted).sweep(house.document)
    assert max(asked) == 250
    assert sum(asked) == 1_000


async def test_a_watched_successors_pairs_stay_until_its_watch_is_over() -> None:
    house = House().open()
    rollout = house.start()
    house.serve(100, RIGHT)
    document = house.document
    watched = replace(document, rollouts={"canary": replace(rollout, phase=Phase.WATCHED)})
    pass_days(house, 30)
    assert await duty(house).sweep(watched) == 0
