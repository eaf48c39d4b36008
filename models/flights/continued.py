"""A model that goes on from the one before it: what a retraining makes of the log.

A log of some weeks holds fewer flights than a model was first trained on. So nothing that it learnt is thrown away:
small trees begin at its log-odds, and learn from the later flights where it errs.
"""

from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier

from models.flights.estimators import Classifier, FlightEncoder, Matrix, Rows

_SURE = 1e-4


class Continued(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A fitted classifier, and trees that correct it.

    Without anything to learn the answer is ``before``'s. ``encoder`` is the one it was fitted with: words keep the
    log-odds that they had on many flights.
    """

    def __init__(self, before: Classifier, encoder: FlightEncoder, seed: int = 0) -> None:
        self.before = before
        self.encoder = encoder
        self.seed = seed

    @property
    def classes_(self) -> npt.NDArray[np.int64]:
        """The labels, as the classifier before has them."""
        return self.before.classes_

    def fit(self, rows: Rows, late: npt.ArrayLike) -> Self:
        """Learn from later flights whose truth (0 or 1) is known."""
        self.trees_ = GradientBoostingClassifier(
            init=_AsBefore(),
            n_estimators=150,
            learning_rate=0.03,
            max_depth=3,
            min_samples_leaf=30,
            subsample=0.3,
            max_features=8,
            random_state=self.seed,
        ).fit(self._numbers(rows), np.asarray(late, dtype=int))
        return self

    def predict(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Label flights: 1 is late."""
        labels: npt.NDArray[np.int64] = self.trees_.predict(self._numbers(rows))
        return labels

    def predict_proba(self, rows: Rows) -> Matrix:
        """Score flights: a column per label."""
        scores: Matrix = self.trees_.predict_proba(self._numbers(rows))
        return scores

    def _numbers(self, rows: Rows) -> Matrix:
        """The encoder's numbers, and in the last column the log-odds that were said before."""
        share = np.clip(self.before.predict_proba(rows)[:, 1], _SURE, 1 - _SURE)
        return np.column_stack([self.encoder.transform(rows), np.log(share / (1 - share))])


class _AsBefore(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Says what the last column says, in log-odds: where the trees begin."""

    classes_ = np.array([0, 1])

    def fit(self, numbers: Matrix, late: npt.ArrayLike, sample_weight: object = None) -> Self:  # noqa: ARG002  as scikit-learn calls it
        """There is nothing to learn."""
        self.n_features_in_ = numbers.shape[1]
        return self

    def predict_proba(self, numbers: Matrix) -> Matrix:
        """Turn log-odds into shares."""
        late = 1 / (1 + np.exp(-numbers[:, -1]))
        return np.column_stack([1 - late, late])


def encoder_of(model: object) -> FlightEncoder:
    """The encoder that a version was fitted with. Raises TypeError for a model that has none."""
    if isinstance(model, Continued):
        return model.encoder
    first = model.steps[0][1] if hasattr(model, "steps") else None
    if not isinstance(first, FlightEncoder):
        raise TypeError(f"{type(model).__name__} has no flight encoder to go on from.")
    return first
