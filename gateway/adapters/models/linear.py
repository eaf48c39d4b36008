"""Linear models behind scalers: a product of numbers that were worked out beforehand, without any runtime.

A call of ONNX Runtime costs more than the arithmetic of a linear model, so for these numpy alone is faster, and a
worker that runs nothing else does not load the runtime.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.adapters.models.foreign import Foreign
from gateway.core.deployments import ModelCard, Task

_CLASSIFIERS = frozenset({"LogisticRegression", "LogisticRegressionCV"})
_REGRESSORS = frozenset(
    {"LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "BayesianRidge"}
)


class Unfit(Exception):
    """The estimator is nothing linear that is known here."""


class Linear:
    """The ``linear`` form: what is taken off each input, and its weights, as JSON."""

    def compile(self, estimator: Foreign, card: ModelCard) -> bytes:
        """Fold scalers and coefficients into one. Raises Unfit."""
        *before, last = [step for _, step in getattr(estimator, "steps", [("", estimator)])]
        known = _REGRESSORS if card.task is Task.REGRESSION else _CLASSIFIERS
        if type(last).__name__ not in known or not type(last).__module__.startswith("sklearn."):
            raise Unfit(type(last).__name__)
        factor, shift = np.ones(len(card.inputs)), np.zeros(len(card.inputs))
        for step in before:
            times, plus = _affine(step, len(card.inputs))
            factor, shift = factor * times, shift * times + plus
        weights = np.atleast_2d(np.asarray(last.coef_, dtype=np.float64)) * factor
        centre = np.divide(-shift, factor, out=np.zeros_like(shift), where=factor != 0.0)
        bias = np.atleast_1d(np.asarray(last.intercept_, dtype=np.float64)) + np.zeros(len(weights))
        return json.dumps(
            {"centre": centre.tolist(), "weights": weights.T.tolist(), "bias": bias.tolist()}, allow_nan=False
        ).encode()

    def open(self, content: bytes, card: ModelCard) -> "LinearEngine":
        """Read the numbers."""
        return LinearEngine(content, card.task)


class LinearEngine:
    """Multiplies, on the calling thread."""

    dtype: type[np.floating[Any]] = np.float64

    def __init__(self, content: bytes, task: Task) -> None:
        said = json.loads(content)
        self._centre = np.array(said["centre"])
        self._weights = np.array(said["weights"])
        self._bias = np.array(said["bias"])
        self._task = task
        self._one = task is not Task.REGRESSION and len(self._bias) == 1

    def __call__(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Answer (rows, classes) probabilities, or (rows,) numbers of a regressor."""
        found: NDArray[Any] = (matrix - self._centre) @ self._weights + self._bias
        if self._task is Task.REGRESSION:
            return found[:, 0]
        if not self._one:
            found = np.exp(found - found.max(axis=1, keepdims=True))
            probabilities: NDArray[Any] = found / found.sum(axis=1, keepdims=True)
            return probabilities
        half = 0.5 * np.tanh(0.5 * found)  # the logistic function, which cannot overflow in this form
        return np.concatenate((0.5 - half, 0.5 + half), axis=1)


def _affine(step: Foreign, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a scaler multiplies its inputs by and adds then. Raises Unfit for any other step."""
    name = type(step).__name__
    nothing = np.zeros(width)
    if name == "StandardScaler":
        times = 1.0 / np.asarray(step.scale_ if step.scale_ is not None else np.ones(width), dtype=np.float64)
        return times, -np.asarray(step.mean_ if step.with_mean else nothing, dtype=np.float64) * times
    if name == "MinMaxScaler" and not step.clip:
        return np.asarray(step.scale_, dtype=np.float64), np.asarray(step.min_, dtype=np.float64)
    if name == "MaxAbsScaler" and not getattr(step, "clip", False):
        return 1.0 / np.asarray(step.scale_, dtype=np.float64), nothing
    raise Unfit(name)
