"""The story of a look, and of operators, over memory adapters with the real judge."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.clock import ManualClock
from gateway.adapters.store import open_store
from gateway.adapters.store.memory_control import MemoryControlState
from gateway.core.deployments import Guardrail, Plan, Step, Task
from gateway.core.errors import (
    CandidateLatched,
    CandidateRunning,
    InvalidBody,
    InvalidTransition,
    ModelUnusable,
    Problem,
    RevisionConflict,
    StoreUnavailable,
    UnknownDeployment,
    UnknownVariant,
    Unmeasurable,
)
from gateway.core.events import Decision
from gateway.core.features import NO_FEATURES
from gateway.core.rollout import Phase, Signal
from gateway.core.state import DeploymentState
from tests.control_house import NAME, SPEC, T0, House, card
from tests.postgres_house import fresh

GOOD = {"1": 0.2, "2": 0.2}
BETTER = {"1": 0.3, "2": 0.1}
WORSE = {"1": 0.2, "2": 0.6}
SLOW = Plan("slow", (Step(weight=0.2, at_least_s=3_600.0, events=10), Step(weight=0.5)))


@pytest.fixture
def house() -> House:
    return House().open()


def test_a_candidate_that_answers_worse_is_demoted_and_people_are_told_why(house: House) -> None:
    house.start()
    made = house.live(20, WORSE)
    last = made[-1]
    assert (last.action, last.actor, last.candidate) == ("demote", "judge", "canary")
    assert "accuracy" in last.reason
    assert "worse than tolerated" in last.reason
    assert house.rollout().phase is Phase.DEMOTED
    assert house.rollout().weight == 0.0
    assert house.alerts.decisions[-1] == last


def test_a_candidate_that_fails_is_demoted_whatever_stable_answered_instead(house: House) -> None:
    house.start()
    made = house.live(20, GOOD, fails={"2": 0.2})
    assert made[-1].action == "demote"
    assert "failed" in made[-1].reason


def test_a_better_candidate_goes_through_its_steps_and_becomes_stable(house: House) -> None:
    before = house.document.stable
    rollout = house.start()
    made = house.live(40, BETTER)
    assert [decision.action for decision in made] == ["advance", "promote"]
    assert house.document.stable.model.version == "2"
    assert house.document.stable.generation == rollout.generation
    assert house.document.previous == (before,)


def test_a_shadow_step_is_judged_on_pairs_and_moves_on_without_a_caller_having_met_it(house: House) -> None:
    house.start(plan="watchful")
    house.serve(150, GOOD)
    [decision] = house.look()
    assert decision.action == "advance"
    assert decision.evidence["n_pairs"] == 150
    assert decision.evidence["n_candidate"] == 0
    assert house.rollout().weight == 0.5


def test_a_shadow_that_would_answer_worse_is_demoted_before_it_answers_anybody(house: House) -> None:
    house.start(plan="watchful")
    house.serve(90, WORSE)
    [decision] = house.look()
    assert decision.action == "demote"
    assert "paired" in decision.reason


@pytest.mark.parametrize("url", ["memory:", "sqlite:{folder}/store.db", "postgresql:"])
def test_the_whole_way_is_the_same_in_every_store(url: str, tmp_path: Path) -> None:
    store = open_store(fresh(url, folder=tmp_path))
    house = House(store.control, store.events).open(replace(SPEC, maturity_s=60.0))
    house.start("2", plan="watchful")
    rise = [decision.action for decision in house.live(40, BETTER)]
    house.start("3", plan="quick")
    fall = house.live(20, {"2": 0.1, "3": 0.5})
    store.close()
    assert (rise, [decision.action for decision in fall]) == (["advance", "promote"], ["demote"])


def test_a_decision_carries_its_evidence_and_stands_in_the_timeline_of_the_same_revision(house: House) -> None:
    house.start()
    demotion = house.live(20, WORSE)[-1]
    [newest, *_] = house.state.timeline(NAME)
    assert newest.reason == demotion.reason
    assert newest.revision == house.document.revision
    assert newest.evidence["judge_version"]
    assert newest.evidence["visible"] == house.log.cursors()
    assert newest.evidence["verdict"]["finding"] == "fail"
    assert newest.evidence["window"]["until"] == house.clock.data()


def test_a_look_that_decides_nothing_moves_no_revision_and_remembers_what_it_saw(house: House) -> None:
    house.start()
    revision = house.document.revision
    house.serve(20, GOOD)
    assert house.look() == []
    assert house.document.revision == revision
    case = house.control.case(house.rollout(), NAME)
    assert case.judged_until == house.clock.data()
    assert case.cursor == house.log.cursors()


def test_every_record_is_handed_to_the_judge_once(house: House) -> None:
    house.start()
    house.serve(100, GOOD)
    house.look()
    once = house.control.case(house.rollout(), NAME)
    house.look()
    assert house.control.case(house.rollout(), NAME) == once


def test_labels_count_at_the_age_the_deployment_declares() -> None:
    house = House().open(replace(SPEC, maturity_s=500.0))
    house.start()
    house.serve(300, GOOD)
    house.look()
    case = house.control.case(house.rollout(), NAME)
    assert sum(stratum.n for stratum in case.rates["error_rate"].strata) == 300
    assert sum(stratum.n for stratum in case.rates["accuracy"].strata) == 0
    house.serve(300, GOOD)
    house.look()
    matured = house.control.case(house.rollout(), NAME)
    assert sum(stratum.n for stratum in matured.rates["accuracy"].strata) == 100


def test_a_paused_rollout_is_still_judged_and_may_still_be_demoted(house: House) -> None:
    house.start()
    house.control.send(NAME, Signal.PAUSE, actor="ann", reason="lunch")
    assert house.live(20, WORSE)[-1].action == "demote"


def test_a_step_with_approval_waits_and_resume_goes_on(house: House) -> None:
    house.start(plan="cautious")
    made = house.live(10, GOOD)
    assert [decision.action for decision in made] == ["await"]
    house.control.send(NAME, Signal.RESUME, actor="ann", reason="looks fine")
    assert (house.rollout().step, house.rollout().weight) == (1, 0.5)


def test_changed_guardrails_hold_for_the_next_candidate_not_for_this_one(house: House) -> None:
    house.start()
    house.control.apply(replace(SPEC, guardrails=(Guardrail("error_rate"),)), actor="ann", reason="simpler")
    assert [one.metric for one in house.rollout().terms.guardrails] == ["error_rate", "accuracy"]
    assert house.live(20, WORSE)[-1].action == "demote"
    assert [one.metric for one in house.start("3").terms.guardrails] == ["error_rate"]


def test_whoever_was_judged_against_the_old_stable_begins_again_as_a_new_generation(house: House) -> None:
    house.start("2", name="a")
    before = house.start("3", name="b")
    house.serve(100, GOOD)
    house.look()
    house.control.send(NAME, Signal.PROMOTE, candidate="a", actor="ann", reason="sure")
    after = house.rollout("b")
    assert after.generation != before.generation
    assert (after.salt, after.weight, after.phase) == (before.salt, before.weight, Phase.RUNNING)
    assert house.control.case(after, NAME).judged_until is None


def test_candidates_at_once_are_each_judged_against_stable_by_their_own_evidence() -> None:
    house = House().open(replace(SPEC, plans={"fifth": Plan("fifth", (Step(weight=0.2, events=100),))}))
    rates = {"1": 0.3, "2": 0.1, "3": 0.6, "4": 0.3}
    begun = [house.start(version, "fifth", name) for name, version in (("better", "2"), ("worse", "3"), ("alike", "4"))]
    assert len({one.salt for one in begun}) == len({one.generation for one in begun}) == 3
    for _ in range(60):
        house.serve(200, rates)
        house.look()
        if house.rollout("better").phase is Phase.PROMOTED and house.rollout("worse").phase is Phase.DEMOTED:
            break
    assert house.document.stable.model.version == "2"
    assert house.rollout("worse").phase is Phase.DEMOTED
    assert house.rollout("alike").generation != begun[2].generation  # what it is judged against has changed
    assert house.rollout("alike").salt == begun[2].salt


class Contested(MemoryControlState):
    """A store where somebody else always writes first, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = 0
        self.left = times

    def write(self, state: DeploymentState, expected: int, decisions: Sequence[Decision]) -> None:
        """Let the other one in first."""
        if self.left and decisions and decisions[0].actor == "judge":
            self.left -= 1
            self.times += 1
            standing = self.read(state.deployment)
            assert standing is not None
            super().write(replace(standing, revision=standing.revision + 1), standing.revision, [])
        super().write(state, expected, decisions)


