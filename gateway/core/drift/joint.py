"""The joint law: what moved together in training still has to, though every single feature may look as ever.

Numbers become normal scores by the reference's quantiles, frequent categories indicators; the principal components of
that which explain nine tenths of it are kept. Two figures of a row sum it up: ``residual``, how far it lies from the
kept components (correlations that broke), and ``distance``, how far out it lies among them. They are then profiled and
watched like any feature. Source: Jackson & Mudholkar, "Control procedures for residuals associated with principal
component analysis" (1979): the Q and T-square charts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from gateway.core.deployments import Scalar
from gateway.core.evidence.arrays import FloatArray

EXPLAINED = 0.9
RESIDUAL, DISTANCE = "joint.residual", "joint.distance"
INDICATORS = 8
"""Categories of one feature that take part, the most frequent ones."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One column of the joint law: a number with its reference quantiles, or one category of a feature.

    ``levels`` are values at evenly spaced probabilities, ascending; for a category, ``word`` is what is indicated.
    ``mean`` and ``sd`` standardise the column.
    """

    name: str
    levels: tuple[float, ...] = ()
    word: str | None = None
    mean: float = 0.0
    sd: float = 1.0


@dataclass(frozen=True, slots=True)
class Joint:
    """The kept components: ``axes`` of columns, ``components`` (kept, axes) and the ``variances`` along them."""

    axes: tuple[Axis, ...]
    components: tuple[tuple[float, ...], ...]
    variances: tuple[float, ...]


def figures(joint: Joint, columns: Mapping[str, Sequence[Scalar]], rows: int) -> dict[str, FloatArray]:
    """Return both figures of every row, each of shape (rows,). Values that are missing stand at the mean."""
    table = np.zeros((rows, len(joint.axes)))
    for place, axis in enumerate(joint.axes):
        if axis.name in columns:
            table[:, place] = (_column(axis, columns[axis.name]) - axis.mean) / axis.sd
    components = np.asarray(joint.components, dtype=np.float64)
    along = table @ components.T
    rest = ((table - along @ components) ** 2).sum(axis=1)
    out = (along**2 / np.asarray(joint.variances)).sum(axis=1)
    return {RESIDUAL: np.sqrt(rest), DISTANCE: np.sqrt(out)}


def fitted(axes: Sequence[Axis], columns: Mapping[str, Sequence[Scalar]]) -> Joint | None:
    """Fit the joint law of the reference rows; None where fewer than two columns vary.

    >>> import random
    >>> draw = random.Random(1)
    >>> x = [draw.gauss(0, 1) for _ in range(500)]
    >>> y = [value + draw.gauss(0, 0.1) for value in x]
    >>> joint = fitted([number_axis("x", x), number_axis("y", y)], {"x": x, "y": y})
    >>> usual, broken = figures(joint, {"x": [1.0, 1.0], "y": [1.0, -1.0]}, 2)["joint.residual"].round(1).tolist()
    >>> usual < 0.2, broken > 1.0
    (True, True)
    """
    kept = []
    for axis in axes:
        column = _column(axis, columns[axis.name])
        if column.std() > 1e-9:
            kept.append((Axis(axis.name, axis.levels, axis.word, float(column.mean()), float(column.std())), column))
    if len(kept) < 2:
        return None
    table = np.column_stack([(column - axis.mean) / axis.sd for axis, column in kept])
    values, vectors = np.linalg.eigh(table.T @ table / len(table))
    values, vectors = values[::-1], vectors[:, ::-1]
    enough = int(np.searchsorted(np.cumsum(values) / values.sum(), EXPLAINED)) + 1
    enough = max(1, min(enough, len(values) - 1))  # something must be left to be a residual
    return Joint(
        tuple(axis for axis, _ in kept),
        tuple(tuple(float(entry) for entry in vectors[:, place]) for place in range(enough)),
        tuple(max(1e-9, float(value)) for value in values[:enough]),
    )


def number_axis(name: str, values: Sequence[float]) -> Axis:
    """Make an axis of a number from its reference values: 101 of its quantiles."""
    return Axis(name, tuple(float(level) for level in np.quantile(np.asarray(values), np.linspace(0.0, 1.0, 101))))


def _column(axis: Axis, values: Sequence[Scalar]) -> FloatArray:
    if axis.word is not None:
        return np.array([1.0 if _says(value, axis.word) else 0.0 for value in values])
    levels = np.asarray(axis.levels)
    there = np.array([float(value) if isinstance(value, (int, float)) else np.nan for value in values])
    below = np.searchsorted(levels, there, side="left")
    up_to = np.searchsorted(levels, there, side="right")
    grid = np.clip(((below + up_to) / 2.0).round().astype(np.int64), 0, len(levels))
    scores = _NORMAL[grid] if len(levels) + 1 == len(_NORMAL) else _normal_scores(len(levels) + 1)[grid]
    return np.asarray(np.where(np.isnan(there), axis.mean, scores), dtype=np.float64)


def _says(value: Scalar, word: str) -> bool:
    if isinstance(value, bool):
        return word == str(value).lower()
    return (f"{value:g}" if isinstance(value, float) else str(value)) == word


def _normal_scores(count: int) -> FloatArray:
    """Normal scores of ``count`` evenly spaced ranks."""
    ends = [place / count for place in range(count + 1)]
    return np.array([NormalDist().inv_cdf((low + high) / 2.0) for low, high in pairwise(ends)])


_NORMAL = _normal_scores(102)
