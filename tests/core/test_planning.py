"""A rollout reckoned through before it begins, held against JUDGE's bounds and against what the judge then does."""

import math
from dataclasses import replace

import pytest

from gateway.core.deployments import Guardrail, Plan, Role, Step
from gateway.core.events import EvidenceRow, Position, ServedRow
from gateway.core.evidence.bounds import information
from gateway.core.planning import DAY_S, DEMOTION_RATIO, PROMOTION_RATIO, Traffic, forecast, traffic_of
from gateway.core.rollout import Terms

ERRORS = Guardrail("error_rate", margin_relative=1.0, margin_absolute=0.01)
ACCURACY = Guardrail("accuracy", margin_absolute=0.02)
TRAFFIC = Traffic(100_000.0, 100_000.0, 0.95, 3_600.0, {"error_rate": 0.01, "accuracy": 0.10})
FLAT = Plan("flat", (Step(weight=0.05, at_least_s=3_600.0, events=500),))
TERMS = Terms((ERRORS,))


@pytest.mark.parametrize(
    ("stable", "candidate", "share", "bound"),
    [(0.01, 0.02, 0.05, 817), (0.01, 0.05, 0.05, 80), (0.10, 0.13, 0.05, 686), (0.10, 0.20, 0.5, 150)],
)
def test_the_bound_is_the_one_of_the_judges_specification(
    stable: float, candidate: float, share: float, bound: int
) -> None:
    assert math.log(20) * share / information(stable, candidate, share) == pytest.approx(bound, abs=0.6)


def test_a_step_lasts_as_long_as_its_slowest_condition() -> None:
    [slow] = forecast(FLAT, TERMS, replace(TRAFFIC, bets_per_day=10_000.0)).steps
    assert (slow.per_day, slow.lasts_s) == (500.0, DAY_S)
    [fast] = forecast(FLAT, TERMS, TRAFFIC).steps
    assert (fast.per_day, fast.lasts_s) == (5_000.0, 500 / 5_000 * DAY_S)


def test_a_doubled_error_rate_is_found_after_the_bound_times_the_measured_ratio() -> None:
    [errors] = forecast(FLAT, TERMS, TRAFFIC).detections
    assert errors.doubled is not None
    assert errors.doubled.observations == pytest.approx(817 * DEMOTION_RATIO, abs=1.0)
    assert errors.doubled.seconds == pytest.approx(817 * DEMOTION_RATIO / 5_000 * DAY_S, rel=1e-3)


def test_the_proof_of_safety_takes_the_bound_times_the_measured_ratio() -> None:
    """JUDGE, table 4.7: error 1 %, margin + 1 point at 5 %: 981 candidate samples."""
    [proof] = forecast(FLAT, TERMS, TRAFFIC).proofs
    assert proof.takes is not None
    assert proof.takes.observations == pytest.approx(981 * PROMOTION_RATIO, abs=2.0)


def test_what_a_step_can_find_grows_finer_from_step_to_step() -> None:
    ramp = Plan(
        "ramp", (Step(weight=0.05, events=200), Step(weight=0.25, events=1_000), Step(weight=0.5, events=2_000))
    )
    [errors] = forecast(ramp, TERMS, TRAFFIC).detections
    first, second, third = errors.by_step
    assert first is not None
    assert second is not None
    assert third is not None
    assert first > second > third > errors.tolerated


def test_a_shadow_finds_wrong_answers_and_no_errors() -> None:
    shadow = Plan("shadow", (Step(shadow=1.0, events=10_000), Step(weight=0.5, events=10)))
    errors, accuracy = forecast(shadow, Terms((ERRORS, ACCURACY), maturity_s=3_600.0), TRAFFIC).detections
    assert errors.by_step[0] is None
    assert accuracy.by_step[0] is not None


def test_evidence_on_pairs_and_on_own_traffic_does_not_add_up() -> None:
    """They are two bets: a shadow step before the share does not make the share's bet any sooner."""
    terms = Terms((ACCURACY,))
    alone = forecast(Plan("a", (Step(weight=0.05, events=100),)), terms, TRAFFIC).detections[0].doubled
    after = (
        forecast(Plan("b", (Step(shadow=0.001, events=5), Step(weight=0.05, events=100))), terms, TRAFFIC)
        .detections[0]
        .doubled
    )
    assert alone is not None
    assert after is not None
    assert after.observations >= alone.observations


