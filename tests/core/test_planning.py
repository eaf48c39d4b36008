"""A rollout reckoned through before it begins, held against JUDGE's bounds and against what the judge then does."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gateway.core.deployments import Guardrail, Plan, Role, Step, Task
from gateway.core.events import EvidenceRow, Position, ServedRow
from gateway.core.evidence.bounds import information
from gateway.core.evidence.rates import Line
from gateway.core.findings import Finding
from gateway.core.judging import look, open_case, verdict
from gateway.core.metrics import default_guardrail
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
        (FLAT, Terms((Guardrail("recall"),)), TRAFFIC, "recall: stable's level is not known"),
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


def test_signals_are_found_like_guardrails_and_need_no_proof() -> None:
    found = forecast(FLAT, Terms((ERRORS, replace(ACCURACY, role=Role.SIGNAL))), TRAFFIC)
    assert [proof.metric for proof in found.proofs] == ["error_rate"]
    assert [(one.metric, one.signal) for one in found.detections] == [("error_rate", False), ("accuracy", True)]


def test_an_objective_is_proved_and_demotes_nobody() -> None:
    found = forecast(FLAT, Terms((ERRORS, replace(ACCURACY, role=Role.OBJECTIVE))), TRAFFIC)
    assert [proof.metric for proof in found.proofs] == ["error_rate", "accuracy"]
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
    return replace(made, row=made.row._replace(label=label, score=score, outcomes={"label": truth}))


def test_traffic_is_worked_out_from_what_came_in() -> None:
    rows = [served(n, wrong=n % 4 == 0, failed=n % 10 == 0, generation="g" if n % 2 else "other") for n in range(201)]
    rows[7] = replace(rows[7], row=rows[7].row._replace(outcomes={}), label_delay_s=None)
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


Draw = Callable[[np.random.Generator, bool], dict[str, object]]
SLOW = Guardrail("latency", relative=1.1, margin_relative=1.25)
COST = Guardrail("value:cost", relative=1.1, margin_relative=1.5)


def slow(by: float) -> Draw:
    """Lognormal latencies, the candidate's so many times as long."""
    return lambda rng, ours: {"latency_s": float(rng.lognormal(-3.0, 0.5) * (by if ours else 1.0))}


def dear(by: float) -> Draw:
    """Costs with a heavy tail, the candidate's so many times as high."""
    return lambda rng, ours: {"outcomes": {"cost": float((rng.pareto(1.5) + 1.0) * 20.0 * (by if ours else 1.0))}}


def vague(by: float) -> Draw:
    """Scores that part positives from negatives; the candidate's are so many times as noisy."""

    def draw(rng: np.random.Generator, ours: bool) -> dict[str, object]:
        truth = int(rng.random() < 0.4)
        score = 1.0 / (1.0 + math.exp(-rng.normal(1.2 if truth else -1.2, 1.5 * (by if ours else 1.0))))
        return {"label": int(score > 0.5), "score": score, "outcomes": {"label": truth}}

    return draw


def sure(by: float) -> Draw:
    """Probabilities that come true; the candidate's are raised to a power."""

    def draw(rng: np.random.Generator, ours: bool) -> dict[str, object]:
        chance = float(rng.random())
        score = chance ** (by if ours else 1.0)
        return {"label": int(score > 0.5), "score": score, "outcomes": {"label": int(rng.random() < chance)}}

    return draw


def drawn(draw: Draw, rng: np.random.Generator, number: int, *, ours: bool, share: float) -> EvidenceRow:
    blank: dict[str, object] = {"label": None, "score": None, "latency_s": None, "outcomes": {}}
    fields = blank | draw(rng, ours)
    return EvidenceRow(Position(float(number), "s", number), ours, share, False, scores=None, **fields)  # type: ignore[arg-type]


def found_after(guardrail: Guardrail, draw: Draw, share: float, seed: int) -> int:
    """After how many of the candidate's requests the judge itself finds it worse than tolerated."""
    rng, seen, number = np.random.default_rng(seed), 0, 0
    state = open_case((guardrail,), alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=0.0, pairs=False)
    while verdict(state, state.looked_at).findings[0].finding is not Finding.FAIL:
        arms = rng.random(50) < share
        rows = [drawn(draw, rng, number + n, ours=bool(ours), share=share) for n, ours in enumerate(arms)]
        number, seen = number + 50, seen + int(arms.sum())
        state = look(state, health=rows, mature=rows, pairs=(), at=float(number))
        assert number < 50_000
    return seen


