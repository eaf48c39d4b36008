"""What an answer itself picks, and outputs of models with several, judged on requests that both models answered."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from gateway.core.deployments import Guardrail, Role, Task
from gateway.core.events import PairRow, Position
from gateway.core.findings import Finding, MetricFinding
from gateway.core.judging import JUDGE_VERSION, JudgeState, look, on_pairs, open_case, verdict
from gateway.core.metrics import METRICS, default_guardrail, known
from gateway.core.pair_cases import bet_on_pair_shares, open_pair_shares

START = 1_363_000_000.0
PRECISION = Guardrail("precision", role=Role.SIGNAL)


def opened(*guardrails: Guardrail, task: Task = Task.BINARY, version: str = JUDGE_VERSION) -> JudgeState:
    return open_case(guardrails, alpha=0.05, alpha_promote=0.05, task=task, at=START, own=False, version=version)


def pairs(labels: Sequence[tuple[int, int, int]], scores: Sequence[tuple[float, float]] | None = None) -> list[PairRow]:
    """Rows of (stable's, the shadow's, the true) label, a request a second."""
    given = scores or [(0.5, 0.5)] * len(labels)
    return [
        PairRow(Position(START + n, "s", n), stable, one, shadow, other, False, {"label": truth})
        for n, ((stable, shadow, truth), (one, other)) in enumerate(zip(labels, given, strict=True))
    ]


def found(state: JudgeState, rows: Sequence[PairRow], metric: str) -> MetricFinding:
    """What is said of a metric after looks of 100 pairs."""
    for first in range(0, len(rows), 100):
        state = look(state, health=(), mature=(), pairs=rows[first : first + 100], at=START + first + 100)
    return next(one for one in verdict(state, state.looked_at).findings if one.metric == metric)


def picks(rng: np.random.Generator, n: int, share: float, wrong: float) -> list[bool | None]:
    """Answers of a model that says yes to a share of requests, and is wrong in a share of those."""
    yes, bad = rng.random(n) < share, rng.random(n) < wrong
    return [bool(b) if y else None for y, b in zip(yes, bad, strict=True)]


def labelled(rng: np.random.Generator, n: int, spoilt: float) -> list[tuple[int, int, int]]:
    """Both say yes to the positives they find; the shadow to a share ``spoilt`` of the negatives as well."""
    truth = rng.random(n) < 0.4
    stable = np.where(truth, rng.random(n) < 0.9, rng.random(n) < 0.1)
    shadow = stable | (~truth & (rng.random(n) < spoilt))
    return [(int(a), int(b), int(t)) for a, b, t in zip(stable, shadow, truth, strict=True)]


@pytest.mark.parametrize("metric", ["precision", "f1"])
def test_a_shadow_that_cries_wolf_fails_and_one_that_is_alike_is_shown_to_be_safe(metric: str) -> None:
    rng = np.random.default_rng(11)
    worse = found(opened(default_guardrail(metric)), pairs(labelled(rng, 3_000, 0.3)), f"paired_{metric}")
    assert (worse.finding, worse.role) == (Finding.FAIL, Role.SIGNAL)
    assert worse.low < (worse.difference or 0.0) < worse.high
    assert "worse than tolerated" in worse.sentence
    alike = found(opened(default_guardrail(metric)), pairs(labelled(rng, 3_000, 0.0)), f"paired_{metric}")
    assert (alike.finding, alike.stable) == (Finding.PASS, alike.candidate)


@pytest.mark.parametrize(("stable", "shadow"), [(0.3, 0.6), (0.6, 0.3), (0.1, 0.5), (0.3, 0.3)])
def test_models_that_are_as_precise_and_say_yes_more_or_less_often_are_not_told_apart(
    stable: float, shadow: float
) -> None:
    alarms = 0
    for seed in range(20):
        rng, case = np.random.default_rng(seed), open_pair_shares()
        for _ in range(20):
            rows = list(zip(picks(rng, 100, stable, 0.3), picks(rng, 100, shadow, 0.3), strict=True))
            case = bet_on_pair_shares(case, PRECISION, {0: rows})
        alarms += case.harm.peak >= math.log(20.0)
    assert alarms <= 3  # of 20, at a chance of 5 % each


def test_a_shadow_whose_probabilities_do_not_come_true_fails() -> None:
    rng = np.random.default_rng(5)
    for power, finding in ((2.5, Finding.FAIL), (1.0, Finding.PASS)):
        p = rng.random(4_000)
        labels = [(int(one > 0.5), int(one**power > 0.5), int(rng.random() < one)) for one in p]
        scores = [(float(one), float(one**power)) for one in p]
        said = found(opened(default_guardrail("calibration_error")), pairs(labels, scores), "paired_calibration_error")
        assert said.finding is finding
        assert said.n_candidate == 4_000


@pytest.mark.parametrize("metric", ["mae:delay", "rmse:delay"])
def test_an_output_of_a_model_with_several_is_judged_on_pairs(metric: str) -> None:
    rng = np.random.default_rng(3)
    for spread, finding in ((3.0, Finding.FAIL), (1.0, Finding.PASS)):
        rows = [
            PairRow(
                Position(START + n, "s", n), None, None, None, None, False, {"delay": 0.0},
                {"delay": float(rng.normal()), "cost": 1.0}, {"delay": float(rng.normal(scale=spread)), "cost": 1.0},
            )
            for n in range(6_000)
        ]  # fmt: skip
        state = opened(Guardrail(metric, relative=1.05, margin_relative=1.5), task=Task.MULTIOUTPUT)
        assert found(state, rows, f"paired_{metric}").finding is finding


def test_what_a_pair_cannot_show_is_not_judged_on_pairs() -> None:
    assert {name for name, metric in METRICS.items() if not on_pairs(metric)} == {
        "error_rate", "latency", "disagreement", "score_distribution"
    }  # fmt: skip
    assert not on_pairs(known("value:revenue"))


def test_what_judge_3_opened_is_judged_on_the_pairs_that_it_knew() -> None:
    three = opened(PRECISION, default_guardrail("accuracy"), version="3")
    assert (three.version, sorted(three.pairs), three.paired_shares) == ("3", ["paired_accuracy"], {})
    four = opened(PRECISION, default_guardrail("accuracy"))
    assert (sorted(four.pairs), sorted(four.paired_shares)) == (["paired_accuracy"], ["paired_precision"])
