"""What counts as bad about a request."""

import pytest

from gateway.core.deployments import DeploymentSpec, Scalar, Task
from gateway.core.errors import Unmeasurable
from gateway.core.events import EvidenceRow, PairRow, Position
from gateway.core.metrics import METRICS, default_guardrail, measurable, same

ROW = EvidenceRow(
    position=Position(0.0, "spool", 0),
    candidate=True,
    propensity=0.05,
    failed=False,
    label=1,
    score=0.9,
    scores=None,
    latency_s=0.01,
    outcomes={"label": 1},
)
PAIR = PairRow(
    position=Position(0.0, "spool", 0),
    stable_label=1,
    stable_score=None,
    shadow_label=1,
    shadow_score=None,
    shadow_failed=False,
    outcomes={"label": 1},
)


@pytest.mark.parametrize(
    ("predicted", "truth", "equal"),
    [
        (1, True, True),
        (1, 1.0, True),
        (False, 0, True),
        ("1", 1, False),
        ("cat", "cat", True),
        ("cat", "Cat", False),
        (None, None, False),
        (float("nan"), float("nan"), False),
    ],
)
def test_labels_are_the_same_by_value_never_by_spelling(predicted: Scalar, truth: Scalar, equal: bool) -> None:
    assert same(predicted, truth) is equal


@pytest.mark.parametrize("metric", ["accuracy", "false_positives", "false_negatives", "recall"])
def test_a_labelled_metric_waits_for_its_label(metric: str) -> None:
    assert METRICS[metric].value(ROW._replace(outcomes={})) is None
    assert METRICS[metric].value(ROW._replace(outcomes={"revenue": 12.0})) is None
    assert METRICS[metric].value(ROW._replace(failed=True, outcomes={})) is None


def test_a_failure_is_an_error_and_a_wrong_answer_whatever_stable_answered() -> None:
    failed = ROW._replace(failed=True, label=1)
    assert METRICS["error_rate"].value(failed) is True
    assert METRICS["accuracy"].value(failed) is True
    assert METRICS["recall"].value(failed) is True
    assert METRICS["false_negatives"].value(failed) is True
    assert METRICS["false_positives"].value(failed._replace(outcomes={"label": 0})) is True


def test_errors_need_no_label() -> None:
    assert METRICS["error_rate"].value(ROW._replace(outcomes={})) is False


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        (1, 1, {"accuracy": False, "false_positives": False, "false_negatives": False, "recall": False}),
        (1, 0, {"accuracy": True, "false_positives": True, "false_negatives": False, "recall": None}),
        (0, 1, {"accuracy": True, "false_positives": False, "false_negatives": True, "recall": True}),
        (0, 0, {"accuracy": False, "false_positives": False, "false_negatives": False, "recall": None}),
    ],
)
def test_every_cell_of_the_confusion_matrix_is_bad_where_it_should_be(
    predicted: int, truth: int, expected: dict[str, bool | None]
) -> None:
    row = ROW._replace(label=predicted, outcomes={"label": truth})
    assert {name: METRICS[name].value(row) for name in expected} == expected


def test_a_shadow_that_failed_is_wrong_and_a_pair_without_a_label_is_no_pair() -> None:
    accuracy = METRICS["accuracy"]
    assert accuracy.pair(PAIR) == (False, False)
    assert accuracy.pair(PAIR._replace(shadow_failed=True, shadow_label=None)) == (False, True)
    assert accuracy.pair(PAIR._replace(stable_label=0)) == (True, False)
    assert accuracy.pair(PAIR._replace(outcomes={})) is None


def test_an_unknown_metric_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(Unmeasurable, match="error_rate, accuracy"):
        default_guardrail("acuracy")


@pytest.mark.parametrize(
    ("metric", "task"),
    [("accuracy", Task.REGRESSION), ("recall", Task.MULTICLASS), ("false_positives", Task.REGRESSION)],
)
def test_a_metric_that_does_not_fit_the_task_is_refused(metric: str, task: Task) -> None:
    with pytest.raises(Unmeasurable, match=task.value):
        measurable(metric, task)


@pytest.mark.parametrize("metric", list(METRICS))
def test_every_metric_has_a_margin_so_that_an_equal_candidate_can_be_promoted(metric: str) -> None:
    guardrail = default_guardrail(metric)
    assert guardrail.metric == metric
    assert guardrail.margin_relative > 1.0 or guardrail.margin_absolute > 0.0


def test_a_deployment_that_declares_nothing_is_guarded_by_the_default_error_rate() -> None:
    spec = DeploymentSpec(name="d", model="m", stable="1")
    assert spec.guardrails == (default_guardrail("error_rate"),)
