"""How far off one answer is, as a number: losses of answers whose truth is known, and what their scores look like.

Higher is worse. Infinity says that the answer is not even a number, which is as bad as failing; None that there is
nothing to score: a model that gives no probabilities, a truth of another kind.
"""

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from gateway.core.deployments import Scalar

Scores: TypeAlias = Mapping[str, float] | None
Loss: TypeAlias = Callable[[Scalar, float | None, Scores, Scalar], float | None]
"""(predicted label, score of the positive class, scores by class, truth) -> loss."""

LEAST_PROBABILITY = 0.01
"""Log-loss takes no probability to be smaller: one confident mistake is not a hundred."""
WORST_LOG_LOSS = -math.log(LEAST_PROBABILITY)
_EDGE = 1e-5


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


def name_of(label: Scalar) -> str:
    """Return how a label is spelled as a class: truth values as 1 and 0, as models answer them.

    >>> name_of(True), name_of(1), name_of(2.0), name_of("late")
    ('1', '1', '2', 'late')
    """
    if isinstance(label, bool) or (isinstance(label, float) and label.is_integer()):
        return str(int(label))
    return str(label)


def number(value: Scalar) -> float | None:
    """Return a number as a number, and None for anything else.

    >>> number(3), number(True), number("3"), number(float("nan"))
    (3.0, 1.0, None, None)
    """
    return float(value) if isinstance(value, bool | int | float) and math.isfinite(value) else None


def chance_of_truth(score: float | None, scores: Scores, truth: Scalar) -> float | None:
    """Return the probability that the answer gave to what turned out true; None when it gave none.

    >>> chance_of_truth(0.8, None, 0), chance_of_truth(None, {"late": 0.3}, "late"), chance_of_truth(None, None, 1)
    (0.19999999999999996, 0.3, None)
    """
    if scores is not None:
        return scores.get(name_of(truth), 0.0)
    return None if score is None else score if positive(truth) else 1.0 - score


def log_loss(label: Scalar, score: float | None, scores: Scores, truth: Scalar) -> float | None:  # noqa: ARG001 - a Loss
    """Return ``-log p(truth)``, at most ``WORST_LOG_LOSS``.

    >>> round(log_loss(1, 0.9, None, 1), 3), round(log_loss(1, 0.9999, None, 0), 3)
    (0.105, 4.605)
    """
    chance = chance_of_truth(score, scores, truth)
    return None if chance is None else -math.log(max(chance, LEAST_PROBABILITY))


def brier(label: Scalar, score: float | None, scores: Scores, truth: Scalar) -> float | None:  # noqa: ARG001 - a Loss
    """Return the squared distance of the probabilities from the truth, halved over classes: between 0 and 1.

    >>> round(brier(1, 0.9, None, 0), 2), round(brier("a", None, {"a": 0.5, "b": 0.5}, "b"), 2)
    (0.81, 0.25)
    """
    if scores is None:
        return None if score is None else (score - positive(truth)) ** 2
    hit = scores.get(name_of(truth), 0.0)
    return 0.5 * (sum(p * p for p in scores.values()) - hit * hit + (1.0 - hit) ** 2)


def absolute_error(label: Scalar, score: float | None, scores: Scores, truth: Scalar) -> float | None:  # noqa: ARG001
    """Return how far a number is off, in its unit.

    >>> absolute_error(3.5, None, None, 5), absolute_error(None, None, None, 5), absolute_error(1.0, None, None, "x")
    (1.5, inf, None)
    """
    was, said = number(truth), number(label)
    return None if was is None else math.inf if said is None else abs(said - was)


def squared_error(label: Scalar, score: float | None, scores: Scores, truth: Scalar) -> float | None:
    """Return the square of how far a number is off.

    >>> squared_error(3.5, None, None, 5)
    2.25
    """
    off = absolute_error(label, score, scores, truth)
    return None if off is None else off * off


def confidence(label: Scalar, score: float | None, scores: Scores, truth: Scalar) -> tuple[float, bool] | None:
    """Return what probability an answer gave and whether that came true; None when it gave none.

    Binary: that of the positive class. Several classes: that of the class it named.

    >>> confidence(0, 0.2, None, 1), confidence("a", None, {"a": 0.6, "b": 0.4}, "a")
    ((0.2, True), (0.6, True))
    """
    if scores is not None:
        return max(scores.values()), same(label, truth)
    return None if score is None else (score, positive(truth))


def outlook(label: Scalar, score: float | None, scores: Scores) -> float | None:
    """Return an answer's place in the distribution of scores: log odds to a tenth, or in regression the number itself.

    >>> outlook(1, 0.5, None), round(outlook("a", None, {"a": 0.6, "b": 0.4}), 3), outlook(12.5, None, None)
    (0.0, 0.4, 12.5)
    """
    chance = score if scores is None else max(scores.values())
    if chance is None:
        return number(label)
    inside = min(max(chance, _EDGE), 1.0 - _EDGE)
    return round(math.log(inside / (1.0 - inside)), 1)