def test_a_demotion_is_written_again_until_it_holds() -> None:
    contested = Contested(times=3)
    house = House(state=contested).open()
    house.start()
    assert house.live(20, WORSE)[-1].action == "demote"
    assert contested.times == 3
    assert house.rollout().phase is Phase.DEMOTED


class Meddled(Contested):
    """A store where an operator demotes the candidate between a look's reading and its writing."""

    def write(self, state: DeploymentState, expected: int, decisions: Sequence[Decision]) -> None:
        """Demote first."""
        if self.left and decisions and decisions[0].actor == "judge":
            self.left = 0
            standing = self.read(state.deployment)
            assert standing is not None
            gone = replace(standing.rollouts["canary"], phase=Phase.DEMOTED, weight=0.0)
            super().write(
                replace(standing, revision=standing.revision + 1, rollouts={"canary": gone}), standing.revision, []
            )
        super().write(state, expected, decisions)


def test_a_promotion_never_wins_over_a_demotion_that_came_in_between() -> None:
    house = House(state=Meddled(times=1)).open()
    house.start()
    assert house.live(40, BETTER) == []
    assert house.rollout().phase is Phase.DEMOTED
    assert house.document.stable.model.version == "1"


class Unreachable(MemoryControlState):
    """A store that goes away before decisions."""

    def write(self, state: DeploymentState, expected: int, decisions: Sequence[Decision]) -> None:
        """Fail the judge's writes."""
        if decisions and decisions[0].actor == "judge":
            raise StoreUnavailable("gone")
        super().write(state, expected, decisions)


