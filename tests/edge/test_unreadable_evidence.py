"""Evidence that cannot be read: closed and begun again in the open, and nobody else's look is held up by it."""

from dataclasses import replace

import pytest

from gateway.core.deployments import Plan, Step
from gateway.core.errors import EvidenceUnreadable
from gateway.core.features import NO_FEATURES
from gateway.core.looks import Look
from gateway.core.rollout import Phase
from gateway.core.state import FORMER
from tests.control_house import NAME, SPEC, House, card

ALIKE = {"1": 0.2, "2": 0.2, "3": 0.2, "9": 0.2}


def spoil(house: House, generation: str) -> None:
    """Leave in the store what no judge has written."""
    house.state.save_look(NAME, generation, b'{"version": "0"}', Look(house.clock.data()))


@pytest.fixture
def house() -> House:
    """A candidate that was looked at once."""
    opened = House().open()
    opened.start()
    opened.serve(100, ALIKE)
    opened.look()
    return opened


def test_a_candidate_begins_again_on_its_step_and_the_timeline_says_why(house: House) -> None:
    before = house.rollout()
    spoil(house, before.generation)
    with pytest.raises(EvidenceUnreadable):
        house.control.verdict(NAME)
    house.serve(10, ALIKE)
    [made] = house.look()
    assert (made.action, made.actor, made.candidate) == ("renew", "judge", "canary")
    assert "could not be read" in made.reason
    after = house.rollout()
    assert (after.phase, after.step, after.weight) == (before.phase, before.step, before.weight)
    assert after.generation != before.generation
    assert house.control.case(after, NAME).n_candidate == 0


def test_it_is_judged_to_its_end_after_that(house: House) -> None:
    spoil(house, house.rollout().generation)
    assert [one.action for one in house.live(60, {"1": 0.1, "2": 0.5})] == ["renew", "demote"]


def test_others_are_looked_at_all_the_same(house: House) -> None:
    house.start("3", name="other")
    spoil(house, house.rollout().generation)
    house.serve(200, ALIKE)
    house.look()
    assert house.control.case(house.rollout("other"), NAME).n_candidate > 0


def test_a_shadow_on_trial_begins_again(house: House) -> None:
    house.control.trials.add(NAME, card("9"), NO_FEATURES, name="v9", rate=1.0, actor="ann", reason="watch")
    before = house.document.trials["v9"]
    spoil(house, before.generation)
    house.serve(10, ALIKE)
    assert [(one.action, one.candidate) for one in house.look()] == [("renew", "v9")]
    after = house.document.trials["v9"].generation
    assert after == house.document.shadows["v9"].part.generation != before.generation


def test_a_watch_begins_again_with_as_much_time_as_it_had() -> None:
    plan = Plan("watched", (Step(weight=0.5, events=50),), watch_s=2_000.0)
    house = House().open(replace(SPEC, plans={"watched": plan}))
    house.start(plan="watched")
    house.live(40, {"1": 0.3, "2": 0.1})
    before = house.rollout().watch
    assert before is not None
    spoil(house, before.generation)
    house.serve(10, ALIKE)
    assert [one.action for one in house.look()] == ["renew"]
    after = house.rollout().watch
    assert after is not None
    assert house.rollout().phase is Phase.WATCHED
    assert (after.over_at - after.since, after.former) == (before.over_at - before.since, before.former)
    assert house.document.shadows[FORMER].part.generation == after.generation != before.generation
    house.serve(300, {"1": 0.1, "2": 0.6})
    assert [one.action for one in house.look()] == ["rollback"]
