"""What the validation gate makes of figures: which gate, by how much, and when it cannot be held."""

from dataclasses import replace

import pytest

from gateway.core.deployments import DeploymentSpec, FeaturePolicy, Field, ModelCard, Scalar, Task, Type
from gateway.core.features import NO_FEATURES, FeaturePlan, JoinKey, PlannedFeature, PlannedView
from gateway.core.gates import (
    FIGURES,
    Measured,
    Replayable,
    failed,
    judge_golden,
    judge_holdout,
    judge_latency,
    judge_memory,
    judge_robustness,
    judge_schema,
    replay_rows,
)
from gateway.core.rules import Holdout, Robustness

INPUTS = (Field("hour", Type.INTEGER), Field("delay_7d", Type.NUMBER))
CARD = ModelCard("d", "2", "models:/d/2", "d2", "joblib", "p", INPUTS, Task.BINARY, (0, 1), feature_service="svc")
SPEC = DeploymentSpec("d", "d", "models:/d/1")
SOUND = Measured(golden=2, mistakes=(), latency_s=0.004, memory_bytes=100 * 2**20)


def plan(delivered: Type = Type.NUMBER) -> FeaturePlan:
    view = PlannedView(
        "v",
        "v",
        (JoinKey("tail", "tail", Type.STRING, "STRING"),),
        (PlannedFeature("delay_7d", "delay_7d", delivered, "DOUBLE"),),
    )
    return FeaturePlan("p", "memory", "", "", "", (view,), {"svc": ("delay_7d",)})


def test_inputs_that_are_delivered_as_they_are_taken_pass() -> None:
    assert judge_schema(SPEC, CARD, plan()).passed
    assert judge_schema(SPEC, CARD, plan(Type.INTEGER)).passed  # a number takes integers


@pytest.mark.parametrize(
    ("spec", "found", "says"),
    [
        (SPEC, plan(Type.STRING), "delay_7d is delivered as string and taken as number"),
        (SPEC, NO_FEATURES, "the feature service svc is not there"),
        (replace(SPEC, inputs={"hour": Field("hour", Type.STRING)}), plan(), "hour is declared as string"),
        (replace(SPEC, inputs={"hour": Field("hour", Type.INTEGER, default=1.5)}), plan(), "default of hour"),
        (replace(SPEC, features={"delay_7d": FeaturePolicy(default="x")}), plan(), "default of delay_7d is no number"),
    ],
)
def test_inputs_that_do_not_fit_are_named(spec: DeploymentSpec, found: FeaturePlan, says: str) -> None:
    result = judge_schema(spec, CARD, found)
    assert not result.passed
    assert says in result.sentence


def test_a_limit_that_is_passed_is_said_with_both_figures() -> None:
    slow = judge_latency(replace(SOUND, latency_s=0.130), 0.100)
    assert (slow.passed, slow.figure, slow.limit) == (False, 0.130, 0.100)
    assert failed([slow, judge_memory(SOUND, 2**30)]) == (
        "Gate latency: answering one row takes 130.0 ms at the 95th percentile; 100 ms is all that is allowed.",
    )


def test_mistakes_at_its_own_examples_refuse_a_model_and_no_examples_are_said() -> None:
    wrong = judge_golden(replace(SOUND, mistakes=tuple(f"example {n} fails" for n in range(5))))
    assert (wrong.passed, wrong.figure) == (False, 5.0)
    assert wrong.sentence == "example 0 fails; example 1 fails; example 2 fails; and 2 more."
    none = judge_golden(replace(SOUND, golden=0))
    assert (none.passed, none.skipped) == (True, True)


def test_noise_may_flip_so_many_answers_and_no_more() -> None:
    shaken = replace(SOUND, answers=(0, 1, 1, 0), shaken=(0, 1, 0, 0))
    assert judge_robustness(shaken, Task.BINARY, Robustness(flips=0.25)).passed
    result = judge_robustness(shaken, Task.BINARY, Robustness(flips=0.2))
    assert result.sentence == "noise of 5.0% flips 25.0% of 4 answers; 20.0% is all that is allowed."
    assert judge_robustness(shaken, Task.REGRESSION, Robustness()).skipped


LABELS: list[Scalar] = [1, 0, 1, 0]
RIGHT = replace(SOUND, answers=(1, 0, 1, 0), scores=(0.9, 0.1, 0.9, 0.1))
HALF = replace(SOUND, answers=(1, 1, 0, 0), scores=(0.9, 0.9, 0.1, 0.1))


@pytest.mark.parametrize(("margin", "passed"), [(-0.5, True), (-0.4, False), (0.0, False)])
def test_a_candidate_may_be_worse_than_stable_on_the_hold_out_by_its_margin(margin: float, passed: bool) -> None:
    result = judge_holdout(CARD, LABELS, HALF, RIGHT, Holdout(margin=margin, at_least=4))
    assert (result.passed, result.figure, result.limit) == (passed, -0.5, margin)
    assert "is 0.5000, stable's is 1.0000: 0.5000 worse" in result.sentence


def test_a_margin_above_zero_asks_for_a_better_model() -> None:
    assert judge_holdout(CARD, LABELS, RIGHT, HALF, Holdout("f1", 0.1, at_least=4)).passed
    assert not judge_holdout(CARD, LABELS, RIGHT, RIGHT, Holdout("f1", 0.1, at_least=4)).passed


@pytest.mark.parametrize(("required", "passed"), [(False, True), (True, False)])
def test_too_few_labels_are_no_hold_out_and_refuse_only_where_one_is_required(required: bool, passed: bool) -> None:
    result = judge_holdout(CARD, LABELS, HALF, RIGHT, Holdout(at_least=5, required=required))
    assert (result.passed, result.skipped) == (passed, not required)
    assert "has 4 labelled requests to replay; 5 are needed" in result.sentence


@pytest.mark.parametrize(("metric", "right", "half"), [("accuracy", 1.0, 0.5), ("f1", 1.0, 0.5), ("brier", 0.01, 0.41)])
def test_figures_are_what_the_textbook_says(metric: str, right: float, half: float) -> None:
    figure, _ = FIGURES[metric]
    assert figure(CARD, LABELS, RIGHT) == pytest.approx(right)
    assert figure(CARD, LABELS, HALF) == pytest.approx(half)


def test_errors_of_numbers_need_a_number_for_every_request() -> None:
    some = replace(SOUND, answers=(1.0, 2.0), scores=(None, None))
    assert FIGURES["mae"][0](CARD, [2.0, 4.0], some) == 1.5
    assert FIGURES["rmse"][0](CARD, [2.0, 4.0], some) == pytest.approx(2.5**0.5)
    assert FIGURES["mae"][0](CARD, [2.0, 4.0], replace(some, answers=(1.0, None))) is None


def test_requests_of_the_log_become_rows_in_the_order_of_the_inputs() -> None:
    recent = [Replayable(1.0, {"delay_7d": 2.5, "hour": 7, "tail": "N1"}, 1), Replayable(2.0, {"hour": 8}, 0)]
    assert replay_rows(CARD, recent) == ([[7, 2.5], [8, None]], [1, 0], "")


def test_requests_that_do_not_know_a_required_input_cannot_be_replayed() -> None:
    assert replay_rows(CARD, [Replayable(1.0, {"hour": 7}, 1)]) == ([], [], "delay_7d")
