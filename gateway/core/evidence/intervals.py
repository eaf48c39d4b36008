"""Intervals that hold at every moment at once: what the rates are, shown beside the evidence.

A request is a bad one *of this arm* with probability ``pi * theta_arm(t)``, so counting an arm's bad outcomes among
**all** requests gives a Bernoulli stream whose mean, divided by ``pi``, is the arm's average badness over the same
traffic as the other arm's. That stays true under drift. ``E exp(l X) = 1 - p + p e^l`` is log-concave in p, hence
``exp(l S_n) / (1 - m + m e^l)^n`` at ``m`` = the average of the p's so far is bounded by a martingale; a mixture over a
fixed grid of ``l`` and Ville's inequality bound that average at all times. The difference takes the ends of both arms
(union bound). Two proportions of equal quality could be had narrower; these are never wrong more often than they say.

Sources: Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences" (2021),
sub-Bernoulli mixtures; Lindon & Kallus (2026) for the two arm-level bounds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.core.evidence.arrays import FloatArray, Numbers, normalised

CONFIDENCE = 0.95

_SLOPES = 4.0 * 0.5 ** np.arange(12.0)
_RISE = np.expm1(_SLOPES)
_NEWTON_STEPS = 60
_NEAR = 1e-7


@dataclass(frozen=True, slots=True)
class Stratum:
    """Counts of one metric at one propensity. A binary metric is nothing else."""

    propensity: float
    n_stable: int = 0
    bad_stable: int = 0
    n_candidate: int = 0
    bad_candidate: int = 0

    @property
    def n(self) -> int:
        """Requests of both arms."""
        return self.n_stable + self.n_candidate

    @property
    def overlap(self) -> float:
        """How much can be learned here about a difference: ``n pi (1 - pi)``."""
        return self.n * self.propensity * (1.0 - self.propensity)


@dataclass(frozen=True, slots=True)
class Interval:
    """From where to where, both included."""

    low: float
    high: float


_A_RATE, _A_DIFFERENCE = Interval(0.0, 1.0), Interval(-1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Badness of both arms over the same traffic, with intervals that hold together, at all times, at CONFIDENCE.

    None where there is nothing to divide by. ``difference`` is candidate minus stable: above 0 is worse.
    """

    stable: float | None
    candidate: float | None
    difference: float | None
    stable_interval: Interval
    candidate_interval: Interval
    difference_interval: Interval


def mean_bounds(total: Numbers, n: Numbers, alpha: Numbers) -> tuple[FloatArray, FloatArray]:
    """Return bounds on the average success probability so far, each wrong *ever* with probability at most ``alpha``.

    ``total`` successes in ``n`` trials, any shape. The trials' probabilities may drift and depend on the past.

    >>> low, high = mean_bounds(10.0, 1000.0, 0.025)
    >>> bool(0.002 < low < 0.01 < high < 0.025)
    True
    """
    total, n = np.asarray(total, dtype=np.float64), np.asarray(n, dtype=np.float64)
    level = -np.log(np.asarray(alpha, dtype=np.float64))
    both = np.array([total, n - total])
    low, other = _lower(both, n, level)
    return low, np.asarray(1.0 - other, dtype=np.float64)


def _lower(total: FloatArray, n: FloatArray, level: FloatArray) -> FloatArray:
    """Return the mean at which the mixture's wealth is ``e**level``, from below; of failures, the bound from above.

    The mixture is worth more than each of its parts, so it crosses no sooner than the part that crosses last: that is
    where Newton's steps begin. The log wealth is convex and falls in the mean, so they never pass the crossing:
    wherever they end, the bound is on the safe side. They end after a step by one part in ten million; the next would
    be by its square.
    """
    stakes, trials = total[..., None] * _SLOPES - math.log(len(_SLOPES)), np.maximum(n, 1.0)[..., None]
    parts = np.expm1((stakes - level[..., None]) / trials) / _RISE
    mean = np.minimum(np.maximum(np.maximum.reduce(parts, axis=-1), 0.0), 1.0)
    for _ in range(_NEWTON_STEPS):
        scale = 1.0 + mean[..., None] * _RISE
        grown = stakes - trials * np.log(scale)
        greatest = np.maximum.reduce(grown, axis=-1)
        weights = np.exp(grown - greatest[..., None])
        sums = np.add.reduce(weights, axis=-1)
        above = np.log(sums) + greatest - level
        steepness = n * np.add.reduce(weights * (_RISE / scale), axis=-1) / sums
        step = np.maximum(above, 0.0) / np.maximum(steepness, 1e-300)
        mean = np.minimum(mean + step, 1.0)
        if np.logical_and.reduce(step <= _NEAR * mean, axis=None):
            break
    return np.asarray(mean, dtype=np.float64)


def estimate(strata: Sequence[Stratum], *, bounds: bool = True) -> Estimate:
    """Estimate both arms' badness and their difference over the same traffic; without ``bounds`` from end to end.

    Both rates are standardised to one mix of strata (one propensity each), so a ramp cannot pretend an effect
    (Simpson). A stratum weighs ``n pi (1 - pi)``, the overlap weight (Li, Morgan & Zaslavsky 2018), which gives the
    narrowest difference. The k-th stratum's interval is wrong with probability at most
    ``(1 - CONFIDENCE) / (k (k + 1))``; the intervals are added with the same weights.

    >>> found = estimate([Stratum(0.05, 950, 10, 50, 5)])
    >>> round(found.candidate, 3), round(found.difference, 3), found.difference_interval.high > found.difference
    (0.1, 0.089, True)
    """
    if bounds:
        return estimates([strata])[0]
    return _unbounded(*_standardised(strata)) if any(stratum.n for stratum in strata) else nothing_seen()


