"""Metrics: what counts as bad about one answered request, given what is known of it.

A metric turns a row into a *badness* (bad or not, or an amount; None: this row is none of its business), says how its
badness is compared (:class:`Kind`) and which deployments it fits. It knows no arm and no statistics. A failure of the
drawn arm is an error *and* a wrong answer *and* the worst amount, whatever stable answered afterwards.

Precision, F1 and AUC condition on what the arm itself predicted, which the draw says nothing about: they are signals
and never demote. False positives and false negatives per request, and recall (given a label no arm can change), do.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from gateway.core.deployments import Guardrail, Role, Scalar, Task
from gateway.core.errors import Unmeasurable
from gateway.core.losses import (
    WORST_LOG_LOSS,
    Loss,
    Scores,
    absolute_error,
    brier,
    log_loss,
    name_of,
    number,
    outlook,
    positive,
    same,
    squared_error,
)
from gateway.core.measures import LABEL, Kind, Metric, Rule

__all__ = ["LABEL", "METRICS", "Kind", "Metric", "default_guardrail", "known", "measurable", "positive", "same"]

VALUE = "value:"
"""Before the name of a business value that applications send as an outcome."""

_ANY_TASK = frozenset(Task)
_CLASSES = frozenset({Task.BINARY, Task.MULTICLASS})
_TWO_CLASSES = frozenset({Task.BINARY})
_NUMBERS = frozenset({Task.REGRESSION})
_ONE_ANSWER = _ANY_TASK - {Task.MULTIOUTPUT}


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


def _false_alarm(failed: bool, predicted: Scalar, truth: Scalar) -> bool | None:
    return None if positive(truth) else _false_positive(failed, predicted, truth)


def _imprecise(failed: bool, predicted: Scalar, truth: Scalar) -> bool | None:
    return not positive(truth) if not failed and positive(predicted) else None


def _not_a_hit(failed: bool, predicted: Scalar, truth: Scalar) -> bool | None:
    """F1 rises with TP / (TP + FP + FN): leave the true negatives out, and it is a rate."""
    hit = not failed and positive(predicted)
    return not (hit and positive(truth)) if hit or positive(truth) else None


def _score(label: Scalar, score: float | None, scores: Scores, truth: Scalar) -> float | None:  # noqa: ARG001 - a Loss
    return outlook(label, score, scores)


_LABELLED = "labelled requests"

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
            of=_LABELLED,
            says="were answered wrongly",
            default=Guardrail("accuracy", absolute=0.005, margin_absolute=0.02),
            rule=_wrong,
        ),
        Metric(
            name="latency",
            labelled=False,
            tasks=_ANY_TASK,
            of="requests for one prediction",
            says="took longer than",
            default=Guardrail("latency", relative=1.1, margin_relative=1.25),
            kind=Kind.SLOWER,
        ),
        Metric(
            name="false_positives",
            labelled=True,
            tasks=_TWO_CLASSES,
            of=_LABELLED,
            says="were false alarms",
            default=Guardrail("false_positives", absolute=0.005, margin_absolute=0.02),
            rule=_false_positive,
            classed=True,
        ),
        Metric(
            name="false_negatives",
            labelled=True,
            tasks=_TWO_CLASSES,
            of=_LABELLED,
            says="were missed positives",
            default=Guardrail("false_negatives", absolute=0.005, margin_absolute=0.02),
            rule=_false_negative,
            classed=True,
        ),
        Metric(
            name="recall",
            labelled=True,
            tasks=_TWO_CLASSES,
            of="requests with a positive label",
            says="were missed",
            default=Guardrail("recall", absolute=0.01, margin_absolute=0.04),
            rule=_missed,
            classed=True,
        ),
        Metric(
            name="false_positive_rate",
            labelled=True,
            tasks=_TWO_CLASSES,
            of="requests with a negative label",
            says="were false alarms",
            default=Guardrail("false_positive_rate", absolute=0.005, margin_absolute=0.02),
            rule=_false_alarm,
            classed=True,
        ),
        Metric(
            name="precision",
            labelled=True,
            tasks=_TWO_CLASSES,
            of="positive answers",
            says="were false alarms",
            default=Guardrail("precision", role=Role.SIGNAL, absolute=0.01, margin_absolute=0.04),
            rule=_imprecise,
            kind=Kind.BLOCKS,
            classed=True,
        ),
        Metric(
            name="f1",
            labelled=True,
            tasks=_TWO_CLASSES,
            of="requests with a positive answer or label",
            says="were no hits",
            default=Guardrail("f1", role=Role.SIGNAL, absolute=0.01, margin_absolute=0.04),
            rule=_not_a_hit,
            kind=Kind.BLOCKS,
            classed=True,
        ),
        Metric(
            name="auc",
            labelled=True,
            tasks=_TWO_CLASSES,
            of="pairs of a positive and a negative",
            says="were ranked wrongly",
            default=Guardrail("auc", role=Role.SIGNAL, absolute=0.01, margin_absolute=0.03),
            kind=Kind.RANKING,
            high=1.0,
            scored=True,
            classed=True,
        ),
        Metric(
            name="log_loss",
            labelled=True,
            tasks=_CLASSES,
            of="log-loss",
            says="is",
            default=Guardrail("log_loss", absolute=0.01, margin_absolute=0.05),
            kind=Kind.MEAN,
            loss=log_loss,
            high=WORST_LOG_LOSS,
            scored=True,
        ),
        Metric(
            name="brier",
            labelled=True,
            tasks=_CLASSES,
            of="Brier score",
            says="is",
            default=Guardrail("brier", absolute=0.005, margin_absolute=0.02),
            kind=Kind.MEAN,
            loss=brier,
            high=1.0,
            scored=True,
        ),
        Metric(
            name="calibration_error",
            labelled=True,
            tasks=_CLASSES,
            of="calibration error",
            says="is",
            default=Guardrail("calibration_error", role=Role.SIGNAL, absolute=0.02, margin_absolute=0.05),
            kind=Kind.CALIBRATION,
            low=-1.0,
            high=1.0,
            scored=True,
        ),
        Metric(
            name="mae",
            labelled=True,
            tasks=_NUMBERS,
            of="mean absolute error",
            says="is",
            default=Guardrail("mae", relative=1.02, margin_relative=1.1),
            kind=Kind.MEAN,
            loss=absolute_error,
        ),
        Metric(
            name="rmse",
            labelled=True,
            tasks=_NUMBERS,
            of="root mean squared error",
            says="is",
            default=Guardrail("rmse", relative=1.02, margin_relative=1.1),
            kind=Kind.MEAN,
            loss=squared_error,
            squared=True,
        ),
        Metric(
            name="disagreement",
            labelled=False,
            tasks=_CLASSES,
            of="answers",
            says="differed from stable's to the same request",
            default=Guardrail("disagreement", role=Role.SIGNAL, absolute=0.1, margin_absolute=0.2),
            kind=Kind.AGREEMENT,
        ),
        Metric(
            name="score_distribution",
            labelled=False,
            tasks=_ONE_ANSWER,
            of="scores",
            says="lie above",
            default=Guardrail("score_distribution", role=Role.SIGNAL, absolute=0.02, margin_absolute=0.1),
            kind=Kind.SPREAD,
            loss=_score,
        ),
    )
}

FAMILIES = ("recall:", "false_positive_rate:", "precision:", "f1:", "mae:", "rmse:", VALUE)
"""Metrics of one class or one output, by its name, and of a business value, by the name under which it is posted."""


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

    >>> known("error_rate").labelled, known("recall:late").of, known("value:revenue").outcome
    (False, "requests whose label is 'late'", 'revenue')
    >>> known("mae:delay").of, known("mae:delay").lost(None, None, {"delay": 3.0}, 5)
    ('mean absolute error of delay', 2.0)
    """
    if metric in METRICS:
        return METRICS[metric]
    family, _, name = metric.partition(":")
    if name and metric.startswith(VALUE):
        return _business(metric, name)
    if name and family + ":" in FAMILIES:
        return (_of_output if METRICS[family].loss else _of_class)(METRICS[family], metric, name)
    names = ", ".join((*METRICS, *(family + "NAME" for family in FAMILIES)))
    raise Unmeasurable(metric, f"there is no metric of that name; there are {names}.")


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


