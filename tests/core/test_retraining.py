"""When a model is trained again: which cause asks, when it does not, and what can become of a run."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.deployments import Scalar, Task
from gateway.core.drift.causes import INPUTS, PREDICTIONS, DriftAlarm
from gateway.core.drift.profiles import STALE
from gateway.core.drift.rows import LoggedRow
from gateway.core.errors import InvalidTransition, UnknownRun
from gateway.core.retraining.causes import Facts, due
from gateway.core.retraining.kpis import Loss, Shortfall, exceeds, shortfall, window_of
from gateway.core.retraining.runs import (
    ALIVE,
    MOST_KEPT,
    TRANSITIONS,
    Cause,
    Retraining,
    Run,
    RunPhase,
    RunSignal,
    asked,
    sent,
)
from gateway.core.retraining.terms import (
    Kpi,
    OnDrift,
    OnLabels,
    OnSchedule,
    RetrainingTerms,
    Source,
    Target,
    TargetKind,
    Trigger,
)

DAY_S = 86_400.0
TARGET = Target(TargetKind.COMMAND, ("train",))
BEGUN = Retraining(since=0.0)
ACCURATE = Kpi("accuracy", 0.7)


def alarm(feature: str = "delay", at: float = 100.0, what: str = "location", scope: str = INPUTS) -> DriftAlarm:
    said = f"{feature} moved"
    return DriftAlarm("d", scope, "stable", feature, what, 1, 0.6, 0.5, 0.3, at - 50.0, at, 900, 9.0, 8.0, said)


def run(at: float, phase: RunPhase = RunPhase.SUCCEEDED, joined: int = 0, run_id: str = "drift-1") -> Run:
    return Run(run_id, Trigger.DRIFT, "x moved", at, 0.0, "retraining", joined, phase)


def terms(**causes: object) -> RetrainingTerms:
    return replace(RetrainingTerms(TARGET), **causes)  # type: ignore[arg-type]


# Drift.


def test_data_drift_asks_for_a_run_and_the_same_drift_for_the_same_one() -> None:
    wanted = terms(drift=OnDrift())
    first = due("d", wanted, BEGUN, Facts(150.0, [alarm(), alarm("carrier", 120.0)]))
    later = due("d", wanted, BEGUN, Facts(900.0, [alarm("carrier", 120.0), alarm()]))
    assert first is not None
    assert later is not None
    assert first.run_id("d") == later.run_id("d")
    assert first.sentence == "delay moved (1 more features drifted)"


def test_drift_that_a_run_has_seen_asks_for_no_other_one_however_long_it_stands() -> None:
    seen = asked(BEGUN, run(150.0))
    assert due("d", terms(drift=OnDrift(cooldown_s=10.0)), seen, Facts(1e9, [alarm()])) is None


def test_drift_that_came_within_the_cool_down_asks_once_it_is_over() -> None:
    wanted, kept = terms(drift=OnDrift(cooldown_s=1_000.0)), asked(BEGUN, run(150.0))
    assert due("d", wanted, kept, Facts(1_149.0, [alarm(at=200.0)])) is None
    assert due("d", wanted, kept, Facts(1_150.0, [alarm(at=200.0)])) is not None


def test_a_candidates_own_fault_is_no_reason_to_train() -> None:
    own = replace(alarm(scope=PREDICTIONS), variant="canary")
    assert due("d", terms(drift=OnDrift()), BEGUN, Facts(150.0, [own])) is None


def test_values_that_stopped_coming_are_no_reason_to_train() -> None:
    assert due("d", terms(drift=OnDrift()), BEGUN, Facts(150.0, [alarm(what=STALE)])) is None


def test_only_the_features_named_count_where_some_are() -> None:
    wanted = terms(drift=OnDrift(features=("carrier",)))
    assert due("d", wanted, BEGUN, Facts(150.0, [alarm()])) is None
    assert due("d", wanted, BEGUN, Facts(150.0, [alarm(), alarm("carrier")])) is not None


# Labels and the schedule.


def test_new_outcomes_are_counted_since_the_last_run() -> None:
    wanted, kept = terms(labels=OnLabels(100, cooldown_s=0.0)), replace(BEGUN, joined=50)
    assert due("d", wanted, kept, Facts(1.0, joined=149)) is None
    assert due("d", wanted, kept, Facts(1.0, joined=150)) is not None
    trained = asked(kept, run(1.0, joined=150))
    assert due("d", wanted, trained, Facts(2.0, joined=249)) is None
    found = due("d", wanted, trained, Facts(2.0, joined=251))
    assert found is not None
    assert found.sentence == "101 outcomes have come since drift-1"


def test_a_schedule_asks_once_each_time_and_not_for_what_was_past_when_it_began() -> None:
    wanted, kept = terms(schedule=OnSchedule(every_s=100.0)), Retraining(since=150.0)
    assert due("d", wanted, kept, Facts(199.0)) is None
    found = due("d", wanted, kept, Facts(210.0))
    assert found is not None
    assert due("d", wanted, asked(kept, replace(run(210.0), id=found.run_id("d"))), Facts(299.0)) is None
    assert due("d", wanted, asked(kept, run(210.0)), Facts(300.0)) is not None


def test_a_run_that_something_else_asked_for_satisfies_the_schedule() -> None:
    wanted, kept = terms(schedule=OnSchedule(every_s=100.0)), asked(Retraining(since=150.0), run(205.0))
    assert due("d", wanted, kept, Facts(290.0)) is None


def test_a_schedule_counts_from_the_time_it_names() -> None:
    wanted = terms(schedule=OnSchedule(every_s=100.0, first=30.0))
    assert due("d", wanted, BEGUN, Facts(29.0)) is None
    assert due("d", wanted, BEGUN, Facts(31.0)) is not None


# Whatever the cause.


def test_nothing_asks_while_a_run_is_under_way() -> None:
    for phase in ALIVE:
        assert due("d", terms(drift=OnDrift()), asked(BEGUN, run(0.0, phase)), Facts(1e9, [alarm()])) is None


def test_nothing_asks_without_a_target_or_before_causes_count() -> None:
    facts = Facts(150.0, [alarm()])
    assert due("d", RetrainingTerms(drift=OnDrift()), BEGUN, facts) is None
    assert due("d", terms(drift=OnDrift()), Retraining(), facts) is None


@given(st.lists(st.floats(0.0, 100 * DAY_S), max_size=40).map(sorted))
def test_however_often_anybody_looks_two_runs_are_never_closer_than_the_cool_down(looks: list[float]) -> None:
    cooldown_s, kept = 7 * DAY_S, BEGUN
    wanted = terms(drift=OnDrift(cooldown_s=cooldown_s), schedule=OnSchedule(DAY_S, cooldown_s=cooldown_s))
    for at in looks:
        cause = due("d", wanted, kept, Facts(at, [alarm(at=at)]))
        if cause is not None:
            kept = asked(kept, run(at, run_id=cause.run_id("d")))
    times = [one.at for one in reversed(kept.runs)]
    assert all(later - earlier >= cooldown_s for earlier, later in itertools.pairwise(times))


# Performance.


def rows(count: int, right: float, *, score: float = 0.9, truth: Scalar = 1, failed: bool = False) -> list[LoggedRow]:
    """Answers of which a share is right."""
    said = [1 if place < right * count else 0 for place in range(count)]
    about = ((), (), b"")
    return [
        LoggedRow(0.0, f"b{n}", "g", failed, *about, label=one, score=score, truth=truth) for n, one in enumerate(said)
    ]


def test_an_accuracy_that_is_shown_to_be_below_its_floor_asks_for_a_run() -> None:
    found = shortfall(ACCURATE, rows(1_000, 0.6), Task.BINARY, until=500.0)
    assert found == Shortfall(ACCURATE, 0.6, 1_000, 500.0)
    cause = due("d", terms(kpis=(ACCURATE,)), BEGUN, Facts(600.0, shortfalls=[found]))
    assert cause is not None
    assert cause.sentence == "the accuracy of 1,000 requests is 0.6, worse than 0.7"


def test_a_figure_below_the_floor_that_may_be_chance_asks_for_nothing() -> None:
    assert shortfall(ACCURATE, rows(300, 0.68), Task.BINARY, 0.0) is None
    assert shortfall(ACCURATE, rows(100, 0.0), Task.BINARY, 0.0) is None


def test_a_window_that_ended_before_the_last_run_asks_for_nothing() -> None:
    broken = Shortfall(ACCURATE, 0.6, 1_000, 500.0)
    kept = asked(BEGUN, run(500.0))
    assert due("d", terms(kpis=(replace(ACCURATE, cooldown_s=0.0),)), kept, Facts(600.0, shortfalls=[broken])) is None


def test_failures_are_wrong_answers_and_errors() -> None:
    broken = [*rows(300, 1.0), *rows(200, 1.0, failed=True)]
    assert shortfall(ACCURATE, broken, Task.BINARY, 0.0) is not None
    assert shortfall(Kpi("error_rate", 0.1), broken, Task.BINARY, 0.0) is not None
    assert shortfall(Kpi("error_rate", 0.1), rows(500, 0.0), Task.BINARY, 0.0) is None


def test_a_brier_score_and_an_absolute_error_have_ceilings() -> None:
    assert shortfall(Kpi("brier", 0.25), rows(500, 1.0, score=0.2), Task.BINARY, 0.0) is not None
    assert shortfall(Kpi("brier", 0.25), rows(500, 1.0, score=0.8), Task.BINARY, 0.0) is None
    assert shortfall(Kpi("mae", 2.0), rows(500, 1.0, truth=9.5), Task.REGRESSION, 0.0) is not None
    assert shortfall(Kpi("mae", 9.0), rows(500, 1.0, truth=9.5), Task.REGRESSION, 0.0) is None


def test_performance_can_be_estimated_before_labels_come_unless_labels_have_shown_it_wrong() -> None:
    unsure = Kpi("accuracy", 0.7, Source.ESTIMATED)
    found = shortfall(unsure, rows(1_000, 1.0, score=0.55, truth=None), Task.BINARY, 0.0)
    assert found is not None
    assert found.sentence == "the accuracy to be expected of 1,000 requests is 0.55, worse than 0.7"
    assert shortfall(unsure, rows(1_000, 1.0, score=0.55), Task.BINARY, 0.0) is None


def test_labels_are_waited_for_and_scores_are_not() -> None:
    hourly = Kpi("accuracy", 0.7, window_s=3_600.0)
    assert window_of(hourly, 7_300.0, maturity_s=7_200.0) == (-3_600.0, 0.0)
    assert window_of(replace(hourly, source=Source.ESTIMATED), 7_300.0, maturity_s=7_200.0) == (3_600.0, 7_200.0)


def test_a_year_of_windows_at_the_floor_asks_for_a_run_as_seldom_as_declared() -> None:
    draw, years, wrong = np.random.default_rng(5), 200, 0
    daily = Kpi("accuracy", 0.7, window_s=DAY_S, at_least=1, alpha=0.05)
    level = daily.alpha * daily.window_s / (365 * DAY_S)
    for _ in range(years):
        wrong += any(exceeds(Loss(float(bad) / 300, 300), 0.3, level) for bad in draw.binomial(300, 0.3, 365))
    assert wrong / years <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / years)


# Runs.


def test_the_same_cause_has_the_same_run_and_another_one_another() -> None:
    cause = Cause(Trigger.DRIFT, "k", "x moved")
    assert cause.run_id("d") == replace(cause, sentence="said in other words").run_id("d")
    others = [cause.run_id("e"), replace(cause, key="j").run_id("d"), replace(cause, trigger=Trigger.ASKED).run_id("d")]
    assert len({cause.run_id("d"), *others}) == 4


@pytest.mark.parametrize("phase", RunPhase)
@pytest.mark.parametrize("signal", RunSignal)
def test_a_run_takes_the_signals_of_the_table_and_no_other(phase: RunPhase, signal: RunSignal) -> None:
    kept = asked(Retraining(), run(0.0, phase))
    if (phase, signal) in TRANSITIONS:
        moved = sent(kept, "drift-1", signal, said="so")
        assert moved.runs[0].phase is TRANSITIONS[phase, signal]
        assert moved.runs[0].said == "so"
    else:
        with pytest.raises(InvalidTransition):
            sent(kept, "drift-1", signal)


def test_a_run_that_is_not_kept_is_said_to_be_unknown() -> None:
    with pytest.raises(UnknownRun):
        sent(Retraining(), "drift-1", RunSignal.CALL)


def test_the_latest_runs_are_kept() -> None:
    kept = Retraining()
    for number in range(MOST_KEPT + 5):
        kept = asked(kept, run(float(number), run_id=f"drift-{number}"))
    assert len(kept.runs) == MOST_KEPT
    assert kept.last is not None
    assert kept.last.id == f"drift-{MOST_KEPT + 4}"


def test_what_has_ended_takes_no_signal() -> None:
    assert not {phase for phase, _ in TRANSITIONS} & {RunPhase.SUCCEEDED, RunPhase.FAILED}
