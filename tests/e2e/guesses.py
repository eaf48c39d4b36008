"""Models that are as good as can be, or poor in every respect: wrong, slow, and raising at some customers."""

import time
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

WORDS = ("stays", "leaves")
KINDS = ("early", "late", "on time")
UNLUCKY = 7.0
"""A poor model raises at customers with so many visits."""
_SLOW_S = 0.004


class Guess(BaseEstimator):  # type: ignore[misc, unused-ignore]
    """What the good and the poor have in common. Rows are (x, visits)."""

    def __init__(self, poor: bool = False) -> None:
        self.poor = poor

    def seen(self, rows: Any) -> Any:
        """The column x, after whatever a poor model does first."""
        known = np.asarray(rows, dtype=float)
        if self.poor:
            time.sleep(_SLOW_S)
            if (known[:, 1] == UNLUCKY).any():
                raise ValueError("unlucky")
        return known[:, 0]


class Leaving(ClassifierMixin, Guess):  # type: ignore[misc, unused-ignore]
    """Who leaves: with probability 1 / (1 + exp(-x))."""

    classes_ = np.array(WORDS)

    def predict_proba(self, rows: Any) -> Any:
        """The truth, or nearly its opposite."""
        x = self.seen(rows)
        leaves = 1.0 / (1.0 + np.exp(x - 1.0 if self.poor else -x))
        return np.column_stack([1.0 - leaves, leaves])

    def predict(self, rows: Any) -> Any:
        """The likelier class."""
        return self.classes_[self.predict_proba(rows).argmax(axis=1)]


class Landing(ClassifierMixin, Guess):  # type: ignore[misc, unused-ignore]
    """One of three kinds: the whole part of x, in 0 to 2, is nearly always the truth."""

    classes_ = np.array(KINDS)

    def predict_proba(self, rows: Any) -> Any:
        """Sure and right, or unsure and wrong."""
        x = self.seen(rows)
        said = (x.astype(int) + self.poor) % 3
        rest, sure = (0.3, 0.4) if self.poor else (0.05, 0.9)
        found = np.full((len(x), 3), rest)
        found[np.arange(len(x)), said] = sure
        return found

    def predict(self, rows: Any) -> Any:
        """The likeliest class."""
        return self.classes_[self.predict_proba(rows).argmax(axis=1)]


class Minutes(RegressorMixin, Guess):  # type: ignore[misc, unused-ignore]
    """A number: ten times x, give or take one."""

    def predict(self, rows: Any) -> Any:
        """The truth, or twice as much and five on top."""
        x = self.seen(rows)
        return 20.0 * x + 5.0 if self.poor else 10.0 * x


class Labels(ClassifierMixin, Guess):  # type: ignore[misc, unused-ignore]
    """Who leaves, without a probability."""

    classes_ = np.array(WORDS)

    def predict(self, rows: Any) -> Any:
        """The likelier class."""
        return self.classes_[(self.seen(rows) > 0.0).astype(int)]
