"""After a promotion: the former stable watches, and late labels may bring it back. And shadows straight to stable."""

from dataclasses import replace

import pytest

from gateway.core.deployments import Guardrail, Plan, Step
from gateway.core.errors import CandidateRunning, InvalidBody
from gateway.core.rollout import Phase, Signal
from gateway.core.state import FORMER
from gateway.replay import from_evidence, replay
from tests.control_house import NAME, SPEC, House

BETTER = {"1": 0.3, "2": 0.1}
TURNED = {"1": 0.3, "2": 0.6}
WATCH_S = 2_000.0
WATCHED = Plan("watched", (Step(weight=0.5, events=50),), watch_s=WATCH_S)
WATCHED_SPEC = replace(SPEC, plans={"watched": WATCHED, "quick": SPEC.plans["quick"]})
UNSEEN = Plan("unseen", (Step(shadow=1.0, events=100),))


@pytest.fixture
def house() -> House:
    """Version 2 has been promoted and version 1 watches it."""
    house = House().open(WATCHED_SPEC)
    house.start(plan="watched")
    assert house.live(40, BETTER)[-1].action == "promote"
    return house


def test_the_former_stable_stays_as_a_shadow_and_answers_nobody(house: House) -> None:
    assert house.document.stable.model.version == "2"
    assert house.rollout().phase is Phase.WATCHED
    shadow = house.document.shadows[FORMER]
    assert (shadow.part.model.version, shadow.rate) == ("1", 1.0)


def test_late_labels_bring_the_former_stable_back(house: House) -> None:
    made = []
    for _ in range(9):
        house.serve(100, TURNED)
        made += house.look()
    assert [(one.action, one.actor, one.candidate) for one in made] == [("rollback", "judge", "canary")]
    assert "After its promotion, on the same requests as flights 1" in made[0].reason
    assert house.document.stable.model.version == "1"
    assert house.rollout().phase is Phase.DEMOTED
    assert FORMER not in house.document.shadows
    assert [part.model.version for part in house.document.previous] == []


def test_the_old_generation_of_stable_returns_and_not_a_new_one(house: House) -> None:
    [former] = house.document.previous
    house.serve(300, TURNED)
    house.look()
    assert house.document.stable == former


def test_a_stable_that_stays_good_outlives_its_watch_and_the_shadow_leaves(house: House) -> None:
    made = []
    for _ in range(22):
        house.serve(100, BETTER)
        made += house.look()
    assert [decision.action for decision in made] == ["settle"]
    assert made[0].data_at - house.document.rollouts["canary"].watch.since >= WATCH_S  # type: ignore[union-attr]
    assert house.rollout().phase is Phase.PROMOTED
    assert FORMER not in house.document.shadows
    assert house.document.stable.model.version == "2"


def test_the_watch_waits_for_the_labels_of_its_last_requests() -> None:
    house = House().open(replace(WATCHED_SPEC, maturity_s=500.0))
    house.start(plan="watched")
    house.live(40, BETTER)
    watch = house.rollout().watch
    assert watch is not None
    assert watch.over_at == watch.since + WATCH_S + 500.0


def test_rollbacks_and_settlements_replay_to_the_bit(house: House) -> None:
    house.serve(300, TURNED)
    house.look()
    found = [decision for decision in house.state.timeline(NAME) if from_evidence(decision)]
    assert {decision.action for decision in found} == {"promote", "rollback"}
    assert all(replay(house.state, house.log, decision).equal for decision in found)


@pytest.mark.parametrize("by", ["demote", "rollback"])
def test_an_operator_returns_to_the_former_stable_by_either_word(house: House, by: str) -> None:
    if by == "demote":
        said = house.control.send(NAME, Signal.DEMOTE, actor="ann", reason="no")
    else:
        said = house.control.rollback(NAME, actor="ann", reason="no")
    assert (said.action, said.actor) == ("rollback", "ann")
    assert house.document.stable.model.version == "1"
    assert house.rollout().phase is Phase.DEMOTED
    assert house.document.shadows == {}


