"""Asymptotic confidence sequences for means: intervals to show, never to decide by.

Valid at all times together as the sample grows, for any law with two moments, and narrow where the exact intervals of
:mod:`intervals` would be useless (an unbounded loss, a revenue). Computed within strata of one propensity and joined
with fixed weights, so a ramp cannot pretend an effect.

Source: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences" (2024), equation 9.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.evidence.intervals import CONFIDENCE, Estimate, Interval

TIGHTEST_AT = 5_000.0
"""The sample size at which the interval is narrowest, relative to a fixed one."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Number, sum and sum of squares of one arm's values."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        """Their mean, 0 where there is none."""
        return self.total / self.n if self.n else 0.0

    @property
    def variance(self) -> float:
        """Their variance."""
        return max(0.0, self.squares / self.n - self.mean**2) if self.n else 0.0

    def plus(self, n: int, total: float, squares: float) -> "Moments":
        """Return the moments with more values in them."""
        return Moments(self.n + n, self.total + total, self.squares + squares)


@dataclass(frozen=True, slots=True)
class MeanStratum:
    """Both arms' values at one propensity."""

    propensity: float
    stable: Moments = Moments()
    candidate: Moments = Moments()

    @property
    def n(self) -> int:
        """Values of both arms."""
        return self.stable.n + self.candidate.n

    @property
    def overlap(self) -> float:
        """How much can be learned here about a difference: ``n pi (1 - pi)``."""
        return self.n * self.propensity * (1.0 - self.propensity)


def half_width(variance: float, n: float, alpha: float = 1.0 - CONFIDENCE) -> float:
    """Return half the width of the two-sided sequence for a mean of ``n`` values with this variance.

    >>> round(half_width(1.0, 5_000), 4), round(1.96 / math.sqrt(5_000), 4)          # the price of looking always
    (0.0429, 0.0277)
    """
    r2 = (-2.0 * math.log(alpha) + math.log(-2.0 * math.log(alpha) + 1.0)) / TIGHTEST_AT
    spread = n * r2 + 1.0
    return math.sqrt(variance * 2.0 * spread / (n * n * r2) * math.log(math.sqrt(spread) / alpha))


def mean_estimate(strata: Sequence[MeanStratum]) -> Estimate:
    """Estimate both arms' means and their difference over the same traffic.

    The variance of the difference per value is ``var_c / pi + var_s / (1 - pi)``; strata get overlap weights.

    >>> found = mean_estimate([MeanStratum(0.5, Moments(5000, 500.0, 100.0), Moments(5000, 600.0, 130.0))])
    >>> round(found.difference, 3), 0.0 < found.difference_interval.low < 0.02 < found.difference_interval.high
    (0.02, True)
    """
    shared = [one for one in strata if one.stable.n > 1 and one.candidate.n > 1]
    if not shared:
        return _unknown(strata)
    whole = sum(one.overlap for one in shared)
    weights = [one.overlap / whole for one in shared]
    n = float(sum(one.n for one in shared))
    stable = sum(w * one.stable.mean for w, one in zip(weights, shared, strict=True))
    candidate = sum(w * one.candidate.mean for w, one in zip(weights, shared, strict=True))
    of_stable = n * sum(w * w * one.stable.variance / one.stable.n for w, one in zip(weights, shared, strict=True))
    of_candidate = n * sum(
        w * w * one.candidate.variance / one.candidate.n for w, one in zip(weights, shared, strict=True)
    )
    alpha = (1.0 - CONFIDENCE) / 3.0
    return Estimate(
        stable=stable,
        candidate=candidate,
        difference=candidate - stable,
        stable_interval=_around(stable, half_width(of_stable, n, alpha)),
        candidate_interval=_around(candidate, half_width(of_candidate, n, alpha)),
        difference_interval=_around(candidate - stable, half_width(of_stable + of_candidate, n, alpha)),
    )


def _around(middle: float, half: float) -> Interval:
    return Interval(middle - half, middle + half)


def _unknown(strata: Sequence[MeanStratum]) -> Estimate:
    """What can be said of values of which an arm has hardly any: its own mean, and no interval."""
    n_stable, n_candidate = sum(one.stable.n for one in strata), sum(one.candidate.n for one in strata)
    nothing = Interval(-math.inf, math.inf)
    return Estimate(
        stable=sum(one.stable.total for one in strata) / n_stable if n_stable else None,
        candidate=sum(one.candidate.total for one in strata) / n_candidate if n_candidate else None,
        difference=None,
        stable_interval=nothing,
        candidate_interval=nothing,
        difference_interval=nothing,
    )