def test_a_decision_that_could_not_be_stored_is_told_to_nobody() -> None:
    house = House(state=Unreachable()).open()
    house.start()
    told = len(house.alerts.decisions)
    with pytest.raises(StoreUnavailable):
        house.live(20, WORSE)
    assert len(house.alerts.decisions) == told
    assert house.rollout().phase is Phase.RUNNING


def test_a_rollout_does_not_move_up_while_too_much_of_its_evidence_is_left_out(house: House) -> None:
    house.start()
    house.serve(300, GOOD)
    house.serve(300, GOOD, degraded=True)
    assert house.control.degraded(house.document, house.rollout(), house.clock.data()) == 0.5
    assert house.look() == []
    house.serve(1_000, GOOD)
    assert [decision.action for decision in house.look()] == ["advance"]


def test_the_first_document_is_the_specs_and_afterwards_control_state_wins(house: House) -> None:
    again = house.control.found(replace(SPEC, keep_previous=9), card("9"), actor="test")
    assert again == house.document
    assert (again.stable.model.version, again.revision) == ("1", 1)


def test_a_candidate_takes_traffic_only_once_every_worker_is_ready(house: House) -> None:
    house.control.start_canary(NAME, card("2"), NO_FEATURES, plan="quick", actor="ann")
    assert (house.rollout().phase, house.rollout().weight) == (Phase.PREPARING, 0.0)
    generation = house.rollout().generation
    assert house.control.ready(NAME, "another") is None
    assert house.control.ready(NAME, generation) is not None
    assert house.control.ready(NAME, generation) is None
    assert (house.rollout().phase, house.rollout().weight) == (Phase.RUNNING, 0.2)


def test_a_candidate_started_before_a_replay_showed_any_time_counts_from_the_first_look() -> None:
    house = House(clock=ManualClock(data=0.0)).open(replace(SPEC, plans={"slow": SLOW}))
    house.start(plan="slow")
    house.clock.observe(T0)
    house.serve(300, GOOD)
    assert house.look() == []
    house.clock.advance(3_600.0)
    assert [decision.action for decision in house.look()] == ["advance"]


