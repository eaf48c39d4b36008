"""A look at drift: what it sees, whose fault it says it is, what follows, and that nothing is lost on the way."""

from dataclasses import replace

import pytest

from gateway.core.deployments import DeploymentSpec
from gateway.core.drift.causes import INPUTS, PREDICTIONS, Cause
from gateway.core.drift.terms import DriftTerms, Effect, Reference
from gateway.core.retraining.runs import Retraining, Run, RunPhase
from gateway.core.retraining.terms import Trigger
from gateway.core.rollout import Phase, Signal
from gateway.documents import Note
from tests.control_house import NAME
from tests.drift_house import TICK_S, DriftHouse, usual


def test_undrifted_traffic_raises_nothing() -> None:
    house = DriftHouse()
    assert house.ticks(60) is None
    report = house.drifting.report(NAME)
    assert report.cause is Cause.NONE
    assert {one.feature for one in report.watches[0].findings} == {
        "delay", "carrier", "prediction.score", "prediction.label", "joint.residual", "joint.distance"
    }  # fmt: skip


def test_a_shifted_feature_is_told_with_its_cause_in_the_timeline() -> None:
    house = DriftHouse()
    house.ticks(10)
    took = house.ticks(20, delay=0.5)
    assert took is not None and took <= 4
    told = [event for event in house.heard.events if event.alarm.feature == "delay"]
    assert [(event.cause, event.alarm.scope, event.ended) for event in told] == [(Cause.DATA, INPUTS, False)]
    [line] = [one for one in house.house.state.timeline(NAME) if one.action == "drift" and "delay moved" in one.reason]
    assert line.actor == "drift"
    assert "moved up by" in line.reason and "the data drifted" in line.reason


def test_an_alarm_ends_after_a_calm_day_and_the_timeline_says_so() -> None:
    house = DriftHouse()
    house.ticks(20, delay=1.0)
    for _ in range(200):
        house.tick(20)
    assert house.drifting.report(NAME).cause is Cause.NONE
    assert {event.ended for event in house.heard.events} == {False, True}
    assert house.house.state.timeline(NAME, 1)[0].action == "drift_ended"


def test_values_that_go_stale_are_drift() -> None:
    house = DriftHouse()
    assert house.ticks(10, stale=0.1) is not None
    assert "stale values" in house.heard.events[0].alarm.sentence


def test_a_feature_that_changes_its_format_is_an_alarm_and_no_crash() -> None:
    house = DriftHouse()
    assert house.ticks(10, text=0.5) is not None
    assert any("invalid values" in event.alarm.sentence for event in house.heard.events)


def test_a_feature_that_comes_no_more_is_an_alarm() -> None:
    house = DriftHouse()
    assert house.ticks(10, names=("carrier",)) is not None
    assert any("absent values" in event.alarm.sentence for event in house.heard.events)


def test_answers_that_move_in_the_candidate_alone_are_the_candidates_fault() -> None:
    house = DriftHouse(second=usual(seed=2))
    house.house.start("2")
    assert house.ticks(30, share=0.5, candidate_score=0.2) is not None
    assert {(event.cause, event.alarm.scope, event.alarm.variant) for event in house.heard.events} == {
        (Cause.CANDIDATE, PREDICTIONS, "canary")
    }


def test_answers_that_move_in_all_arms_are_the_datas_doing() -> None:
    house = DriftHouse(second=usual(seed=2))
    house.house.start("2")
    for _ in range(20):
        house.tick(share=0.5, score=0.2)
    assert house.drifting.report(NAME).cause is Cause.DATA


def test_answers_that_move_in_stable_alone_are_said_to_be_its_own() -> None:
    house = DriftHouse()
    house.ticks(20, score=0.2)
    assert {event.cause for event in house.heard.events} == {Cause.OUTPUT}


def test_data_drift_holds_the_ramp_where_declared_and_an_operators_resume_is_respected() -> None:
    house = DriftHouse(DriftTerms(effect=Effect.HOLD))
    house.house.start("2")
    house.ticks(20, delay=1.0)
    assert house.house.rollout().phase is Phase.PAUSED
    assert "the data drifted" in house.house.state.timeline(NAME, 1)[0].reason
    house.house.control.send(NAME, Signal.RESUME, actor="ann", reason="we know")
    house.ticks(10, delay=1.0)
    assert house.house.rollout().phase is Phase.RUNNING


