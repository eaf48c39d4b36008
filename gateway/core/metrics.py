"""Metrics: what counts as bad about one answered request, given what is known of it.

A metric turns a row into a *badness* (bad, not bad, or None: this row is none of its business) and says which
deployments it fits. It knows no arm and no statistics. Every metric here is a per-request Bernoulli of the drawn arm;
a failure of the drawn arm is an error *and* a wrong answer, whatever stable answered afterwards.

Precision, F1 and AUC condition on what the arm itself predicted, which the draw says nothing about: they are no
guardrails. False positives and false negatives per request, and recall (given a label no arm can change), are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from gateway.core.deployments import Guardrail, Scalar, Task
from gateway.core.errors import Unmeasurable
from gateway.core.events import EvidenceRow, PairRow

LABEL = "label"
"""The outcome metric under which the truth about a prediction is posted."""

Rule: TypeAlias = Callable[[bool, Scalar, Scalar], bool | None]
"""(failed, predicted label, true label) -> bad or not, or None where the row does not count."""

_ANY_TASK = frozenset(Task)
_CLASSES = frozenset({Task.BINARY, Task.MULTICLASS})
_TWO_CLASSES = frozenset({Task.BINARY})


@dataclass(frozen=True, slots=True)
class Metric:
    """One way for a request to go wrong.

    ``of`` and ``says`` make its sentence: "5.0 % of the candidate's *requests* *failed*". ``default`` holds the
    tolerance and the margin that are used where a deployment names the metric and nothing else.
    """

    name: str
    labelled: bool
    tasks: frozenset[Task]
    of: str
    says: str
    default: Guardrail
    rule: Rule

    def value(self, row: EvidenceRow) -> bool | None:
        """Whether the drawn arm did badly at this request; None while (or if) the row does not count.

        >>> METRICS["error_rate"].rule(True, None, None), METRICS["accuracy"].rule(False, 1, True)
        (True, False)
        """
        truth = row.outcomes.get(LABEL)
        if self.labelled and truth is None:
            return None
        return self.rule(row.failed, row.label, truth)

    def pair(self, row: PairRow) -> tuple[bool, bool] | None:
        """Whether (stable, shadow) did badly at the same request; None without a label, or if it does not count.

        A shadow that started and failed is wrong.
        """
        truth = row.outcomes.get(LABEL)
        if truth is None:
            return None
        stable = self.rule(False, row.stable_label, truth)
        shadow = self.rule(row.shadow_failed, row.shadow_label, truth)
        return None if stable is None or shadow is None else (stable, shadow)


def same(predicted: Scalar, truth: Scalar) -> bool:
    """Whether a prediction is the truth: numbers and booleans by value, strings by letter, nothing is never right.

    >>> same(1, True), same(1.0, 1), same("1", 1), same(None, None)
    (True, True, False, False)
    """
    return predicted is not None and predicted == truth


def positive(label: Scalar) -> bool:
    """Whether a binary label is the positive class: true, or 1.

    >>> positive(True), positive(1.0), positive(0), positive("1")
    (True, True, False, False)
    """
    return label == 1


def _failed(failed: bool, predicted: Scalar, truth: Scalar) -> bool:  # noqa: ARG001 - the shape of a Rule
    return failed


def _wrong(failed: bool, predicted: Scalar, truth: Scalar) -> bool:
    return failed or not same(predicted, truth)


def _false_positive(failed: bool, predicted: Scalar, truth: Scalar) -> bool:
    return not positive(truth) and (failed or predicted is None or positive(predicted))


def _false_negative(failed: bool, predicted: Scalar, truth: Scalar) -> bool:
    return positive(truth) and (failed or not positive(predicted))


def _missed(failed: bool, predicted: Scalar, truth: Scalar) -> bool | None:
    return _false_negative(failed, predicted, truth) if positive(truth) else None


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            name="error_rate",
            labelled=False,
            tasks=_ANY_TASK,
            of="requests",
            says="failed",
            default=Guardrail("error_rate", relative=1.1, margin_relative=1.5, margin_absolute=0.005),
            rule=_failed,
        ),
        Metric(
            name="accuracy",
            labelled=True,
            tasks=_CLASSES,
            of="labelled requests",
            says="were answered wrongly",
            default=Guardrail("accuracy", absolute=0.005, margin_absolute=0.02),
            rule=_wrong,
        ),
        Metric(
            name="false_positives",
            labelled=True,
            tasks=_TWO_CLASSES,
            of="labelled requests",
            says="were false alarms",
            default=Guardrail("false_positives", absolute=0.005, margin_absolute=0.02),
            rule=_false_positive,
        ),
        Metric(
            name="false_negatives",
            labelled=True,
            tasks=_TWO_CLASSES,
            of="labelled requests",
            says="were missed positives",
            default=Guardrail("false_negatives", absolute=0.005, margin_absolute=0.02),
            rule=_false_negative,
        ),
        Metric(
            name="recall",
            labelled=True,
            tasks=_TWO_CLASSES,
            of="requests with a positive label",
            says="were missed",
            default=Guardrail("recall", absolute=0.01, margin_absolute=0.04),
            rule=_missed,
        ),
    )
}


def default_guardrail(metric: str) -> Guardrail:
    """Return the guardrail of a metric that is named and not described. Raises Unmeasurable for an unknown name.

    A margin is needed to promote. Errors are so rare in health that a purely relative margin could not be shown in
    reasonable time (not at all where stable never fails), hence half a point on top of x1.5.

    >>> default_guardrail("accuracy").margin_absolute
    0.02
    """
    return known(metric).default


def known(metric: str) -> Metric:
    """Return the metric of that name. Raises Unmeasurable, which lists the names there are.

    >>> known("error_rate").labelled
    False
    """
    if metric not in METRICS:
        raise Unmeasurable(metric, f"there is no metric of that name; there are {', '.join(METRICS)}.")
    return METRICS[metric]


def measurable(metric: str, task: Task) -> Metric:
    """Return the metric of that name if it fits the task. Raises Unmeasurable.

    >>> try:
    ...     measurable("recall", Task.REGRESSION)
    ... except Unmeasurable as error:
    ...     print(error)
    Guardrail recall cannot be measured here: it fits binary models, this one is regression.
    """
    found = known(metric)
    if task not in found.tasks:
        fits = " and ".join(sorted(one.value for one in found.tasks))
        raise Unmeasurable(metric, f"it fits {fits} models, this one is {task.value}.")
    return found