def test_data_time_of_decisions_never_goes_back_even_where_a_replay_clock_starts_anew(house: House) -> None:
    house.start()
    house.clock = ManualClock(data=0.0)
    again = House(state=house.state, log=house.log, clock=house.clock)
    assert again.control.send(NAME, Signal.PAUSE, actor="ann", reason="").data_at == T0


def test_a_candidate_that_cannot_be_judged_or_served_is_refused_and_leaves_no_trace(house: House) -> None:
    revision = house.document.revision

    def start(**fields: object) -> None:
        house.control.start_canary(NAME, card("2", **fields), NO_FEATURES, plan="quick", actor="ann")

    with pytest.raises(Unmeasurable):
        start(task=Task.REGRESSION)
    with pytest.raises(InvalidBody):
        house.control.start_canary(NAME, card("2"), NO_FEATURES, plan="heroic", actor="ann")
    with pytest.raises(InvalidBody):
        house.control.start_canary(NAME, card("2"), NO_FEATURES, plan="quick", name="stable", actor="ann")
    with pytest.raises(ModelUnusable):
        start(task=Task.MULTICLASS)
    with pytest.raises(UnknownDeployment):
        house.control.start_canary("nowhere", card("2"), NO_FEATURES, actor="ann")
    assert house.document.revision == revision


def test_one_candidate_of_a_name_at_a_time_and_a_demoted_one_may_be_followed(house: House) -> None:
    first = house.start()
    with pytest.raises(CandidateRunning):
        house.start("3")
    house.control.send(NAME, Signal.DEMOTE, actor="ann", reason="no")
    assert house.start("3").generation != first.generation


def test_traffic_by_hand_pauses_the_plan_and_resume_returns_to_it(house: House) -> None:
    house.start()
    revision = house.document.revision
    decision = house.control.set_traffic(NAME, {"canary": 0.4}, {}, expected=revision, actor="ann", reason="more")
    assert (house.rollout().phase, house.rollout().weight) == (Phase.PAUSED, 0.4)
    assert decision.evidence["split"] == {"weights": {"canary": 0.4}, "shadows": {}}
    house.control.send(NAME, Signal.RESUME, actor="ann", reason="back")
    assert (house.rollout().phase, house.rollout().weight) == (Phase.RUNNING, 0.2)


def test_traffic_made_for_another_revision_is_refused(house: House) -> None:
    house.start()
    with pytest.raises(RevisionConflict):
        house.control.set_traffic(NAME, {"canary": 0.4}, {}, expected=1, actor="ann", reason="late")


def test_traffic_by_hand_never_revives_a_demoted_candidate(house: House) -> None:
    house.start()
    house.control.send(NAME, Signal.DEMOTE, actor="ann", reason="no")
    revision = house.document.revision
    with pytest.raises(CandidateLatched):
        house.control.set_traffic(NAME, {"canary": 0.1}, {}, expected=revision, actor="ann", reason="please")
    house.control.set_traffic(NAME, {"canary": 0.0}, {}, expected=revision, actor="ann", reason="all to stable")


def test_traffic_to_unknown_names_or_to_more_than_everybody_is_refused(house: House) -> None:
    house.start("2", name="a")
    house.start("3", name="b")
    revision = house.document.revision
    with pytest.raises(UnknownVariant):
        house.control.set_traffic(NAME, {"c": 0.1}, {}, expected=revision, actor="ann", reason="")
    with pytest.raises(InvalidBody):
        house.control.set_traffic(NAME, {"a": 0.6, "b": 0.6}, {}, expected=revision, actor="ann", reason="")


