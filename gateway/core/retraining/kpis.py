"""Whether stable does worse than its owner wants, as far as the requests of one window can tell.

A figure below a floor on a handful of requests is chance; so the floor counts as broken where the whole interval of
the figure lies beyond it. A window is worked out once, when it is complete and its labels are due, so a year holds a
known number of them: each gets its share of ``alpha``. For losses between 0 and 1 the bound is Chernoff's,
``n KL(mean, limit) > log(1 / level)`` (Hoeffding, 1963), which needs nothing but independent requests; for a mean
absolute error, which has no bounds, it is the normal one, good for hundreds of requests.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, pvariance
from typing import Final

from gateway.core.deployments import Scalar, Task
from gateway.core.drift.estimate import estimated
from gateway.core.drift.rows import LoggedRow
from gateway.core.evidence.bounds import divergence
from gateway.core.retraining.terms import Kpi, Source

YEAR_S: Final = 365 * 86_400.0
HIGHER_IS_BETTER: Final = frozenset({"accuracy"})
MEASURES: Final = ("accuracy", "brier", "error_rate", "mae")
"""What can be declared a floor for. Estimated can be the first two."""
ESTIMATES: Final = ("accuracy", "brier")


@dataclass(frozen=True, slots=True)
class Loss:
    """The mean of a loss over ``n`` requests; ``variance`` None: it lies between 0 and 1."""

    mean: float
    n: int
    variance: float | None = None


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A floor that was broken in the window that ended at ``until`` (data time, seconds).

    ``value`` is the metric's figure over ``n`` requests, in its unit.
    """

    kpi: Kpi
    value: float
    n: int
    until: float

    @property
    def sentence(self) -> str:
        """What a person would say.

        >>> Shortfall(Kpi("accuracy", 0.7), 0.61, 900, 0.0).sentence
        'the accuracy of 900 requests is 0.61, worse than 0.7'
        """
        metric = self.kpi.metric.replace("_", " ")
        said = f"the {metric}" if self.kpi.source is Source.MEASURED else f"the {metric} to be expected"
        return f"{said} of {self.n:,} requests is {self.value:.4g}, worse than {self.kpi.worse_than:.4g}"


def window_of(kpi: Kpi, watermark: float, maturity_s: float) -> tuple[float, float]:
    """The latest window that is complete and, where labels are needed, mature: from and to, in data time.

    >>> window_of(Kpi("accuracy", 0.7, window_s=100.0), 1_250.0, maturity_s=60.0)
    (1000.0, 1100.0)
    """
    wait = maturity_s if kpi.source is Source.MEASURED else 0.0
    until = math.floor((watermark - wait) / kpi.window_s) * kpi.window_s
    return until - kpi.window_s, until


def shortfall(kpi: Kpi, rows: Sequence[LoggedRow], task: Task, until: float) -> Shortfall | None:
    """Say whether the rows of one window, all of stable's, show that the floor is broken; None: they do not."""
    loss = _expected(kpi, rows, task) if kpi.source is Source.ESTIMATED else _measured(kpi, rows)
    if loss is None or loss.n < kpi.at_least:
        return None
    better = kpi.metric in HIGHER_IS_BETTER
    limit = 1.0 - kpi.worse_than if better else kpi.worse_than
    if not exceeds(loss, limit, kpi.alpha * min(1.0, kpi.window_s / YEAR_S)):
        return None
    return Shortfall(kpi, 1.0 - loss.mean if better else loss.mean, loss.n, until)


def exceeds(loss: Loss, limit: float, level: float) -> bool:
    """Whether the mean loss is above ``limit``; wrongly said with probability ``level`` at most.

    >>> exceeds(Loss(0.35, 2_000), 0.3, 0.001), exceeds(Loss(0.35, 50), 0.3, 0.001)
    (True, False)
    """
    if loss.mean <= limit:
        return False
    if loss.variance is None:
        return loss.n * divergence(loss.mean, limit) > math.log(1.0 / level)
    reach = NormalDist().inv_cdf(1.0 - level) * math.sqrt(loss.variance / loss.n)
    return loss.mean - reach > limit


def _measured(kpi: Kpi, rows: Sequence[LoggedRow]) -> Loss | None:
    """A request that stable failed at counts as an error, and with a label as a wrong answer."""
    if kpi.metric == "error_rate":
        losses = [float(row.failed) for row in rows]
    else:
        known = [row for row in rows if row.truth is not None]
        losses = [loss for row in known if (loss := _loss(kpi.metric, row)) is not None]
    if not losses:
        return None
    return Loss(fmean(losses), len(losses), pvariance(losses) if kpi.metric == "mae" else None)


def _loss(metric: str, row: LoggedRow) -> float | None:
    """How wrong one labelled answer was; None where there is nothing to compare."""
    if metric == "accuracy":
        return float(row.failed or row.label != row.truth)
    if row.failed:
        return None
    said = row.score if metric == "brier" else _number(row.label)
    true = _number(row.truth)
    if said is None or true is None:
        return None
    return (said - true) ** 2 if metric == "brier" else abs(said - true)


def _number(value: Scalar) -> float | None:
    return float(value) if isinstance(value, (bool, int, float)) else None


def _expected(kpi: Kpi, rows: Sequence[LoggedRow], task: Task) -> Loss | None:
    """What the scores expect; nothing where labels have shown that they cannot be trusted."""
    found = estimated(rows, task)
    mean = found.expected.accuracy if kpi.metric == "accuracy" else found.expected.brier
    if mean is None or found.trusted is False or (kpi.metric == "brier" and task is not Task.BINARY):
        return None
    return Loss(1.0 - mean if kpi.metric == "accuracy" else mean, found.expected.rows)