@lru_cache(maxsize=1_024)
def told_as(guardrail: Guardrail, yes: str | None = None) -> Metric:
    """Return a guardrail's metric with the range and direction that the guardrail declares for it.

    ``yes`` is the name of a binary deployment's positive class, None where that is 1 or true.

    >>> told_as(Guardrail("value:revenue", low=0.0, high=50.0, higher_is_better=True)).kind.value
    'mean'
    >>> told_as(Guardrail("value:revenue", higher_is_better=True)).kind.value
    'shift'
    """
    metric = _of_positive(known(guardrail.metric), yes)
    if not metric.name.startswith(VALUE):
        if guardrail.high is None:
            return metric
        return replace(metric, high=guardrail.high**2 if metric.squared else guardrail.high)
    low, high = guardrail.low, guardrail.high
    sign = -1.0 if guardrail.higher_is_better else 1.0
    if low is None or high is None:
        return replace(metric, loss=_valued(0.0, sign), sign=sign)
    start = high if guardrail.higher_is_better else -low
    return replace(metric, kind=Kind.MEAN, loss=_valued(start, sign), high=high - low, start=start, sign=sign)


def compared(guardrail: Guardrail) -> Guardrail:
    """Return a guardrail's terms on the scale on which amounts are compared.

    A ratio of roots is the root of a ratio: RMSE's tolerance, squared, is that of the squares.

    >>> round(compared(Guardrail("rmse", relative=1.1)).relative, 2), compared(Guardrail("mae", relative=1.1)).relative
    (1.21, 1.1)
    """
    if not known(guardrail.metric).squared:
        return guardrail
    return replace(guardrail, relative=guardrail.relative**2, margin_relative=guardrail.margin_relative**2)