def test_a_step_that_would_leave_stable_less_than_nothing_is_not_entered(house: House) -> None:
    house.start("2", name="a")
    house.start("3", name="b")
    revision = house.document.revision
    house.control.set_traffic(NAME, {"a": 0.9, "b": 0.1}, {}, expected=revision, actor="ann", reason="")
    house.control.start_canary(NAME, card("4"), NO_FEATURES, plan="quick", name="c", actor="ann")
    assert house.control.ready(NAME, house.rollout("c").generation) is None
    assert house.rollout("c").phase is Phase.PREPARING
    with pytest.raises(InvalidTransition, match="exceed 1"):
        house.control.send(NAME, Signal.RESUME, candidate="b", actor="ann", reason="")


def test_shadows_come_change_their_rate_and_go(house: House) -> None:
    house.control.trials.add(NAME, card("9"), NO_FEATURES, name="v9", rate=1.0, actor="ann", reason="watch")
    with pytest.raises(InvalidBody):
        house.control.trials.add(NAME, card("8"), NO_FEATURES, name="v9", rate=1.0, actor="ann", reason="watch")
    revision = house.document.revision
    house.control.set_traffic(NAME, {}, {"v9": 0.25}, expected=revision, actor="ann", reason="less")
    assert house.document.shadows["v9"].rate == 0.25
    house.control.set_traffic(NAME, {}, {}, expected=revision + 1, actor="ann", reason="stop")
    assert house.document.shadows == {}
    with pytest.raises(UnknownVariant):
        house.control.trials.remove(NAME, "v9", actor="ann", reason="gone")


def test_rollback_returns_to_the_previous_stable_and_says_so_when_there_is_none(house: House) -> None:
    with pytest.raises(InvalidTransition):
        house.control.rollback(NAME, actor="ann", reason="back")
    house.start()
    house.control.send(NAME, Signal.PROMOTE, actor="ann", reason="sure")
    house.control.rollback(NAME, actor="ann", reason="not so sure")
    assert house.document.stable.model.version == "1"
    assert house.document.previous == ()


def test_rollback_goes_to_any_former_stable_of_the_window_and_keeps_those_in_between(house: House) -> None:
    for version in ("2", "3", "4"):
        house.start(version)
        house.control.send(NAME, Signal.PROMOTE, actor="ann", reason="sure")
    with pytest.raises(InvalidBody) as refused:
        house.control.rollback(NAME, actor="ann", reason="back", to="9")
    assert refused.value.problems == (Problem("/to", "Must be the version of a former stable: 3, 2, 1."),)
    house.control.rollback(NAME, actor="ann", reason="back", to="2")
    assert house.document.stable.model.version == "2"
    assert [part.model.version for part in house.document.previous] == ["3", "1"]
    house.control.rollback(NAME, actor="ann", reason="further", to="1")
    house.control.rollback(NAME, actor="ann", reason="forward")
    assert (house.document.stable.model.version, house.document.previous) == ("3", ())


def test_only_so_many_former_stables_stay_warm() -> None:
    house = House().open(replace(SPEC, keep_previous=1))
    for version in ("2", "3"):
        house.start(version)
        house.control.send(NAME, Signal.PROMOTE, actor="ann", reason="next")
    assert [part.model.version for part in house.document.previous] == ["2"]


def test_signals_that_make_no_sense_are_refused_with_phase_and_signal(house: House) -> None:
    with pytest.raises(InvalidTransition, match="no candidate to tell to pause"):
        house.control.send(NAME, Signal.PAUSE, actor="ann", reason="")
    with pytest.raises(UnknownVariant):
        house.control.send(NAME, Signal.PAUSE, actor="ann", reason="", candidate="bob")
    house.start()
    house.control.send(NAME, Signal.DEMOTE, actor="ann", reason="")
    with pytest.raises(InvalidTransition) as refused:
        house.control.send(NAME, Signal.RESUME, actor="ann", reason="")
    assert (refused.value.phase, refused.value.signal) == ("demoted", "resume")


def test_every_operators_change_names_who_why_and_when(house: House) -> None:
    house.start()
    decision = house.control.send(NAME, Signal.PAUSE, actor="ann", reason="lunch")
    assert (decision.actor, decision.reason, decision.data_at) == ("ann", "lunch", T0)
    assert house.state.timeline(NAME)[0] == decision
    assert house.alerts.decisions[-1] == decision
