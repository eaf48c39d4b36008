"""Two bounded means under unequal, changing allocation: a score, a clipped loss, a revenue within its declared range.

With a predictable centre ``m`` and stake ``b`` the factors are affine in the value:

    S(candidate) = 1 + b (y - relative m - absolute)        S(stable) = 1 - b relative pi / (1 - pi) (y - m)

so ``E S = 1 + pi b (E Y_c - relative E Y_s - absolute)``: at most 1 while the candidate's *mean* is tolerated, whatever
the two laws are. Demotion takes ``b > 0`` at six shifts in units of the standard deviation, promotion ``b < 0``. A
stake is capped so that the worst value of the range leaves a tenth of the wealth. The affine form is the exact dual of
KL_inf for bounded means: nothing is lost against hedged capital or empirical Bernstein.

An unbounded loss is clipped at a predictable quantile of stable's (:mod:`tails`) and then is bounded.

Sources: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (2023); Larsson, Ramdas & Ruf,
"The numeraire e-variable and reverse information projection" (2024).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.core.evidence.arrays import FloatArray, Numbers, normalised
from gateway.core.evidence.rates import Line

SHIFTS = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
SHIFT_WEIGHTS = normalised(0.5, 1, 1, 1, 1, 0.5)

GAP_SHARES = np.array([1.5, 1.0, 0.5])
"""How far below the margin an alternative lies, as a share of the room: a little better, equal, a little worse."""
GAP_SHIFTS = np.array([0.2, 0.1, 0.05])
"""The same in standard deviations, where the margin leaves no room for an equal candidate."""
GAP_WEIGHTS = normalised(0.2, 0.5, 0.3)

LEAST_SEEN = 16
"""Values of both arms that are only looked at: before them there is no centre and no spread to bet with."""

_RUIN = 0.9
_LEAST_SPREAD = 1e-4


@dataclass(frozen=True, slots=True)
class Scale:
    """What is known of a value before a look: its range, and centre and spread of both arms together. May be arrays."""

    low: Numbers
    high: Numbers
    mean: Numbers
    spread: Numbers


def scale_of(low: float, high: Numbers, n: Numbers, total: Numbers, squares: Numbers) -> Scale:
    """Return the scale after ``n`` values with the given sum and sum of squares; the spread is never nothing.

    >>> scale_of(0.0, 1.0, 100, 50.0, 30.0).spread.round(3)
    np.float64(0.224)
    """
    count = np.maximum(np.asarray(n, dtype=np.float64), 1.0)
    width = np.asarray(high, dtype=np.float64) - low
    mean = np.clip(np.asarray(total) / count, low, high)
    variance = np.maximum(np.asarray(squares) / count - mean * mean, (_LEAST_SPREAD * width) ** 2)
    return Scale(low, high, mean, np.minimum(np.sqrt(variance), width))


def demotion_stakes(scale: Scale, propensity: Numbers, tolerance: Line) -> FloatArray:
    """Return stakes, shape (..., 6), against ``E Y_c <= relative * E Y_s + absolute``.

    >>> stakes = demotion_stakes(Scale(0.0, 1.0, 0.5, 0.2), 0.05, Line())
    >>> np.round(stakes, 2).tolist()                       # 0.02 / 0.2 ... ; the last two are capped at 0.9 / 0.5
    [0.1, 0.25, 0.5, 1.0, 1.8, 1.8]
    """
    wanted = SHIFTS / np.asarray(scale.spread)[..., None]
    lowest, _ = _extremes(scale, propensity, tolerance)
    return np.asarray(np.minimum(wanted, _RUIN / np.maximum(-lowest, 1e-12)[..., None]), dtype=np.float64)


def promotion_stakes(scale: Scale, propensity: Numbers, margin: Line) -> FloatArray:
    """Return stakes (below 0), shape (..., 3), against ``E Y_c >= relative * E Y_s + absolute``.

    Each is log-optimal (to the second order) for a candidate that lies 1.5, 1 or 0.5 of the room below the line.

    >>> stakes = promotion_stakes(Scale(0.0, 1.0, 0.5, 0.2), 0.05, Line(absolute=0.02))
    >>> bool((stakes < 0).all())
    True
    """
    spread, share = np.asarray(scale.spread)[..., None], np.asarray(propensity)[..., None]
    room = (margin.at(scale.mean) - np.asarray(scale.mean))[..., None]
    gap = np.where(room > 0, GAP_SHARES * room, GAP_SHIFTS * spread)
    noise = spread**2 * (1.0 + margin.relative**2 * share / (1.0 - share)) + gap**2
    _, highest = _extremes(scale, propensity, margin)
    return np.asarray(-np.minimum(gap / noise, _RUIN / np.maximum(highest, 1e-12)[..., None]), dtype=np.float64)


def mean_growth(
    values: FloatArray, ours: npt.NDArray[np.bool_], stakes: FloatArray, scale: Scale, propensity: Numbers, line: Line
) -> FloatArray:
    """Return the log growth of every bet, shape (..., bets), summed over the last axis of ``values``.

    Values are clipped to the range; ``ours`` says which are the candidate's. ``stakes`` has shape (..., bets).

    >>> scale = Scale(0.0, 1.0, 0.5, 0.25)
    >>> stakes = demotion_stakes(scale, 0.5, Line())
    >>> worse = mean_growth(np.array([0.9, 0.2]), np.array([True, False]), stakes, scale, 0.5, Line())
    >>> bool((worse > 0).all())
    True
    """
    low, high = np.asarray(scale.low)[..., None], np.asarray(scale.high)[..., None]
    mean, share = np.asarray(scale.mean)[..., None], np.asarray(propensity)[..., None]
    clipped = np.clip(values, low, high)
    theirs = line.relative * share / (1.0 - share) * (mean - clipped)
    gain = np.where(ours, clipped - line.at(mean), theirs)
    growth = [np.log1p(stakes[..., bet, None] * gain).sum(axis=-1) for bet in range(stakes.shape[-1])]
    return np.stack(growth, axis=-1)


def _extremes(scale: Scale, propensity: Numbers, line: Line) -> tuple[FloatArray, FloatArray]:
    """Return the least and the greatest gain that one value can bring, in either arm."""
    low, high, mean = np.asarray(scale.low), np.asarray(scale.high), np.asarray(scale.mean)
    share = np.asarray(propensity)
    odds = line.relative * share / (1.0 - share)
    lowest = np.minimum(low - line.at(mean), odds * (mean - high))
    highest = np.maximum(high - line.at(mean), odds * (mean - low))
    return np.asarray(lowest, dtype=np.float64), np.asarray(highest, dtype=np.float64)
