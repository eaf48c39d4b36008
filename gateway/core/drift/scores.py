"""What is bet on: a few figures of each row, between 0 and 1, whose mean is known from the reference.

A score is a number per cell, so its sum over a window follows from counts. A number has its *location* (the middle rank
of its bin: Wilcoxon's score, 95 % as sharp as a mean on normal values), its *spread* (how far from the middle: Mood's
score) and each bin's share; a category each word's share; both have the rates at which values are absent, stale,
unavailable or invalid. The null of every bet is that the live mean of a score lies within its ``allowance`` of the
reference's: what the reference's own finite size leaves open, and the tolerance that its owner declared.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from gateway.core.drift.profiles import LOST, FeatureProfile, Kind
from gateway.core.evidence.arrays import FloatArray

LOCATION, SPREAD = "location", "spread"
TOLERANCE = 0.02
"""Default for a mean that moved without mattering, in standard deviations of the score."""
LEAST_SD = 0.1
"""A score that hardly varies is allowed as much as one of this standard deviation: a cell of 1 % of the rows."""

_WEIGHTS = {Kind.NUMBER: (0.4, 0.15, 0.3, 0.15), Kind.CATEGORY: (0.0, 0.0, 0.8, 0.2)}
"""Of location, spread, all cells with values, all cells without."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The scores of one feature: ``table`` (scores, cells) in [0, 1], and each one's mean, sd, weight and allowance.

    ``clustering`` is how much the rows of a period hang together, 0 to 1, shape (scores,).
    """

    names: tuple[str, ...]
    table: FloatArray
    means: FloatArray
    sds: FloatArray
    weights: FloatArray
    clustering: FloatArray
    allowances: FloatArray


def table_of(profile: FeatureProfile) -> tuple[tuple[str, ...], FloatArray]:
    """Name a feature's scores and return their values by cell, shape (scores, cells).

    >>> from gateway.core.drift.profiles import number_profile
    >>> names, table = table_of(number_profile("x", [1.0, 2.0, 3.0, 4.0], bins=2))
    >>> names[:3], table[0].tolist()
    (('location', 'spread', '(-inf, 2.5]'), [0.25, 0.75, 0.5, 0.5, 0.5, 0.5])
    """
    cells = len(profile.counts)
    indicators = np.eye(cells)
    if profile.kind is Kind.CATEGORY or cells - len(LOST) < 2:
        return profile.cells, indicators
    shares = np.asarray(profile.counts[: -len(LOST)], dtype=np.float64)
    shares /= shares.sum()
    ranks = np.cumsum(shares) - shares / 2.0
    spread = (2.0 * ranks - 1.0) ** 2
    location = np.concatenate([ranks, np.full(len(LOST), 0.5)])  # a lost value moves neither
    wide = np.concatenate([spread, np.full(len(LOST), float(shares @ spread))])
    return (LOCATION, SPREAD, *profile.cells), np.vstack([location, wide, indicators])


def scores_of(profile: FeatureProfile, tolerance: float = TOLERANCE, unlucky: float = 1e-4) -> Scores:
    """Lay out what is bet on for one feature.

    ``unlucky`` is the chance, per feature, that the reference's own error exceeds what the allowances make of it; it
    is shared by the scores and both directions.

    >>> from gateway.core.drift.profiles import number_profile
    >>> found = scores_of(number_profile("x", [float(value) for value in range(10_000)]))
    >>> round(float(found.means[0]), 2), round(float(found.sds[0]), 3), round(float(found.allowances[0]), 4)
    (0.5, 0.287, 0.0197)
    """
    names, table = table_of(profile)
    shares = np.asarray(profile.counts, dtype=np.float64) / max(1, profile.rows)
    means = table @ shares
    variances = np.maximum(0.0, table**2 @ shares - means**2)
    sds = np.sqrt(variances)
    clustering = np.array(profile.clustering) if profile.clustering else np.zeros(len(names))
    seen = max(1, profile.rows) / effect_of(clustering, profile.period_rows)
    z = -NormalDist().inv_cdf(unlucky / (2.0 * len(names)))
    error = z * np.sqrt(variances / seen) + z * z / (2.0 * seen)
    allowances = error + tolerance * np.maximum(sds, LEAST_SD)
    return Scores(names, table, means, sds, _weights(profile, len(names)), clustering, allowances)


def _weights(profile: FeatureProfile, scores: int) -> FloatArray:
    """Spread the stake: shares of location and spread, the rest evenly over the cells."""
    location, spread, there, lost = _WEIGHTS[profile.kind]
    values = len(profile.counts) - len(LOST)
    cells = [there / values] * values + [lost / len(LOST)] * len(LOST)
    weights = np.array([location, spread, *cells] if scores > len(profile.counts) else cells)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def effect_of(clustering: FloatArray, rows: float) -> FloatArray:
    """Return how many times more the sum of ``rows`` rows of a period varies than independent rows would.

    The design effect ``1 + (n - 1) rho`` of cluster samples. Source: Kish, "Survey Sampling" (1965).

    >>> effect_of(np.array([0.0, 0.1, 1.0]), 11).tolist()
    [1.0, 2.0, 11.0]
    """
    return np.asarray(1.0 + np.maximum(0.0, rows - 1.0) * clustering, dtype=np.float64)


def clustering_of(profile: FeatureProfile, periods: Sequence[npt.NDArray[np.int64]]) -> tuple[float, ...]:
    """How much the rows of one period hang together, by score, from the counts of whole periods.

    The design effect ``sum_d S_d^2 / (sd^2 sum_d n_d)``, with ``S_d`` a period's sum of deviations, is raised by
    three of its own standard errors, since few periods say little about it, and solved for ``rho``.

    >>> from gateway.core.drift.profiles import number_profile
    >>> seen = number_profile("x", [1.0, 2.0], bins=2)
    >>> days = [np.array([9, 0, 0, 0, 0, 0]), np.array([0, 9, 0, 0, 0, 0])] * 20     # all the same within a day
    >>> clustering_of(seen, days)[0]
    1.0
    """
    _, table = table_of(profile)
    counts = np.asarray(periods, dtype=np.float64)
    totals, rows = counts.sum(axis=0), counts.sum(axis=1)
    means = table @ (totals / totals.sum())
    expected = np.maximum(0.0, table**2 @ (totals / totals.sum()) - means**2) * totals.sum()
    sums = counts @ table.T - rows[:, None] * means
    varies = expected > 0.0
    effect = np.where(varies, (sums**2).sum(axis=0) / np.where(varies, expected, 1.0), 1.0)
    effect *= 1.0 + 3.0 * math.sqrt(2.0 / len(periods))
    usual = max(1.0 + 1e-9, float((rows**2).sum() / rows.sum()))
    return tuple(float(min(1.0, max(0.0, (one - 1.0) / (usual - 1.0)))) for one in effect)