@pytest.mark.parametrize(("asked_by", "phase"), [(Trigger.DRIFT, Phase.RUNNING), (Trigger.LABELS, Phase.PAUSED)])
def test_what_was_trained_on_the_drift_that_stands_is_not_held_by_it(asked_by: Trigger, phase: Phase) -> None:
    house = DriftHouse(DriftTerms(effect=Effect.HOLD))
    house.ticks(20, delay=1.0)
    run = Run("r1", asked_by, "delay moved up", house.at, house.at, "retraining", phase=RunPhase.SUCCEEDED)
    house.house.control.change(
        NAME, lambda state: replace(state, retraining=Retraining((run,))), Note("retrained", "retraining", "trained")
    )
    house.house.start("2")
    for _ in range(3):
        house.tick(delay=1.0)
    assert house.house.rollout().phase is phase


def test_a_candidates_own_fault_does_not_hold_its_ramp_by_drift() -> None:
    house = DriftHouse(DriftTerms(effect=Effect.HOLD), usual(seed=2))
    house.house.start("2")
    house.ticks(20, share=0.5, candidate_score=0.3)
    assert house.house.rollout().phase is Phase.RUNNING


def test_without_an_effect_figures_are_there_and_nobody_is_told() -> None:
    house = DriftHouse(DriftTerms(effect=Effect.NONE))
    house.ticks(20, delay=1.0)
    assert house.drifting.report(NAME).cause is Cause.DATA
    assert not house.heard.events
    assert all(one.action != "drift" for one in house.house.state.timeline(NAME))


def test_a_process_that_starts_anew_goes_on_where_the_last_one_was() -> None:
    one, two = DriftHouse(), DriftHouse()
    for house in (one, two):
        for number in range(30):
            if house is two and number % 7 == 3:
                house.begin()
            house.tick(delay=0.15)
    assert one.drifting.report(NAME).watches[0].findings == two.drifting.report(NAME).watches[0].findings


def test_what_is_known_does_not_depend_on_when_anybody_looked() -> None:
    often, seldom = DriftHouse(), DriftHouse()
    for number in range(12):
        often.tick(delay=0.1)
        seldom.tick(delay=0.1, look=number % 4 == 0)
    for _ in range(4):
        seldom.drifting.look(NAME, seldom.at)
    kept = [house.drifting.report(NAME).watches[0] for house in (often, seldom)]
    assert [one.until for one in kept] == [often.at, often.at]
    assert kept[0].findings == kept[1].findings


def test_an_event_that_was_stored_and_not_told_is_told_by_the_next_look() -> None:
    house = DriftHouse()
    house.ticks(5)

    class Crash(Exception):
        pass

    def crash(event: object) -> None:
        raise Crash

    heard, house.heard.drifted = house.heard.drifted, crash  # type: ignore[method-assign]
    with pytest.raises(Crash):
        house.ticks(20, delay=1.0)
    house.heard.drifted = heard  # type: ignore[method-assign]
    house.begin()
    house.drifting.look(NAME, house.at)
    assert house.heard.events


def test_a_model_without_a_profile_is_said_to_have_none() -> None:
    house = DriftHouse()
    house.profiles.clear()
    house.begin()
    house.tick()
    [watch] = house.drifting.report(NAME).watches
    assert "carries no reference profile" in watch.trouble
    assert watch.findings == ()


def test_a_declared_window_of_the_log_can_be_the_reference() -> None:
    house = DriftHouse()
    start = house.at
    for _ in range(10):
        house.tick()
    house.house.control.apply(
        _with(house, DriftTerms(reference=Reference.LOG, since=start, until=start + 10 * TICK_S)),
        actor="ann",
        reason="",
    )
    house.begin()
    assert house.ticks(20) is None
    report = house.drifting.report(NAME).watches[0]
    assert report.reference.startswith("log from")
    assert report.trouble == ""
    assert house.ticks(20, delay=1.0) is not None


def _with(house: DriftHouse, terms: DriftTerms) -> DeploymentSpec:
    return replace(house.house.document.spec, drift=terms)