def test_labels_count_at_their_age_and_no_sooner() -> None:
    now = forecast(FLAT, Terms((ACCURACY,)), replace(TRAFFIC, label_delay_s=0.0))
    later = forecast(FLAT, Terms((ACCURACY,), maturity_s=7_200.0), TRAFFIC)
    assert now.detections[0].doubled is not None
    assert later.detections[0].doubled is not None
    assert later.detections[0].doubled.seconds == pytest.approx(now.detections[0].doubled.seconds + 7_200.0)
    assert later.steps[0].lasts_s == pytest.approx((now.steps[0].lasts_s or 0.0) + 7_200.0)


def test_sticky_keys_are_the_bets_and_not_requests() -> None:
    sticky = replace(TRAFFIC, bets_per_day=2_000.0, keys_per_epoch=2_000.0)
    assert forecast(FLAT, TERMS, sticky).steps[0].per_day == 100.0


def test_a_shadow_straight_to_stable_is_proved_on_pairs_where_labels_are_independent() -> None:
    unseen = Plan("unseen", (Step(shadow=1.0, events=100),))
    terms = Terms((ERRORS, ACCURACY), maturity_s=3_600.0)
    never = forecast(unseen, terms, TRAFFIC)
    assert never.decides_s is None
    assert "labels_independent is not declared" in " ".join(never.warnings)
    straight = forecast(unseen, replace(terms, labels_independent=True), TRAFFIC)
    assert straight.decides_s is not None
    assert straight.proofs[1].takes is not None


@pytest.mark.parametrize(
    ("plan", "terms", "traffic", "warning"),
    [
        (Plan("p", (Step(weight=0.05, events=10),)), TERMS, replace(TRAFFIC, bets_per_day=0.0), "step 1 never ends"),
        (Plan("p", (Step(events=10),)), TERMS, TRAFFIC, "step 1 never ends: it needs 10 observations, and none come"),
        (replace(FLAT, max_age_s=3_600.0), TERMS, TRAFFIC, "the steps alone take longer"),
        (replace(FLAT, max_age_s=20_000.0), TERMS, TRAFFIC, "not shown to be safe before the plan's greatest age"),
        (FLAT, Terms((replace(ERRORS, margin_absolute=0.0),)), TRAFFIC, "its margin leaves no room"),
        (FLAT, Terms((ACCURACY,)), replace(TRAFFIC, labelled=0.5), "only 50% of requests get a label"),
        (FLAT, Terms((ACCURACY,)), TRAFFIC, "labels take up to 3,600 s"),
        (FLAT, Terms((Guardrail("recall"),)), TRAFFIC, "recall: stable's rate is not known"),
        (replace(FLAT, auto_promote=False), TERMS, TRAFFIC, "it can never decide for an equal candidate"),
    ],
)
def test_a_plan_that_cannot_do_what_it_should_is_warned_about(
    plan: Plan, terms: Terms, traffic: Traffic, warning: str
) -> None:
    assert warning in "; ".join(forecast(plan, terms, traffic).warnings)


def test_a_sound_plan_decides_and_is_not_warned_about() -> None:
    found = forecast(FLAT, Terms((ERRORS, ACCURACY), maturity_s=3_600.0), TRAFFIC)
    assert found.warnings == ()
    assert found.decides_s is not None
    assert found.decides_s == max(proof.takes.seconds for proof in found.proofs if proof.takes)


def test_signals_are_neither_proved_nor_do_they_demote() -> None:
    found = forecast(FLAT, Terms((ERRORS, replace(ACCURACY, role=Role.SIGNAL))), TRAFFIC)
    assert [proof.metric for proof in found.proofs] == ["error_rate"]
    assert [one.metric for one in found.detections] == ["error_rate"]


