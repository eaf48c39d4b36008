"""What the plan and the verdict ask of a rollout next."""

from dataclasses import replace

import pytest

from gateway.core.deployments import Field, ModelCard, Plan, Step, Task, Type
from gateway.core.judging import Finding, Verdict
from gateway.core.pace import next_signal
from gateway.core.rollout import Phase, Rollout, Signal, Terms, begin, send

MODEL = ModelCard("flights", "2", "models:/flights/2", "d2", "joblib", "m", (Field("x", Type.NUMBER),), Task.BINARY)
PLAN = Plan("p", (Step(weight=0.1, at_least_s=60.0, events=100), Step(weight=0.5, at_least_s=60.0, events=100)))
IDLE = Verdict(Finding.INCONCLUSIVE, (), 0.0, "not decided yet", "1")
FAIL = replace(IDLE, finding=Finding.FAIL, sentence="too many errors")
PASS = replace(IDLE, finding=Finding.PASS, sentence="no worse")


def running(plan: Plan = PLAN) -> Rollout:
    return send(begin("canary", "g", MODEL, plan, "s", Terms(), at=0.0), Signal.READY, at=0.0)


def asked(rollout: Rollout, verdict: Verdict, at: float, seen: int) -> Signal | None:
    move = next_signal(rollout, verdict, at, seen)
    return None if move is None else move.signal


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.PAUSED, Phase.WAITING])
def test_a_failed_guardrail_demotes_in_every_phase_that_is_judged(phase: Phase) -> None:
    move = next_signal(replace(running(), phase=phase), FAIL, 1.0, 0)
    assert move is not None
    assert (move.signal, move.reason) == (Signal.DEMOTE, "too many errors")


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.PROMOTED, Phase.DEMOTED])
def test_nobody_is_told_anything_who_is_not_judged(phase: Phase) -> None:
    assert next_signal(replace(running(), phase=phase), FAIL, 1.0, 0) is None


@pytest.mark.parametrize(("at", "seen", "signal"), [(59.9, 500, None), (60.0, 99, None), (60.0, 100, Signal.ADVANCE)])
def test_a_step_is_left_once_it_has_lasted_and_seen_enough(at: float, seen: int, signal: Signal | None) -> None:
    assert asked(running(), IDLE, at, seen) is signal


def test_events_count_from_the_start_of_the_step() -> None:
    second = send(running(), Signal.ADVANCE, at=60.0, seen=150)
    assert asked(second, PASS, 120.0, 249) is None
    assert asked(second, PASS, 120.0, 250) is Signal.PROMOTE


def test_the_last_step_is_left_only_for_a_pass() -> None:
    last = send(running(), Signal.ADVANCE, at=60.0)
    assert asked(last, IDLE, 1_000.0, 10_000) is None
    assert asked(last, PASS, 1_000.0, 10_000) is Signal.PROMOTE


def test_a_plan_without_auto_promote_leaves_the_last_word_to_an_operator() -> None:
    last = send(running(replace(PLAN, auto_promote=False)), Signal.ADVANCE, at=60.0)
    assert asked(last, IDLE, 1_000.0, 10_000) is None
    assert asked(last, PASS, 1_000.0, 10_000) is Signal.AWAIT  # and says so, so that somebody comes
    assert asked(replace(last, phase=Phase.WAITING), PASS, 2_000.0, 20_000) is None


def test_a_step_with_approval_waits_instead_of_advancing() -> None:
    plan = replace(PLAN, steps=(replace(PLAN.steps[0], approval=True), PLAN.steps[1]))
    assert asked(running(plan), IDLE, 60.0, 100) is Signal.AWAIT


def test_a_signal_that_fires_pauses_a_running_rollout_and_no_other() -> None:
    alarmed = replace(IDLE, paused_by=("latency",))
    assert asked(running(), alarmed, 60.0, 100) is Signal.PAUSE
    assert asked(replace(running(), phase=Phase.PAUSED), alarmed, 60.0, 100) is None


@pytest.mark.parametrize(
    ("choice", "signal"), [("hold", Signal.PAUSE), ("promote", Signal.PROMOTE), ("demote", Signal.DEMOTE)]
)
def test_a_rollout_undecided_for_too_long_gets_what_its_plan_says(choice: str, signal: Signal) -> None:
    impatient = running(replace(PLAN, max_age_s=500.0, on_inconclusive=choice))
    assert asked(impatient, IDLE, 499.0, 0) is None
    assert asked(impatient, IDLE, 500.0, 0) is signal


def test_an_operator_who_resumes_gives_it_as_long_again() -> None:
    plan = replace(PLAN, max_age_s=500.0)
    resumed = send(send(running(plan), Signal.PAUSE, at=500.0), Signal.RESUME, at=600.0)
    assert asked(resumed, IDLE, 1_000.0, 0) is None
    assert asked(resumed, IDLE, 1_100.0, 0) is Signal.PAUSE