def estimates(many: Sequence[Sequence[Stratum]]) -> list[Estimate]:
    """Estimate several metrics, each as :func:`estimate` does with its bounds: the search for the ends is shared.

    >>> estimates([[Stratum(0.05, 950, 10, 50, 5)], []])[1] == nothing_seen()
    True
    """
    every = [(k, one) for strata in many for k, one in enumerate(strata, start=1)]
    if not every:
        return [nothing_seen() for _ in many]
    alphas = np.array([(1.0 - CONFIDENCE) / 4.0 / (k * (k + 1.0)) for k, _ in every])
    shares = np.array([(1.0 - one.propensity, one.propensity) for _, one in every])
    bad = np.array([(one.bad_stable, one.bad_candidate) for _, one in every], dtype=np.float64)
    n = np.array([one.n for _, one in every], dtype=np.float64)
    low, high = mean_bounds(bad, n[:, None], alphas[:, None])
    lows, highs = np.minimum(low / shares, 1.0), np.minimum(high / shares, 1.0)
    found, start = [], 0
    for strata in many:
        stop = start + len(strata)
        found.append(_within(strata, lows[start:stop], highs[start:stop]))
        start = stop
    return found


def _within(strata: Sequence[Stratum], lows: FloatArray, highs: FloatArray) -> Estimate:
    """Put one metric's rates between the ends of its strata, shape (strata, 2): stable's, the candidate's."""
    if not any(stratum.n for stratum in strata):
        return nothing_seen()
    stable, candidate = _standardised(strata)
    weights = normalised(*(stratum.overlap for stratum in strata))
    (low, our_low), (high, our_high) = (weights @ lows).tolist(), (weights @ highs).tolist()
    return Estimate(
        stable=stable,
        candidate=candidate,
        difference=_less(candidate, stable),
        stable_interval=Interval(low, high),
        candidate_interval=Interval(our_low, our_high),
        difference_interval=Interval(our_low - high, our_high - low),
    )


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def nothing_seen() -> Estimate:
    """Return what is known before the first outcome: nothing.

    >>> nothing_seen().difference_interval
    Interval(low=-1.0, high=1.0)
    """
    return _unbounded(None, None)


def _unbounded(stable: float | None, candidate: float | None) -> Estimate:
    return Estimate(stable, candidate, _less(candidate, stable), _A_RATE, _A_RATE, _A_DIFFERENCE)


def _standardised(strata: Sequence[Stratum]) -> tuple[float | None, float | None]:
    """Return both rates over the strata in which both arms were seen; else each arm's own rate."""
    shared = [stratum for stratum in strata if stratum.n_stable and stratum.n_candidate]
    if not shared:
        n_stable, n_candidate = sum(s.n_stable for s in strata), sum(s.n_candidate for s in strata)
        return (
            sum(s.bad_stable for s in strata) / n_stable if n_stable else None,
            sum(s.bad_candidate for s in strata) / n_candidate if n_candidate else None,
        )
    total = sum(stratum.overlap for stratum in shared)
    return (
        sum(s.overlap / total * s.bad_stable / s.n_stable for s in shared),
        sum(s.overlap / total * s.bad_candidate / s.n_candidate for s in shared),
    )


def paired_estimate(only_candidate: int, only_stable: int, both: int, neither: int, *, bounds: bool = True) -> Estimate:
    """Estimate both models' badness on the same requests from the four kinds of pairs, as :func:`estimate` does.

    >>> found = paired_estimate(50, 20, 80, 850)
    >>> round(found.stable, 3), round(found.candidate, 3), round(found.difference, 3)
    (0.1, 0.13, 0.03)
    """
    n = only_candidate + only_stable + both + neither
    if not n:
        return nothing_seen()
    stable, candidate, difference = (
        (only_stable + both) / n,
        (only_candidate + both) / n,
        (only_candidate - only_stable) / n,
    )
    if not bounds:
        return _unbounded(stable, candidate)
    totals = np.array([only_stable + both, only_candidate + both, only_candidate, only_stable], dtype=np.float64)
    low, high = mean_bounds(totals, np.full(4, float(n)), np.full(4, (1.0 - CONFIDENCE) / 8.0))
    return Estimate(
        stable=stable,
        candidate=candidate,
        difference=difference,
        stable_interval=Interval(float(low[0]), float(high[0])),
        candidate_interval=Interval(float(low[1]), float(high[1])),
        difference_interval=Interval(float(low[2] - high[3]), float(high[2] - low[3])),
    )


def picked_estimate(counts: Stratum, *, bounds: bool = True) -> Estimate:
    """Estimate two rates among requests that each arm picks itself; nothing is assumed of how these overlap.

    >>> found = picked_estimate(Stratum(1.0, 1_000, 200, 500, 150))
    >>> round(found.difference, 3), found.difference_interval.low < found.difference < found.difference_interval.high
    (0.1, True)
    """
    stable = counts.bad_stable / counts.n_stable if counts.n_stable else None
    candidate = counts.bad_candidate / counts.n_candidate if counts.n_candidate else None
    if not bounds or not counts.n_stable or not counts.n_candidate:
        return _unbounded(stable, candidate)
    totals = np.array([counts.bad_stable, counts.bad_candidate], dtype=np.float64)
    n = np.array([counts.n_stable, counts.n_candidate], dtype=np.float64)
    low, high = mean_bounds(totals, n, np.full(2, (1.0 - CONFIDENCE) / 4.0))
    return Estimate(
        stable=stable,
        candidate=candidate,
        difference=_less(candidate, stable),
        stable_interval=Interval(float(low[0]), float(high[0])),
        candidate_interval=Interval(float(low[1]), float(high[1])),
        difference_interval=Interval(float(low[1] - high[0]), float(high[1] - low[0])),
    )