def served(
    number: int, *, wrong: bool = False, failed: bool = False, generation: str = "g", **fields: object
) -> ServedRow:
    row = EvidenceRow(
        Position(1e9 + 60.0 * number, "s", number), False, 0.0, failed, 1, None, None, 0.0, {"label": int(not wrong)}
    )
    made = ServedRow(row, generation, number // 100, f"k{number % 50}", 30.0 + number)
    return replace(made, **fields)  # type: ignore[arg-type]


def told(number: int, label: float, truth: float, score: float | None = None) -> ServedRow:
    made = served(number)
    return replace(made, row=replace(made.row, label=label, score=score, outcomes={"label": truth}))


def test_traffic_is_worked_out_from_what_came_in() -> None:
    rows = [served(n, wrong=n % 4 == 0, failed=n % 10 == 0, generation="g" if n % 2 else "other") for n in range(201)]
    rows[7] = replace(rows[7], row=replace(rows[7].row, outcomes={}), label_delay_s=None)
    found = traffic_of(rows, "g", (ERRORS, ACCURACY), 6_000.0, sticky=False)
    assert found.requests_per_day == pytest.approx(201 * DAY_S / 12_000.0)
    assert found.bets_per_day == found.requests_per_day
    assert found.labelled == 200 / 201
    assert found.label_delay_s == 228.0
    assert found.rates == {"error_rate": 0.0, "accuracy": 0.0}
    assert found.counted == {"error_rate": 1.0, "accuracy": 0.99}
    assert found.keys_per_epoch is None


def test_new_keys_are_counted_once_per_epoch() -> None:
    rows = [served(n) for n in range(201)]
    found = traffic_of(rows, "g", (ERRORS,), 6_000.0, sticky=True)
    assert found.keys_per_epoch == pytest.approx(101 / 2)
    assert found.bets_per_day == pytest.approx(101 / 2 * DAY_S / 6_000.0)


@pytest.mark.parametrize("rows", [[], [served(1)], [served(1), served(1)]])
def test_there_is_no_pace_in_a_moment(rows: list[ServedRow]) -> None:
    with pytest.raises(ValueError, match="no pace"):
        traffic_of(rows, "g", (), 1.0, sticky=False)


def test_an_amount_is_planned_by_its_mean_and_spread() -> None:
    """Probabilities of 0.8 that come true four times in five: a Brier score of 0.16 on average."""
    rows = [told(n, 1, int(n % 5 > 0), score=0.8) for n in range(1_000)]
    brier = Guardrail("brier", margin_absolute=0.02)
    seen = traffic_of(rows, "g", (brier,), 6_000.0, sticky=False)
    assert seen.rates["brier"] == pytest.approx(0.16)
    assert seen.spreads["brier"] == pytest.approx(0.24)
    even = replace(seen, requests_per_day=100_000.0, bets_per_day=100_000.0)
    found = forecast(FLAT, Terms((brier,)), even)
    [detection], [proof] = found.detections, found.proofs
    assert detection.doubled is not None
    assert detection.doubled.observations == pytest.approx(
        math.log(20) * DEMOTION_RATIO * 2 * 0.24**2 / 0.16**2 * (1 + 0.05 / 0.95), rel=0.02
    )
    assert proof.takes is not None
    assert found.decides_s is not None
    blunt = forecast(FLAT, Terms((brier,)), replace(even, spreads={}))
    assert blunt.proofs[0].takes is not None
    assert blunt.proofs[0].takes.observations > proof.takes.observations  # as if each were nothing or 1


def test_a_root_mean_squared_error_is_planned_on_its_squares() -> None:
    rows = [told(n, 100.0, 100.0 + (n % 7 - 3)) for n in range(700)]
    rmse = Guardrail("rmse", relative=1.02, margin_relative=1.1)
    seen = traffic_of(rows, "g", (rmse,), 6_000.0, sticky=False)
    assert seen.rates["rmse"] == pytest.approx(4.0)
    [detection] = forecast(FLAT, Terms((rmse,)), replace(seen, bets_per_day=100_000.0)).detections
    assert detection.tolerated == pytest.approx(4.0 * 1.02**2)
    assert detection.doubled is not None