def test_a_version_named_from_under_watch_is_the_former_stables_or_an_older_ones(house: House) -> None:
    with pytest.raises(InvalidBody):
        house.control.rollback(NAME, actor="ann", reason="no", to="9")
    assert house.rollout().phase is Phase.WATCHED
    house.control.rollback(NAME, actor="ann", reason="no", to="1")
    assert (house.document.stable.model.version, house.rollout().phase) == ("1", Phase.DEMOTED)


def test_an_operator_ends_the_watch_by_promoting_again(house: House) -> None:
    said = house.control.send(NAME, Signal.PROMOTE, actor="ann", reason="sure")
    assert said.action == "settle"
    assert house.rollout().phase is Phase.PROMOTED
    assert house.document.stable.model.version == "2"
    assert house.document.shadows == {}


def test_a_rollback_leaves_other_candidates_with_evidence_against_the_right_stable(house: House) -> None:
    before = house.start("3", plan="quick", name="next")
    house.control.rollback(NAME, actor="ann", reason="no")
    assert house.rollout("next").generation != before.generation


def test_the_watch_ends_when_another_candidate_is_promoted(house: House) -> None:
    house.start("3", plan="quick", name="next")
    house.control.send(NAME, Signal.PROMOTE, candidate="next", actor="ann", reason="sure")
    assert house.rollout().phase is Phase.PROMOTED
    assert FORMER not in house.document.shadows
    house.serve(300, {"1": 0.3, "2": 0.6, "3": 0.1})
    assert house.look() == []


def test_a_name_is_taken_while_its_model_is_under_watch(house: House) -> None:
    with pytest.raises(CandidateRunning, match="watched"):
        house.start("3", plan="quick")


def test_a_former_stable_that_nobody_kept_warm_still_comes_back() -> None:
    house = House().open(replace(WATCHED_SPEC, keep_previous=0))
    house.start(plan="watched")
    house.live(40, BETTER)
    house.serve(300, TURNED)
    [decision] = house.look()
    assert decision.action == "rollback"
    assert house.document.stable.model.version == "1"


def test_a_former_stable_that_is_wrong_brings_nobody_back(house: House) -> None:
    """Swapping the sides must not swap the blame."""
    house.serve(300, {"1": 1.0, "2": 0.1})
    assert house.look() == []
    case = house.control.case(house.rollout(), NAME)
    assert case.pairs["paired_accuracy"].cells[1] > case.pairs["paired_accuracy"].cells[0]


def test_a_watch_in_which_nothing_could_be_seen_is_refused() -> None:
    house = House().open(replace(WATCHED_SPEC, guardrails=(Guardrail("error_rate"),)))
    with pytest.raises(InvalidBody) as refused:
        house.start(plan="watched")
    assert "judged by labels" in refused.value.problems[0].detail


def test_a_shadow_goes_straight_to_stable_where_labels_are_independent() -> None:
    house = House().open(replace(SPEC, plans={"unseen": UNSEEN}, labels_independent=True))
    house.start(plan="unseen")
    made = house.live(20, BETTER)
    assert [decision.action for decision in made] == ["promote"]
    assert "as a shadow, on the same requests" in made[0].reason
    assert made[0].evidence["n_candidate"] == 0
    assert house.document.stable.model.version == "2"
    assert replay(house.state, house.log, made[0]).equal


def test_without_that_declaration_a_shadow_stays_a_shadow() -> None:
    house = House().open(replace(SPEC, plans={"unseen": UNSEEN}))
    house.start(plan="unseen")
    assert house.live(20, BETTER) == []
    assert house.rollout().phase is Phase.RUNNING


def test_a_shadow_without_a_guardrail_that_labels_decide_cannot_be_shown_to_be_safe() -> None:
    errors = Guardrail("error_rate", relative=1.1, margin_absolute=0.05)
    house = House().open(replace(SPEC, guardrails=(errors,), plans={"unseen": UNSEEN}, labels_independent=True))
    house.start(plan="unseen")
    assert house.live(20, BETTER) == []
