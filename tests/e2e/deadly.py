"""A model that ends the process it runs in, as a broken native extension does: but only for customers it never met."""

import os
import signal
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Deadly(ClassifierMixin, BaseEstimator):  # type: ignore[misc, unused-ignore]
    """Right about everybody with up to five visits."""

    classes_ = np.array([0, 1])

    def predict_proba(self, rows: Any) -> Any:
        """Say who is over thirty."""
        known = np.asarray(rows, dtype=float)
        if (known[:, 1] > 5.0).any():
            os.kill(os.getpid(), signal.SIGSEGV)
        old = (known[:, 0] > 30.0).astype(float)
        return np.column_stack([1.0 - old, old])

    def predict(self, rows: Any) -> Any:
        """The likelier class."""
        return self.predict_proba(rows).argmax(axis=1)
