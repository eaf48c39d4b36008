"""Two Bernoulli rates under unequal, changing allocation: is the candidate worse than tolerated, or safe.

A *line* ``badness_c = relative * badness_s + absolute`` parts the square of possible rates. Demotion bets that the
candidate lies above the line of tolerance, promotion that it lies below the line of the margin. Each bet is a simple
alternative (s, c) against its reverse information projection (s0, c0) onto the line: the log-optimal e-variable, whose
expectation is exactly 1 on the whole line and at most 1 on the side that is to be refuted, at every moment.

Bets are arrays of log factors, shape (..., bets, 4), for the four cells of :data:`CELLS`. Rates may be arrays.

Sources: Larsson, Ramdas & Ruf, "The numeraire e-variable and reverse information projection" (2024); Turner, Ly &
Grunwald, "Generic e-variables for exact sequential k-sample tests" (2021); Lindon & Malek, "Anytime-valid inference for
multinomial count data" (2022).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gateway.core.evidence.arrays import FloatArray, Numbers, normalised

CELLS = ("candidate bad", "candidate good", "stable bad", "stable good")

ODDS_RATIOS = np.array([1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0])
DEMOTION_WEIGHTS = normalised(0.5, 1, 1, 1, 1, 1, 1, 0.5)

MARGIN_SHARES = np.array([-0.5, 0.0, 0.5])
BETTER_ODDS = np.array([2.0, 1.5, 1.25])
PROMOTION_WEIGHTS = normalised(0.2, 0.5, 0.3)

_PRIOR_BAD, _PRIOR_ALL = 1.0, 10.0
_DIGITS = {power: float(10.0 ** (np.float64(power) - 2.0)) for power in range(-30, 1)}
"""The worth of the third digit of a rate, by the power of ten of its first."""
_EDGE = 1e-12
_NEWTON_STEPS = 80


@dataclass(frozen=True, slots=True)
class Line:
    """The edge of what is tolerated: ``badness_c = relative * badness_s + absolute``. ``relative`` is above 0."""

    relative: float = 1.0
    absolute: float = 0.0

    def at(self, stable: Numbers) -> FloatArray:
        """Return the candidate's badness on the line where stable's is ``stable``.

        >>> float(Line(1.5, 0.005).at(0.01))
        0.02
        """
        return np.asarray(self.relative * np.asarray(stable) + self.absolute, dtype=np.float64)


def pooled_rate(bad: Numbers, n: Numbers) -> FloatArray:
    """Return ``(1 + bad) / (10 + n)``: the rate of both arms together, never 0 or 1, known before the next look.

    >>> float(pooled_rate(9, 990))
    0.01
    """
    return np.asarray((_PRIOR_BAD + np.asarray(bad)) / (_PRIOR_ALL + np.asarray(n)), dtype=np.float64)


def settled_rate(bad: Numbers, n: Numbers) -> FloatArray:
    """Return the pooled rate to three digits: bets need not know it better, and many looks share theirs.

    >>> settled_rate(np.array([9.0, 1_234.0]), np.array([990.0, 100_000.0])).round(6).tolist()
    [0.01, 0.0123]
    """
    rate = pooled_rate(bad, n)
    digit = 10.0 ** (np.floor(np.log10(rate)) - 2.0)
    return np.asarray(np.round(rate / digit) * digit, dtype=np.float64)


def settled(bad: int, n: int) -> float:
    """Return :func:`settled_rate` of single numbers, the same to the last bit: plain floats are ten times as quick.

    >>> settled(9, 990), settled(1_234, 100_000) == float(settled_rate(1_234, 100_000))
    (0.01, True)
    """
    rate = (_PRIOR_BAD + bad) / (_PRIOR_ALL + n)
    digit = _DIGITS[math.floor(math.log10(rate))]
    return round(rate / digit) * digit


@lru_cache(maxsize=4_096)
def kept_demotion_bets(rate: float, propensity: float, tolerance: Line) -> FloatArray:
    """Return :func:`demotion_bets` of single numbers, worked out once; nobody may write into it."""
    return _kept(demotion_bets(rate, propensity, tolerance))


@lru_cache(maxsize=4_096)
def kept_promotion_bets(rate: float, propensity: float, margin: Line) -> FloatArray:
    """Return :func:`promotion_bets` of single numbers, worked out once; nobody may write into it."""
    return _kept(promotion_bets(rate, propensity, margin))


def _kept(bets: FloatArray) -> FloatArray:
    bets.flags.writeable = False
    return bets


def demotion_bets(rate: Numbers, propensity: Numbers, tolerance: Line) -> FloatArray:
    """Return log factors, shape (..., 8, 4), against ``badness_c <= relative * badness_s + absolute``.

    For each odds ratio above the line, (s, c) is solved from ``pi c + (1 - pi) s = rate``, which is a quadratic in s.

    >>> bets = demotion_bets(0.01, 0.05, Line())
    >>> factors = np.exp(bets[3])                                # the odds ratio 2
    >>> bool(factors[0] > 1 > factors[2])                        # a bad candidate outcome pays, a bad stable one costs
    True
    >>> theta = 0.3                                              # both arms alike, at a rate nobody thought of:
    >>> fair = 0.05 * (theta * factors[0] + (1 - theta) * factors[1])
    >>> round(float(fair + 0.95 * (theta * factors[2] + (1 - theta) * factors[3])), 12)
    1.0
    """
    pooled, share = np.asarray(rate)[..., None], np.asarray(propensity)[..., None]
    stable = _stable_rate(pooled, share, ODDS_RATIOS, tolerance)
    edge = _clipped(tolerance.at(stable), 0.0, 1.0)
    candidate = ODDS_RATIOS * edge / (1.0 + (ODDS_RATIOS - 1.0) * edge)
    return _projected(stable, candidate, share, tolerance)


def promotion_bets(rate: Numbers, propensity: Numbers, margin: Line) -> FloatArray:
    """Return log factors, shape (..., 3, 4), against ``badness_c >= relative * badness_s + absolute``.

    The alternatives lie at ``c - s = -1/2, 0, 1/2`` of the margin at the pooled rate. Without a margin (the line asks
    for a candidate at least as good as the pooled rate) they lie at odds ratios 1/2, 1/1.5, 1/1.25 below the line.

    >>> bets = promotion_bets(0.10, 0.5, Line(absolute=0.02))
    >>> equal = np.array([0.05, 0.45, 0.05, 0.45])               # expected cells when both arms are at 0.10
    >>> bool((bets @ equal).max() > 0)                           # an equal candidate is shown to be safe
    True
    """
    pooled, share = np.asarray(rate)[..., None], np.asarray(propensity)[..., None]
    room = margin.at(pooled) - pooled
    inside_stable = _near(pooled - share * MARGIN_SHARES * room, pooled)
    inside_candidate = _near(pooled + (1.0 - share) * MARGIN_SHARES * room, pooled)
    edge = _clipped(margin.at(pooled), 0.0, 1.0)
    better = edge / (edge + BETTER_ODDS * (1.0 - edge))
    stable = np.where(room > 0, inside_stable, pooled)
    candidate = np.where(room > 0, inside_candidate, better)
    return _projected(stable, candidate, share, margin)


def _stable_rate(pooled: FloatArray, share: FloatArray, odds: FloatArray, line: Line) -> FloatArray:
    """Solve ``share * c(s) + (1 - share) * s = pooled`` for s, where c has ``odds`` against the line at s.

    The floor is the solution for rare badness and a line through the origin; it binds only where an absolute
    tolerance exceeds what the pooled rate leaves room for.
    """
    kappa, delta = line.relative, line.absolute
    a = (1.0 - share) * (odds - 1.0) * kappa
    b = share * odds * kappa + (1.0 - share) * (1.0 + (odds - 1.0) * delta) - pooled * (odds - 1.0) * kappa
    c = share * odds * delta - pooled * (1.0 + (odds - 1.0) * delta)
    root = np.sqrt(np.maximum(b * b - 4.0 * a * c, 0.0))
    q = -0.5 * (b + np.where(b >= 0, root, -root))
    solved = np.where(b >= 0, c / np.where(b >= 0, q, 1.0), q / a)
    return np.asarray(np.maximum(solved, pooled / (1.0 + share * (kappa * odds - 1.0))), dtype=np.float64)


def _near(values: FloatArray, rate: FloatArray) -> FloatArray:
    """Keep an alternative from claiming that badness, or goodness, is less than half as common as it is."""
    return _clipped(values, rate / 2.0, 1.0 - (1.0 - rate) / 2.0)


def _clipped(values: FloatArray, low: Numbers, high: Numbers) -> FloatArray:
    """The same as ``np.clip``, which takes five times as long over a handful of numbers."""
    return np.asarray(np.minimum(np.maximum(values, low), high), dtype=np.float64)


def _projected(stable: FloatArray, candidate: FloatArray, share: FloatArray, line: Line) -> FloatArray:
    """Return the log factors of each alternative against its projection; zeros (no bet) where there is no room."""
    edge = line.at(stable)
    room = (stable > _EDGE) & (stable < 1 - _EDGE) & (candidate > _EDGE) & (candidate < 1 - _EDGE)
    room &= (edge < 1 - _EDGE) & (np.abs(candidate - edge) > _EDGE)
    s, c = np.where(room, stable, 0.5), np.where(room, candidate, 0.5)
    s0 = _projection(s, c, share, line)
    c0 = line.at(s0)
    room &= (s0 > _EDGE) & (s0 < 1 - _EDGE) & (c0 > _EDGE) & (c0 < 1 - _EDGE)
    s0, c0 = np.where(room, s0, 0.5), np.where(room, c0, 0.5)
    bets = np.empty((*room.shape, len(CELLS)))
    bets[..., 0], bets[..., 1] = np.log(c / c0), np.log1p(-c) - np.log1p(-c0)
    bets[..., 2], bets[..., 3] = np.log(s / s0), np.log1p(-s) - np.log1p(-s0)
    return np.where(room[..., None], bets, 0.0)


def _projection(s: FloatArray, c: FloatArray, share: FloatArray, line: Line) -> FloatArray:
    """Return ``argmin_x share * KL(c || kappa x + delta) + (1 - share) * KL(s || x)``.

    The derivative, cleared of its denominators, is a cubic with one sign change between s and ``(c - delta) / kappa``.
    Newton's method, kept inside that bracket, finds it to the last bits (the expectation on the line hangs on them). It
    starts at what would be the answer on the diagonal and converges quadratically: a step below 1e-9 was the last one.
    """
    kappa, delta = line.relative, line.absolute
    if (kappa, delta) == (1.0, 0.0):  # the diagonal: the projection is the rate of both arms together
        return np.asarray(share * c + (1.0 - share) * s, dtype=np.float64)
    crossing = (c - delta) / kappa
    low = np.maximum(np.minimum(s, crossing), max(0.0, -delta / kappa))
    high = np.minimum(np.maximum(s, crossing), min(1.0, (1.0 - delta) / kappa))
    x = _clipped(share * crossing + (1.0 - share) * s, low, high)
    for _ in range(_NEWTON_STEPS):
        edge = kappa * x + delta
        pull_c, pull_s = share * kappa * (edge - c), (1.0 - share) * (x - s)
        spread_x, spread_edge = x * (1.0 - x), edge * (1.0 - edge)
        value = pull_c * spread_x + pull_s * spread_edge
        slope = share * kappa * kappa * spread_x + pull_c * (1.0 - 2.0 * x)
        slope = slope + (1.0 - share) * spread_edge + pull_s * kappa * (1.0 - 2.0 * edge)
        low, high = np.where(value < 0, x, low), np.where(value < 0, high, x)
        step = x - value / np.where(slope == 0, 1.0, slope)
        newton = (slope > 0) & (step >= low) & (step <= high)
        after = np.where(newton, step, 0.5 * (low + high))
        moved = np.abs(after - x)
        if (moved <= np.where(newton, 1e-9, 2e-16) * np.minimum(x, 1.0 - x)).all():
            return np.asarray(after, dtype=np.float64)
        x = after
    return np.asarray(x, dtype=np.float64)
