"""A sequential alarm per feature: bets on the reference's scores, released anew at every tick.

While the live mean of a score ``s`` is at most ``m`` (the reference's mean plus its allowance), the factor
``1 + lambda (s - m)`` has expectation at most 1 whatever the law of ``s`` in [0, 1], for any fixed lambda in
``[0, 1 / m)``; so has ``1 - lambda (s - m')`` for "at least ``m'``". Factors multiply over rows, so a tick's growth is
a product of counts and a table. At every tick each feature stakes ``1 / K`` of fresh wealth over its bets, K ticks to
the ``horizon``; the wealth of all stakes together, less what was staked, is a supermartingale, hence

    P(wealth ever reaches F / alpha within one horizon, for any of F features) <= alpha

however often anybody looks, and the stake of a tick is there to find what begins at that tick.

Where the rows of a period hang together, a period is one tick and one observation: the mean of its scores, in standard
deviations of such means in the reference, at most ``_CAP`` of them. The factor is then ``exp(lambda z - psi(lambda))``
with Bennett's ``psi``, whose expectation is at most 1 for every law of that mean and variance.

Sources: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (2024); Shin, Ramdas &
Rinaldo, "E-detectors" (2022); Bennett (1962); Ville (1939).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.core.drift.profiles import FeatureProfile
from gateway.core.drift.scores import TOLERANCE, Scores, scores_of
from gateway.core.evidence.arrays import FloatArray, log_sum_exp

TICK_S = 600.0
"""Data time of a tick where rows are independent draws, in seconds: a look every ten minutes sees all there is."""
YEAR_S = 365 * 86_400.0
REFERENCE_SHARE = 0.2
"""The part of alpha that covers the reference's own error; the rest is the bets'."""
_STRENGTHS = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 3.2])
"""Excess means bet on, in standard deviations of the score."""
_PERIOD_STRENGTHS = np.array([0.1, 0.2, 0.35, 0.5, 0.8, 1.2])
"""The same for periods: the lambdas of standardised means."""
_CAP = 3.0
"""No period counts as more than so many standard deviations: means of skewed days are not normal."""
_MOST = 0.95
"""The greatest part of the wealth that a bet may lose on one row."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The false alarms that are allowed: at most ``alpha`` chance of any within ``horizon_s`` of data time.

    ``tolerance`` is the shift, in standard deviations of a score, that nobody wants to hear of.
    """

    alpha: float = 0.05
    horizon_s: float = YEAR_S
    tolerance: float = TOLERANCE

    def ticks(self, tick_s: float) -> int:
        """How many ticks share a horizon's stake."""
        return max(1, math.ceil(self.horizon_s / tick_s))


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """One feature's bets, laid out once. Bets are (score, direction, strength), flattened; direction 0 is upward."""

    scores: Scores
    growth: FloatArray
    """Log factor of each bet by cell, shape (bets, cells)."""
    log_stakes: FloatArray
    """Log of what each bet gets at every tick, shape (bets,)."""
    log_threshold: float
    by_period: bool = False
    """Whether a tick is one observation, since its rows hang together."""

    @property
    def bets(self) -> int:
        """How many bets there are."""
        return len(self.log_stakes)

    def opened(self) -> FloatArray:
        """The log wealth before the first tick: nothing."""
        return np.full(self.bets, -np.inf)

    def bet_on(self, bet: int) -> tuple[str, int]:
        """What a bet is about: the score's name, and +1 or -1."""
        per_score = 2 * len(_STRENGTHS)
        return self.scores.names[bet // per_score], 1 if bet % per_score < len(_STRENGTHS) else -1


def detector(profile: FeatureProfile, features: int, budget: Budget, tick_s: float = TICK_S) -> Detector:
    """Lay out the bets on one of ``features`` features that share a budget.

    >>> from gateway.core.drift.profiles import number_profile
    >>> found = detector(number_profile("x", [float(value) for value in range(10_000)]), 5, Budget())
    >>> found.bets, round(found.log_threshold, 2)
    (192, 4.83)
    """
    alpha = budget.alpha / features
    scores = scores_of(profile, budget.tolerance, alpha * REFERENCE_SHARE)
    growth, weights = [], []
    for score, weight in enumerate(scores.weights):
        for value, mean in (
            (scores.table[score], scores.means[score]),
            (1 - scores.table[score], 1 - scores.means[score]),
        ):
            factors = _factors(value, float(mean + scores.allowances[score]), float(scores.sds[score]))
            growth.append(factors)
            weights.append(np.full(len(_STRENGTHS), weight / (2 * len(_STRENGTHS))))
    stakes = np.concatenate(weights) / budget.ticks(tick_s)
    with np.errstate(divide="ignore"):
        log_stakes = np.log(stakes)
    threshold = -math.log(alpha * (1.0 - REFERENCE_SHARE))
    return Detector(scores, np.concatenate(growth), log_stakes, threshold, bool(profile.clustering))


def _factors(values: FloatArray, most: float, sd: float) -> FloatArray:
    """Log factors against "the mean of ``values`` is at most ``most``", shape (strengths, cells)."""
    if most >= 1.0:  # nothing can refute it
        return np.zeros((len(_STRENGTHS), len(values)))
    spread = max(sd, math.sqrt(most * (1.0 - most)) if sd == 0.0 else sd)
    stakes = np.minimum(_STRENGTHS / spread, _MOST / most)
    return np.asarray(np.log1p(stakes[:, None] * (values[None, :] - most)), dtype=np.float64)


def stepped(found: Detector, log_wealth: FloatArray, counts: npt.NDArray[np.int64]) -> FloatArray:
    """Return the log wealth after one more tick with these counts by cell: first the fresh stake, then the bets.

    ``log_wealth`` has shape (..., bets), ``counts`` shape (..., cells). A tick without rows only adds its stake.

    >>> from gateway.core.drift.profiles import number_profile
    >>> x = detector(number_profile("x", [float(value) for value in range(10_000)]), 1, Budget())
    >>> calm = shifted = x.opened()
    >>> for _ in range(20):
    ...     calm = stepped(x, calm, np.array([100] * 10 + [0] * 4))
    ...     shifted = stepped(x, shifted, np.array([60, 70, 80, 90, 100, 100, 110, 120, 130, 140] + [0] * 4))
    >>> alarmed(x, calm), alarmed(x, shifted)
    (False, True)
    """
    growth = _period_growth(found.scores, counts) if found.by_period else counts @ found.growth.T
    return np.asarray(np.logaddexp(log_wealth, found.log_stakes) + growth, dtype=np.float64)


def _period_growth(scores: Scores, counts: npt.NDArray[np.int64]) -> FloatArray:
    """Log factors of one period as one observation, shape (..., bets); 0 for a period without rows."""
    rows = np.maximum(1, counts.sum(axis=-1, keepdims=True))
    off = counts @ scores.table.T / rows - scores.means
    varies = scores.sds > 0.0
    spread = np.where(varies, scores.sds, np.sqrt(scores.allowances * (1.0 - np.minimum(0.99, scores.allowances))))
    together = np.where(varies, scores.clustering, 1.0)
    sd = spread * np.sqrt(together + (1.0 - together) / rows)
    both = np.stack([off, -off], axis=-1) / sd[..., None]
    z = np.minimum(both, _CAP) - (scores.allowances / sd)[..., None]
    psi = np.expm1(_CAP * _PERIOD_STRENGTHS) / _CAP**2 - _PERIOD_STRENGTHS / _CAP
    growth = z[..., None] * _PERIOD_STRENGTHS - psi
    growth = np.where((counts.sum(axis=-1) > 0)[..., None, None, None], growth, 0.0)
    return np.asarray(growth.reshape(*growth.shape[:-3], -1), dtype=np.float64)


def total(log_wealth: FloatArray) -> FloatArray:
    """Return the log of all wealth, over the last axis; minus infinity before the first tick."""
    started = np.isfinite(log_wealth).any(axis=-1)
    safe = np.where(np.isfinite(log_wealth), log_wealth, -1e9)
    return np.asarray(np.where(started, log_sum_exp(safe), -np.inf), dtype=np.float64)


def alarmed(found: Detector, log_wealth: FloatArray) -> bool:
    """Whether one feature's wealth has reached what no undrifted feature reaches."""
    return bool(total(log_wealth) >= found.log_threshold)
