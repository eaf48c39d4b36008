"""The story of a run: written down once whatever finds its cause, step by step in the timeline, ended once."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.adapters.alerts import DecisionSink, MemoryAnnouncer
from gateway.core.alerts import Kind
from gateway.core.drift.terms import DriftTerms
from gateway.core.errors import InvalidTransition, NoTarget, RunUnderWay, UnknownDeployment, UnknownRun
from gateway.core.retraining.runs import RunPhase
from gateway.core.retraining.terms import (
    Kpi,
    OnDrift,
    OnLabels,
    OnSchedule,
    RetrainingTerms,
    Target,
    TargetKind,
)
from gateway.retraining import Runs
from gateway.triggers import Triggers
from tests.control_house import NAME, SPEC, House
from tests.drift_house import DriftHouse

COMMAND = Target(TargetKind.COMMAND, ("train",), attempts=2)
SERVER = Target(TargetKind.WEBHOOK, url="http://trainer.example")


def story(house: House) -> Runs:
    return Runs(house.documents, house.log, house.clock)


def open_house(target: Target | None = COMMAND) -> tuple[House, Runs]:
    house = House().open(replace(SPEC, retraining=RetrainingTerms(target)))
    return house, story(house)


def actions(house: House) -> list[str]:
    return [line.action for line in reversed(house.state.timeline(NAME)) if "retrain" in line.action]


# Asked for by hand.


def test_a_wish_is_one_run_however_often_it_is_made() -> None:
    house, runs = open_house()
    first, new = runs.ask(NAME, "ticket-1", actor="ann", reason="a new airline")
    again, newer = story(house).ask(NAME, "ticket-1", actor="bob", reason="what ann said")
    assert (new, newer, again) == (True, False, first)
    [line] = [one for one in house.state.timeline(NAME) if one.action == "retrain"]
    assert (line.actor, line.reason, line.evidence["run"]) == ("ann", "a new airline", first.id)


def test_another_wish_has_to_wait_until_the_run_has_ended() -> None:
    _, runs = open_house()
    first, _ = runs.ask(NAME, "one", actor="ann", reason="")
    with pytest.raises(RunUnderWay, match=first.id):
        runs.ask(NAME, "two", actor="ann", reason="")
    runs.call(NAME, first.id, "me")
    runs.ended(NAME, first.id, actor="retraining", succeeded=True)
    assert runs.ask(NAME, "two", actor="ann", reason="")[1]


def test_nobody_is_asked_where_nobody_is_declared() -> None:
    _, runs = open_house(None)
    with pytest.raises(NoTarget):
        runs.ask(NAME, "one", actor="ann", reason="")
    with pytest.raises(UnknownDeployment):
        runs.ask("nothing", "one", actor="ann", reason="")


# The life of a run.


def test_a_target_that_fails_is_called_again_and_then_the_run_has_failed() -> None:
    house, runs = open_house()
    run, _ = runs.ask(NAME, "one", actor="ann", reason="please")
    assert runs.call(NAME, run.id, "me").attempt == 1
    assert runs.failed_once(NAME, run.id, "exit code 1").phase is RunPhase.WAITING
    assert runs.call(NAME, run.id, "me").attempt == 2
    assert runs.failed_once(NAME, run.id, "exit code 1").phase is RunPhase.FAILED
    assert actions(house) == [
        "retrain", "retraining_called", "retraining_again", "retraining_called", "retraining_failed"
    ]  # fmt: skip


def test_only_one_of_two_who_would_call_does() -> None:
    _, runs = open_house()
    run, _ = runs.ask(NAME, "one", actor="ann", reason="")
    runs.call(NAME, run.id, "me")
    with pytest.raises(InvalidTransition):
        runs.call(NAME, run.id, "you")


def test_a_server_says_how_a_run_ended_and_says_it_twice_without_harm() -> None:
    house, runs = open_house(SERVER)
    run, _ = runs.ask(NAME, "one", actor="ann", reason="")
    runs.call(NAME, run.id, "me")
    assert runs.accepted(NAME, run.id, "taken", "http://trainer.example/1").phase is RunPhase.ACCEPTED
    for _ in range(2):
        told = runs.told(NAME, run.id, actor="pipeline", succeeded=True, said="version 4")
        assert (told.phase, told.said, told.link) == (RunPhase.SUCCEEDED, "version 4", "http://trainer.example/1")
    assert actions(house)[-1] == "retrained"
    assert actions(house).count("retrained") == 1
    with pytest.raises(InvalidTransition):
        runs.told(NAME, run.id, actor="pipeline", succeeded=False)
    with pytest.raises(UnknownRun):
        runs.told(NAME, "nothing", actor="pipeline", succeeded=False)


def test_nobody_says_for_a_command_how_it_ended() -> None:
    _, runs = open_house()
    run, _ = runs.ask(NAME, "one", actor="ann", reason="")
    runs.call(NAME, run.id, "me")
    with pytest.raises(InvalidTransition, match="exit code"):
        runs.told(NAME, run.id, actor="ann", succeeded=True)


def test_people_are_told_of_success_and_of_failure_and_of_nothing_in_between() -> None:
    house, runs = open_house(replace(COMMAND, attempts=1))
    announcer = MemoryAnnouncer()
    for wish, succeeded in (("one", True), ("two", False)):
        run, _ = runs.ask(NAME, wish, actor="ann", reason="")
        runs.call(NAME, run.id, "me")
        runs.ended(NAME, run.id, actor="retraining", succeeded=succeeded, said="no rows")
    for line in reversed(house.state.timeline(NAME)):
        DecisionSink(announcer).tell(line)
    assert [alert.kind for alert in announcer.alerts] == [Kind.RETRAINED, Kind.RETRAINING_FAILED]
    assert announcer.alerts[1].sentence == "the model was not trained again: no rows"
    assert announcer.alerts[0].key != announcer.alerts[1].key


# Causes.


def triggered(house: House, drift: DriftHouse | None, terms: RetrainingTerms) -> Callable[[], Triggers]:
    """Make triggers as a process does that has just begun to lead."""
    spec = replace(house.document.spec, retraining=terms)
    house.control.apply(spec, actor="ann", reason="train by itself")
    found = drift or DriftHouse()
    return lambda: Triggers(story(house), house.documents, found.store, found.drifting)


def test_drift_has_the_model_trained_again_once_whoever_leads() -> None:
    drift = DriftHouse(DriftTerms())
    begin = triggered(drift.house, drift, RetrainingTerms(COMMAND, drift=OnDrift()))
    begin().look(NAME, drift.at)
    assert begin().look(NAME, drift.at) is None
    drift.ticks(20, delay=1.0)
    run = begin().look(NAME, drift.at)
    assert run is not None
    assert run.cause.startswith("delay moved up")
    assert begin().look(NAME, drift.at) is None
    runs = story(drift.house)
    runs.call(NAME, run.id, "me")
    runs.ended(NAME, run.id, actor="retraining", succeeded=True)
    drift.ticks(20, delay=1.0)
    assert begin().look(NAME, drift.at) is None
    assert actions(drift.house)[:2] == ["retraining_watched", "retrain"]


def test_outcomes_and_the_schedule_count_from_when_they_were_first_looked_at() -> None:
    house = House().open()
    house.serve(300, {"1": 0.1})
    terms = RetrainingTerms(COMMAND, labels=OnLabels(200), schedule=OnSchedule(every_s=1_000.0))
    begin = triggered(house, None, terms)
    assert begin().look(NAME, house.clock.data()) is None
    assert begin().look(NAME, house.clock.data()) is None
    house.serve(200, {"1": 0.1})
    run = begin().look(NAME, house.clock.data())
    assert run is not None
    assert run.trigger.value in {"labels", "schedule"}


def test_stable_below_its_floor_has_the_model_trained_again_once_its_labels_are_due() -> None:
    drift = DriftHouse()
    house = drift.house
    begin = triggered(house, drift, RetrainingTerms(COMMAND, kpis=(Kpi("accuracy", 0.7, window_s=600.0),)))
    start = house.clock.data()
    begin().look(NAME, start)
    house.serve(1_300, {"1": 0.5})
    run = begin().look(NAME, house.clock.data())
    assert run is not None
    assert "worse than 0.7" in run.cause
    [line] = [one for one in house.state.timeline(NAME) if one.action == "retrain"]
    assert line.evidence["n"] >= 200


def test_a_deployment_that_declares_no_cause_is_left_alone() -> None:
    drift = DriftHouse()
    before = drift.house.document.revision
    begin = triggered(drift.house, drift, RetrainingTerms(COMMAND))
    drift.ticks(20, delay=1.0)
    assert begin().look(NAME, drift.at) is None
    assert "retraining_watched" not in actions(drift.house)
    assert drift.house.document.revision > before
