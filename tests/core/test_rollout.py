"""The life of a rollout: every phase with every signal, and what no walk through the table can reach."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.deployments import Field, ModelCard, Plan, Step, Task, Type
from gateway.core.errors import InvalidTransition
from gateway.core.rollout import OVER, TRANSITIONS, Phase, Rollout, Signal, Terms, begin, diagram, renew, send

MODEL = ModelCard("flights", "2", "models:/flights/2", "d2", "joblib", "m", (Field("x", Type.NUMBER),), Task.BINARY)
STEPS = (Step(shadow=1.0), Step(weight=0.05), Step(weight=0.5, approval=True), Step(weight=0.9))


def fresh() -> Rollout:
    return begin("canary", "g1", MODEL, Plan("careful", STEPS), "salt", Terms(), at=100.0)


def walked(*signals: Signal) -> Rollout:
    rollout = fresh()
    for signal in signals:
        rollout = send(rollout, signal, at=200.0)
    return rollout


IN_PHASE = {
    Phase.PREPARING: walked(),
    Phase.RUNNING: walked(Signal.READY),
    Phase.WAITING: walked(Signal.READY, Signal.AWAIT),
    Phase.PAUSED: walked(Signal.READY, Signal.PAUSE),
    Phase.PROMOTED: walked(Signal.READY, Signal.PROMOTE),
    Phase.WATCHED: walked(Signal.READY, Signal.PROMOTE, Signal.WATCH),
    Phase.DEMOTED: walked(Signal.READY, Signal.DEMOTE),
}
ALLOWED = {
    Phase.PREPARING: {Signal.READY, Signal.RENEW, Signal.DEMOTE},
    Phase.RUNNING: {Signal.ADVANCE, Signal.AWAIT, Signal.PAUSE, Signal.RENEW, Signal.PROMOTE, Signal.DEMOTE},
    Phase.WAITING: {Signal.RESUME, Signal.PAUSE, Signal.RENEW, Signal.PROMOTE, Signal.DEMOTE},
    Phase.PAUSED: {Signal.RESUME, Signal.RENEW, Signal.PROMOTE, Signal.DEMOTE},
    Phase.PROMOTED: {Signal.WATCH},
    Phase.WATCHED: {Signal.PROMOTE, Signal.DEMOTE},
    Phase.DEMOTED: set(),
}


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("signal", Signal)
def test_each_phase_takes_the_signals_of_the_table_and_no_other(phase: Phase, signal: Signal) -> None:
    rollout = IN_PHASE[phase]
    if signal in ALLOWED[phase]:
        assert send(rollout, signal, at=300.0).phase is TRANSITIONS[phase, signal]
    else:
        with pytest.raises(InvalidTransition) as refused:
            send(rollout, signal, at=300.0)
        assert (refused.value.phase, refused.value.signal) == (phase.value, signal.value)


def test_demoted_is_a_latch() -> None:
    assert not any(source is Phase.DEMOTED for source, _ in TRANSITIONS)


def test_a_candidate_takes_no_traffic_before_every_worker_is_ready() -> None:
    assert (fresh().weight, fresh().shadow) == (0.0, 0.0)


def test_a_step_puts_its_share_in_force_and_counts_time_and_events_from_its_start() -> None:
    on_second = send(walked(Signal.READY), Signal.ADVANCE, at=400.0, seen=70)
    assert (on_second.step, on_second.weight, on_second.shadow) == (1, 0.05, 0.0)
    assert (on_second.since, on_second.seen) == (400.0, 70)


def test_nothing_comes_after_the_last_step_but_promotion() -> None:
    last = walked(Signal.READY, Signal.ADVANCE, Signal.ADVANCE, Signal.ADVANCE)
    assert last.on_last_step
    with pytest.raises(InvalidTransition):
        send(last, Signal.ADVANCE, at=500.0)


def test_a_pause_keeps_the_share_and_resume_returns_to_the_step() -> None:
    paused = walked(Signal.READY, Signal.ADVANCE, Signal.PAUSE)
    resumed = send(paused, Signal.RESUME, at=500.0)
    assert (paused.weight, paused.step) == (0.05, 1)
    assert (resumed.weight, resumed.step, resumed.since) == (0.05, 1, paused.since)


def test_resume_approves_the_next_step_where_the_plan_asked_for_approval() -> None:
    waiting = walked(Signal.READY, Signal.ADVANCE, Signal.ADVANCE, Signal.AWAIT)
    assert (waiting.weight, waiting.step) == (0.5, 2)
    approved = send(waiting, Signal.RESUME, at=600.0, seen=9)
    assert (approved.weight, approved.step, approved.since, approved.seen) == (0.9, 3, 600.0, 9)


def test_renewal_closes_the_evidence_and_moves_no_key() -> None:
    before = walked(Signal.READY, Signal.ADVANCE)
    after = renew(before, "g2", at=700.0)
    assert (after.generation, after.opened_at, after.since, after.seen) == ("g2", 700.0, 700.0, 0)
    assert (after.salt, after.started_at, after.step, after.weight) == (
        before.salt,
        before.started_at,
        before.step,
        before.weight,
    )


@given(st.lists(st.sampled_from(Signal), max_size=30))
def test_no_walk_gives_traffic_to_a_generation_that_was_demoted(signals: list[Signal]) -> None:
    rollout, demoted = fresh(), False
    for signal in signals:
        try:
            rollout = send(rollout, signal, at=1.0)
        except InvalidTransition:
            continue
        demoted = demoted or rollout.phase is Phase.DEMOTED
        assert not (demoted and (rollout.weight > 0.0 or rollout.shadow > 0.0 or rollout.phase is not Phase.DEMOTED))
        assert not (rollout.phase in OVER and rollout.weight > 0.0)


def test_the_diagram_draws_every_transition() -> None:
    drawn = diagram()
    assert drawn.startswith("stateDiagram-v2\n")
    for (source, signal), target in TRANSITIONS.items():
        assert f"    {source.value} --> {target.value}: {signal.value}\n" in drawn


def test_the_reference_shows_the_diagram_of_this_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "rollout.md"
    assert diagram() in page.read_text(encoding="utf-8")
