"""What a verdict still needs at this pace, and when nothing is said."""

import math
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.deployments import Field, Guardrail, ModelCard, Plan, Role, Step, Task, Type
from gateway.core.forecast import outlook
from gateway.core.judging import Finding, JudgeState, MetricFinding, Verdict, open_case
from gateway.core.rollout import Rollout, Signal, Terms, begin, send

T0 = 1_363_000_000.0
MODEL = ModelCard("flights", "2", "models:/flights/2", "d2", "joblib", "m", (Field("x", Type.NUMBER),), Task.BINARY)
PLAN = Plan("p", (Step(weight=0.1), Step(weight=0.5)))


def running(plan: Plan = PLAN, terms: Terms = Terms()) -> Rollout:  # noqa: B008 - a value
    return send(begin("canary", "g", MODEL, plan, "s", terms, at=T0), Signal.READY, at=T0)


def case() -> JudgeState:
    return open_case((Guardrail("accuracy"),), alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=T0)


def found(metric: str = "accuracy", n: int = 200, **fields: Any) -> MetricFinding:
    """Safety evidence e^1 of e^3 wanted, no evidence of harm."""
    values: dict[str, Any] = {
        "evidence": 1.0,
        "evidence_now": 0.5,
        "threshold": 40.0,
        "promote_evidence": 2.718281828459045,
    }
    values |= {"promote_threshold": math.e**3, "n_stable": 9 * n, "n_candidate": n, "sentence": ""}
    values |= {"role": Role.GUARDRAIL, "finding": Finding.INCONCLUSIVE}
    return MetricFinding(metric=metric, **(values | fields))


def said(*findings: MetricFinding, after: float = 1_000.0, finding: Finding = Finding.INCONCLUSIVE) -> Verdict:
    return Verdict(finding, findings, T0 + after, "", "1")


def test_what_has_grown_by_one_and_needs_three_takes_twice_as_long_again() -> None:
    still = outlook(running(), case(), said(found()), 200)
    assert still is not None
    assert (still.towards, still.observations) == (Finding.PASS, 400)
    assert still.seconds == pytest.approx(2_000.0)
    assert "shown to be safe in about 33 minutes (400 more" in still.sentence


def test_every_counted_metric_is_needed_and_the_slowest_decides() -> None:
    slow = found("error_rate", promote_evidence=1.1)
    still = outlook(running(), case(), said(found(), slow), 200)
    assert still is not None
    assert still.observations > 5_000


def test_one_guardrail_on_its_way_down_is_enough_when_it_is_nearer() -> None:
    bad = found("error_rate", promote_evidence=0.1, evidence_now=30.0)
    still = outlook(running(), case(), said(found(), bad), 200)
    assert still is not None
    assert still.towards is Finding.FAIL
    assert still.observations < 40
    assert "worse than tolerated" in still.sentence


def test_a_wider_step_brings_it_nearer_in_time_not_in_observations() -> None:
    """100 observations in the first 900 s, 100 in the last 100 s: ten times as many a second as over the whole."""
    wider = send(running(), Signal.ADVANCE, at=T0 + 900.0, seen=100)
    still = outlook(wider, case(), said(found()), 200)
    assert still is not None
    assert still.observations == 400
    assert still.seconds == pytest.approx(2_000.0 / 5.0)


@pytest.mark.parametrize(
    "verdict",
    [
        said(found(), finding=Finding.PASS),
        said(found(), finding=Finding.FAIL),
        replace(said(found()), paused_by=("sample_ratio",)),
        said(found(n=19)),
        said(found(promote_evidence=1.01)),
        said(found(promote_evidence=0.2)),
        said(found(promote_evidence=50.0)),
        said(found(promote_evidence=1.052, promote_threshold=1e300)),
        said(found(), found("error_rate", promote_evidence=0.5)),
        said(found(promote_evidence=None, promote_threshold=None)),
        said(),
        said(found(), after=0.0),
    ],
    ids=[
        *("passed", "failed", "paused", "hardly seen", "hardly grown", "against it", "waits for labels", "too far"),
        *("one points nowhere", "no promotion", "nothing", "no time"),
    ],
)
def test_nothing_is_said_where_nothing_can_be_said(verdict: Verdict) -> None:
    assert outlook(running(), case(), verdict, 200) is None


def test_signals_and_dry_runs_decide_nothing() -> None:
    bad: dict[str, Any] = {"promote_evidence": 0.1, "evidence_now": 30.0}
    aside = (found("a", role=Role.SIGNAL, **bad), found("b", dry_run=True, **bad))
    still = outlook(running(), case(), said(found(), *aside), 200)
    assert still is not None
    assert still.towards is Finding.PASS


def test_a_shadow_is_on_its_way_only_where_pairs_are_enough() -> None:
    shadow = Plan("shadow", (Step(shadow=1.0),))
    verdict = said(found(n=0), found("paired_accuracy"))
    assert outlook(running(shadow), case(), verdict, 200) is None
    still = outlook(running(shadow, Terms(labels_independent=True)), case(), verdict, 200)
    assert still is not None
    assert (still.towards, still.observations) == (Finding.PASS, 400)
