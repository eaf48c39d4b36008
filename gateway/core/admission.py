"""Which guardrails can be judged on a deployment: what cannot is refused before a rollout starts, with the reason."""

import math
from collections.abc import Sequence

from gateway.core.deployments import Guardrail, Role, Step, Task
from gateway.core.errors import Unmeasurable
from gateway.core.metrics import LABEL, VALUE, Kind, Metric, measurable, told_as

SIGNALS_ONLY = frozenset({Kind.BLOCKS, Kind.RANKING, Kind.CALIBRATION})
"""What conditions on the arm's own answers may pause a rollout, never demote or be asked for."""
SHARES = frozenset({Kind.RATE, Kind.BLOCKS, Kind.RANKING, Kind.SPREAD, Kind.AGREEMENT, Kind.CALIBRATION})
"""Kinds whose absolute tolerance is a share."""


def check(
    guardrails: Sequence[Guardrail], task: Task, *, pairs: bool, classes: Sequence[int | str] = (), scored: bool = True
) -> tuple[Metric, ...]:
    """Return the metrics of guardrails that can all be judged. Raises Unmeasurable.

    >>> try:
    ...     check([Guardrail("disagreement", absolute=0.1)], Task.BINARY, pairs=False)
    ... except Unmeasurable as error:
    ...     print(error)
    Guardrail disagreement cannot be measured here: no step of the plan lets the candidate watch as a shadow.
    """
    for guardrail in guardrails:
        _check_fit(guardrail, measurable(guardrail.metric, task), pairs=pairs, classes=classes, scored=scored)
        _check_lines(guardrail)
        if sum(one.metric == guardrail.metric for one in guardrails) > 1:
            raise Unmeasurable(guardrail.metric, "it is named more than once.")
    return tuple(told_as(guardrail) for guardrail in guardrails)


def _check_fit(
    guardrail: Guardrail, metric: Metric, *, pairs: bool, classes: Sequence[int | str], scored: bool
) -> None:
    if metric.kind in SIGNALS_ONLY and guardrail.role is not Role.SIGNAL:
        raise Unmeasurable(
            metric.name,
            "what the arm answers decides which requests it is about, so it can be a signal only; "
            "false_positives and false_negatives are judged per request.",
        )
    if metric.kind is Kind.AGREEMENT and not pairs:
        raise Unmeasurable(metric.name, "no step of the plan lets the candidate watch as a shadow.")
    if metric.scored and not scored:
        raise Unmeasurable(metric.name, "it needs probabilities, and the models here answer labels only.")
    name = metric.name.partition(":")[2]
    if name and metric.outcome == LABEL and classes and name not in map(str, classes):
        raise Unmeasurable(metric.name, f"there is no class {name!r} here, only {', '.join(map(repr, classes))}.")


def _check_lines(guardrail: Guardrail) -> None:
    metric = told_as(guardrail)
    factors = (guardrail.relative, guardrail.margin_relative)
    offsets = (guardrail.absolute, guardrail.margin_absolute)
    if not all(0.0 < factor < math.inf for factor in factors):
        raise Unmeasurable(metric.name, f"a relative tolerance must be above 0, these are {factors}.")
    if metric.kind in SHARES and not all(-1.0 < offset < 1.0 for offset in offsets):
        raise Unmeasurable(metric.name, f"an absolute tolerance is a share between -1 and 1, these are {offsets}.")
    if not all(map(math.isfinite, offsets)):
        raise Unmeasurable(metric.name, f"an absolute tolerance is a number, these are {offsets}.")
    if metric.squared and offsets != (0.0, 0.0):
        raise Unmeasurable(
            metric.name, "it is tested as the mean of squared errors, so its tolerance is relative only."
        )
    if factors != (1.0, 1.0) and (guardrail.higher_is_better or metric.kind is Kind.CALIBRATION):
        raise Unmeasurable(metric.name, "a relative tolerance needs an amount that is better when lower; say absolute.")
    _check_range(guardrail, metric)


def _check_range(guardrail: Guardrail, metric: Metric) -> None:
    low, high = guardrail.low, guardrail.high
    business = metric.name.startswith(VALUE)
    if (low is not None or guardrail.higher_is_better) and not business:
        raise Unmeasurable(metric.name, "only a business value has a declared low end or direction.")
    if high is not None and not (business or metric.kind is Kind.MEAN):
        raise Unmeasurable(metric.name, "only amounts have a declared range.")
    if business and (low is None) is not (high is None):
        raise Unmeasurable(metric.name, "declare both ends of its range, or neither.")
    if high is not None and not (low or 0.0) < high < math.inf:
        raise Unmeasurable(metric.name, f"its range must be from low to a greater high, this is {low} to {high}.")


def check_outputs(guardrails: Sequence[Guardrail], outputs: Sequence[str]) -> None:
    """Raise Unmeasurable for a guardrail of an output that a model with several does not have."""
    for guardrail in guardrails:
        family, _, name = guardrail.metric.partition(":")
        if family in ("mae", "rmse") and name not in outputs:
            raise Unmeasurable(guardrail.metric, f"there is no output {name!r} here, only {', '.join(outputs)}.")


def check_bandits(guardrails: Sequence[Guardrail], steps: Sequence[Step]) -> None:
    """Raise Unmeasurable for a step whose bandit has no rate among the guardrails to go by, or no room."""
    rates = {one.metric for one in guardrails if told_as(one).kind is Kind.RATE}
    for step in steps:
        bandit = step.bandit
        if bandit is None:
            continue
        if bandit.reward not in rates:
            known = ", ".join(sorted(rates)) or "none"
            raise Unmeasurable(bandit.reward, f"a bandit goes by a rate among the guardrails; there is: {known}.")
        if not 0.0 < bandit.floor <= step.weight <= bandit.ceiling <= 1.0 - bandit.floor:
            line = "a bandit's step needs 0 < floor <= weight <= ceiling <= 1 - floor"
            said = f"{bandit.floor:g}, {step.weight:g} and {bandit.ceiling:g}"
            raise Unmeasurable(bandit.reward, f"{line}, these are {said}.")