@pytest.mark.parametrize(
    ("guardrail", "law", "by"),
    [
        (SLOW, slow, 1.3),
        (COST, dear, 1.5),
        (default_guardrail("auc"), vague, 2.0),
        (default_guardrail("calibration_error"), sure, 2.0),
    ],
)
def test_what_the_judge_then_takes_is_about_what_was_said(
    guardrail: Guardrail, law: Callable[[float], Draw], by: float
) -> None:
    """Latency, values without a range, rankings and calibration, from a log of 3,000 requests of stable's."""
    share, metric = 0.1, guardrail.metric

    def traffic(ours: bool) -> Traffic:
        rng = np.random.default_rng(1)
        rows = [drawn(law(by), rng, n, ours=ours, share=share) for n in range(3_000)]
        served_rows = [ServedRow(row, "g", 0, str(row.position.offset), 1.0) for row in rows]
        return traffic_of(served_rows, "g", (guardrail,), DAY_S, sticky=False)

    stable, worse = traffic(ours=False), traffic(ours=True).law(guardrail)
    law_of = stable.law(guardrail)
    assert law_of is not None
    assert worse is not None
    level = by if metric == "latency" else worse.level
    line = Line(guardrail.relative, guardrail.absolute)
    said = math.log(20.0) * law_of.ratio / law_of.harm(line, level, share) * share / stable.about(metric)
    took = np.mean([found_after(guardrail, law(by), share, seed) for seed in range(6)])
    assert 0.5 < took / said < 2.0


def test_everything_that_the_log_knows_is_planned_for() -> None:
    rng, rows = np.random.default_rng(7), []

    def everything(rng: np.random.Generator, ours: bool) -> dict[str, object]:
        outcomes = {"label": int(rng.random() < 0.4), "cost": float(rng.pareto(1.5) * 20.0)}
        return vague(1.0)(rng, ours) | slow(1.0)(rng, ours) | {"outcomes": outcomes}

    for n in range(2_000):
        rows.append(ServedRow(drawn(everything, rng, n, ours=False, share=0.05), "g", 0, str(n), 1.0))
    names = ("precision", "f1", "auc", "calibration_error", "log_loss")
    guardrails = (SLOW, COST, *map(default_guardrail, names))
    traffic = replace(traffic_of(rows, "g", guardrails, DAY_S, sticky=False), bets_per_day=200_000.0)
    found = forecast(FLAT, Terms(guardrails, maturity_s=60.0), traffic)
    assert [one.metric for one in found.detections] == ["latency", "value:cost", *names]
    assert all(one.doubled is not None and one.by_step[0] is not None for one in found.detections)
    assert {proof.metric for proof in found.proofs} == {"latency", "value:cost", "log_loss"}
    assert all(proof.takes is not None for proof in found.proofs)
    assert found.warnings == ()


def test_a_latency_that_nobody_has_measured_is_reckoned_with_a_common_one_and_says_so() -> None:
    found = forecast(FLAT, Terms((SLOW,)), TRAFFIC)
    assert "p99 is taken to be 3.2 times its p50" in found.warnings[0]
    [detection], [proof] = found.detections, found.proofs
    assert (detection.rate, detection.tolerated) == (1.0, 1.1)
    assert detection.doubled is not None
    assert proof.takes is not None


@pytest.mark.parametrize("metric", ["disagreement", "score_distribution"])
def test_what_nobody_can_foresee_is_said_to_be_that(metric: str) -> None:
    found = forecast(FLAT, Terms((ERRORS, default_guardrail(metric))), TRAFFIC)
    assert f"{metric}: which way and how far" in found.warnings[0]
    assert [one.metric for one in found.detections] == ["error_rate"]


def test_pairs_show_no_latency_and_no_business_value() -> None:
    unseen = Plan("unseen", (Step(shadow=1.0, events=1_000),))
    traffic = replace(TRAFFIC, rates={"value:cost": 3.0}, spreads={"value:cost": 1.0})
    found = forecast(unseen, Terms((SLOW, COST), labels_independent=True), traffic)
    assert [one.doubled for one in found.detections] == [None, None]
    assert [one.takes for one in found.proofs] == [None, None]
