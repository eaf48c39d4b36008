"""What a metric is: a way for a request to go wrong, how bad it was, and how two arms are compared on it.

Nothing here knows which metrics there are; :mod:`gateway.core.metrics` lists them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from gateway.core.deployments import Guardrail, Scalar, Task
from gateway.core.errors import Unmeasurable
from gateway.core.events import EvidenceRow, PairRow
from gateway.core.losses import Loss, name_of, positive, same

LABEL = "label"
"""The outcome metric under which the truth about a prediction is posted."""

Rule: TypeAlias = Callable[[bool, Scalar, Scalar], bool | None]
"""(failed, predicted label, true label) -> bad or not, or None where the row does not count."""

_FAR = 600.0
"""As far as a logarithmic scale is told."""


class Kind(StrEnum):
    """How a metric's badness is compared between the arms."""

    RATE = "rate"
    """Bad or not: two Bernoulli rates."""
    MEAN = "mean"
    """An amount within a range (or clipped at a quantile of stable's): two means."""
    SHIFT = "shift"
    """An amount without a range: stochastically higher or not, on a logarithmic scale."""
    SLOWER = "slower"
    """An amount whose whole upper tail counts: exceedance of stable's quantiles."""
    SPREAD = "spread"
    """A distribution that may move in either direction: exceedance of stable's quantiles, both ways."""
    BLOCKS = "blocks"
    """Bad or not, among requests that the arm itself picked: matched blocks."""
    RANKING = "ranking"
    """Positives against negatives of the same arm, in matched blocks."""
    CALIBRATION = "calibration"
    """Probabilities against frequencies, bin by bin."""
    AGREEMENT = "agreement"
    """A shadow's answer against stable's to the same request."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One way for a request to go wrong.

    ``of`` and ``says`` make its sentence: "5.0 % of the candidate's *requests* *failed*", "the candidate's *Brier
    score* is 0.12". ``default`` holds the tolerance and the margin that are used where a deployment names the metric
    and nothing else. ``scored`` metrics need probabilities, ``classed`` ones a positive class that is 1 or true.
    """

    name: str
    labelled: bool
    tasks: frozenset[Task]
    of: str
    says: str
    default: Guardrail
    rule: Rule | None = None
    kind: Kind = Kind.RATE
    loss: Loss | None = None
    low: float = 0.0
    high: float | None = None
    outcome: str = LABEL
    scored: bool = False
    classed: bool = False
    squared: bool = False
    """The amount is a square, and told as its root."""
    start: float = 0.0
    sign: float = 1.0
    """The amount is ``start + sign * value`` of what was posted."""
    yes: str | None = None
    """How the positive class is spelled, where that is neither 1 nor true."""

    def positive(self, label: Scalar) -> bool:
        """Whether a label of a binary deployment is its positive class."""
        return positive(label) if self.yes is None else name_of(label) == self.yes

    def value(self, row: EvidenceRow) -> bool | None:
        """Whether the drawn arm did badly at this request; None while (or if) the row does not count.

        A labelled metric's row counts once its outcome is there.
        """
        truth = row.outcomes.get(self.outcome)
        if self.labelled and truth is None:
            return None
        return self.judge(row.failed, row.label, truth)

    def judge(self, failed: bool, predicted: Scalar, truth: Scalar) -> bool | None:
        """Apply the rule."""
        if self.rule is None:
            raise Unmeasurable(self.name, f"it is no question of bad or not, it is compared as a {self.kind.value}.")
        return self.rule(failed, predicted, truth)

    def amount(self, row: EvidenceRow) -> float | None:
        """How bad the drawn arm's answer was, infinite when it failed; None while (or if) the row does not count."""
        truth = row.outcomes.get(self.outcome)
        if self.labelled and truth is None:
            return None
        if self.kind is Kind.SLOWER and (not row.failed or row.latency_s is None):
            return row.latency_s
        return math.inf if row.failed else self.lost(row.label, row.score, row.scores, truth)

    def lost(self, label: Scalar, score: float | None, scores: dict[str, float] | None, truth: Scalar) -> float | None:
        """Apply the loss."""
        if self.loss is None:
            raise Unmeasurable(self.name, f"it is no amount, it is compared as a {self.kind.value}.")
        return self.loss(label, score, scores, truth)

    def told(self, amount: float) -> float:
        """Return an amount as people know it: a root, a posted value."""
        if self.squared:
            return math.sqrt(max(0.0, amount))
        natural = self.sign * (amount - self.start)
        return math.sinh(max(-_FAR, min(_FAR, natural))) if self.kind is Kind.SHIFT else natural

    def pair(self, row: PairRow) -> tuple[bool, bool] | None:
        """Whether (stable, shadow) did badly at the same request; None without a label, or if it does not count.

        A shadow that started and failed is wrong.
        """
        if self.kind is Kind.AGREEMENT:
            return False, row.shadow_failed or not same(row.shadow_label, row.stable_label)
        truth = row.outcomes.get(self.outcome)
        if truth is None:
            return None
        stable = self.judge(False, row.stable_label, truth)
        shadow = self.judge(row.shadow_failed, row.shadow_label, truth)
        return None if stable is None or shadow is None else (stable, shadow)

    def picked(self, row: PairRow) -> tuple[bool | None, bool | None] | None:
        """Whether (stable, shadow) did badly at a request that each picked itself, None for one that did not.

        None altogether without a label.
        """
        truth = row.outcomes.get(self.outcome)
        if truth is None:
            return None
        return self.judge(False, row.stable_label, truth), self.judge(row.shadow_failed, row.shadow_label, truth)

    def amounts(self, row: PairRow) -> tuple[float, float] | None:
        """How bad (stable's, the shadow's) answer to the same request was; None without the truth."""
        truth = row.outcomes.get(self.outcome)
        if truth is None:
            return None
        scores = (row.stable_scores, row.shadow_scores)
        stable = self.lost(row.stable_label, row.stable_score, scores[0], truth)
        shadow = math.inf if row.shadow_failed else self.lost(row.shadow_label, row.shadow_score, scores[1], truth)
        return None if stable is None or shadow is None else (stable, shadow)