def _valued(start: float, sign: float) -> Loss:
    """Count a posted value from its best end."""

    def loss(label: Scalar, score: float | None, scores: object, truth: Scalar) -> float | None:  # noqa: ARG001
        amount = number(truth)
        return None if amount is None else start + sign * amount

    return loss


def _business(metric: str, name: str) -> Metric:
    return Metric(
        metric, True, _ANY_TASK, name, "is", Guardrail(metric), kind=Kind.SHIFT, loss=_valued(0.0, 1.0), outcome=name
    )


def spelled(classes: Sequence[int | str], task: Task) -> str | None:
    """Name a binary model's positive class, its second; None where that is 1 or true, or nobody knows.

    >>> spelled((0, 1), Task.BINARY), spelled(("on time", "late"), Task.BINARY), spelled((), Task.BINARY)
    (None, 'late', None)
    """
    return name_of(classes[-1]) if task is Task.BINARY and classes and not positive(classes[-1]) else None


def _of_positive(metric: Metric, yes: str | None) -> Metric:
    """Return a binary metric for a positive class of another spelling."""
    if yes is None or not (metric.classed or metric.scored):
        return metric
    loss, rule = metric.loss, metric.rule

    def for_yes(label: Scalar, score: float | None, scores: Scores, truth: Scalar) -> float | None:
        return loss(label, score, scores, truth if scores is not None else int(name_of(truth) == yes)) if loss else None

    return replace(
        metric,
        yes=yes,
        rule=None if rule is None else _one_against_rest(rule, yes),
        loss=None if loss is None else for_yes,
    )


def _one_against_rest(rule: Rule, wanted: str) -> Rule:
    def of_class(failed: bool, predicted: Scalar, truth: Scalar) -> bool | None:
        return rule(failed, int(name_of(predicted) == wanted), int(name_of(truth) == wanted))

    return of_class


def _of_output(metric: Metric, name: str, output: str) -> Metric:
    """Return a metric of numbers for one output of a model with several; its truth is posted under its name."""

    def loss(label: Scalar, score: float | None, scores: Scores, truth: Scalar) -> float | None:  # noqa: ARG001
        return metric.lost((scores or {}).get(output), None, None, truth)

    return replace(
        metric,
        name=name,
        tasks=frozenset({Task.MULTIOUTPUT}),
        of=f"{metric.of} of {output}",
        default=replace(metric.default, metric=name),
        loss=loss,
        outcome=output,
    )


def _of_class(metric: Metric, name: str, wanted: str) -> Metric:
    """Return a binary metric for "is it this class" of a model with several."""
    whose = {
        "recall": f"requests whose label is {wanted!r}",
        "false_positive_rate": f"requests whose label is not {wanted!r}",
        "precision": f"answers {wanted!r}",
        "f1": f"requests with the answer or label {wanted!r}",
    }
    return replace(
        metric,
        name=name,
        tasks=_CLASSES,
        of=whose[metric.name],
        default=replace(metric.default, metric=name),
        rule=None if metric.rule is None else _one_against_rest(metric.rule, wanted),
        classed=False,
    )
