"""Cases about a whole distribution: stochastically slower (latency), or moved in either direction (scores).

Each value is compared with quantiles of stable's, frozen beforehand; every threshold is a Bernoulli outcome, and one
wealth holds the bets on all of them. A failed request lies beyond every threshold, in whichever direction is bet on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from gateway.core.cases import margin_of, tolerance_of
from gateway.core.deployments import Guardrail
from gateway.core.evidence.arrays import FloatArray, normalised
from gateway.core.evidence.intervals import Stratum
from gateway.core.evidence.rates import DEMOTION_WEIGHTS, PROMOTION_WEIGHTS, Line, demotion_bets, promotion_bets
from gateway.core.evidence.restarts import Wealth, advanced, opened
from gateway.core.evidence.tails import SLOWER, SLOWER_SHARES, SPREAD, bins_of, counted, due, thresholds, tolerated
from gateway.core.tallies import Sample, Tally, stratified

SAFE_SHARES = SLOWER[:3]
"""Thresholds at which a candidate has to be shown to be no slower: the one beyond p99 would take ten times as long."""
SLOWER_WEIGHTS = normalised(*np.outer(SLOWER_SHARES, DEMOTION_WEIGHTS).ravel().tolist())
SPREAD_WEIGHTS = normalised(*DEMOTION_WEIGHTS.tolist() * (2 * len(SPREAD)))
SHOWN = 1
"""The threshold whose rates are shown as the finding's: p90 (of scores the median)."""

_PRIOR = 10.0


@dataclass(frozen=True, slots=True)
class TailCase:
    """Evidence about a distribution: both arms' histograms (failures in the furthest bin), the thresholds in force.

    ``taken_at`` says at how many of stable's values they were taken; ``strata`` counts since then at the one shown.
    """

    harm: Wealth
    safety: tuple[Wealth, ...]
    bins: tuple[int, ...] = ()
    taken_at: int = 0
    strata: tuple[Stratum, ...] = ()
    stable: dict[int, int] = field(default_factory=dict)
    candidate: dict[int, int] = field(default_factory=dict)

    @property
    def shown_safe(self) -> float:
        """The log evidence of safety where it is weakest."""
        return min(wealth.log_total for wealth in self.safety)


def open_slower() -> TailCase:
    """Return a case about an upper tail that has seen nothing.

    >>> len(open_slower().harm.log_bets), len(open_slower().safety)
    (32, 3)
    """
    return _open(SLOWER_WEIGHTS, len(SAFE_SHARES))


def open_spread() -> TailCase:
    """Return a case about a distribution that may move either way.

    >>> len(open_spread().harm.log_bets), len(open_spread().safety)
    (48, 6)
    """
    return _open(SPREAD_WEIGHTS, 2 * len(SPREAD))


def bet_on_slower(case: TailCase, guardrail: Guardrail, samples: Sequence[Sample]) -> TailCase:
    """Bet that the candidate's values, less the tolerance, exceed stable's quantiles more often than stable's do.

    >>> rng, guardrail, ours = np.random.default_rng(1), Guardrail("latency", relative=1.1), np.arange(400) % 2 == 0
    >>> case = bet_on_slower(open_slower(), guardrail, [Sample(0, 0.5, rng.lognormal(-3, 0.5, 400), ours)])
    >>> slow = Sample(0, 0.5, rng.lognormal(-3, 0.5, 400) * np.where(ours, 1.6, 1.0), ours)
    >>> bet_on_slower(case, guardrail, [slow]).harm.peak > 4.0 > case.harm.peak
    True
    """
    ready = _threshold(case, SLOWER)
    after = _noted(ready, samples)
    if not ready.bins:
        return after
    rates = _rates(ready, SLOWER)
    harm: dict[int, FloatArray] = {}
    safety: list[dict[int, FloatArray]] = [{} for _ in SAFE_SHARES]
    for one in samples:
        at_line = _exceeding(one, ready.bins, tolerance_of(guardrail))
        bets = demotion_bets(rates, one.propensity, Line())
        _add(harm, one.tick, np.einsum("kgc,kc->kg", bets, at_line).ravel())
        at_margin = _exceeding(one, ready.bins, margin_of(guardrail))
        safe = promotion_bets(rates, one.propensity, Line())
        for index, growth in enumerate(safety):
            _add(growth, one.tick, safe[index] @ at_margin[index])
    return _bet(after, harm, safety, SLOWER_WEIGHTS)


def bet_on_spread(case: TailCase, guardrail: Guardrail, samples: Sequence[Sample]) -> TailCase:
    """Bet that the candidate's values lie above, or below, stable's quantiles more often than stable's do.

    >>> rng, guardrail, ours = np.random.default_rng(1), Guardrail("score_distribution"), np.arange(400) % 2 == 0
    >>> case = bet_on_spread(open_spread(), guardrail, [Sample(0, 0.5, rng.normal(size=400), ours)])
    >>> narrow = Sample(0, 0.5, rng.normal(size=400) * np.where(ours, 0.3, 1.0), ours)
    >>> bet_on_spread(case, guardrail, [narrow]).harm.peak > 5.0 > case.harm.peak
    True
    """
    ready = _threshold(case, SPREAD)
    after = _noted(ready, samples)
    if not ready.bins:
        return after
    both = np.concatenate([_rates(ready, SPREAD), _rates(ready, SPREAD, below=True)])
    harm: dict[int, FloatArray] = {}
    safety: list[dict[int, FloatArray]] = [{} for _ in both]
    for one in samples:
        up = _exceeding(one, ready.bins, Line())
        down = _falling(one, ready.bins)
        cells = np.concatenate([up, down])
        bets = demotion_bets(both, one.propensity, tolerance_of(guardrail))
        _add(harm, one.tick, np.einsum("kgc,kc->kg", bets, cells).ravel())
        safe = promotion_bets(both, one.propensity, margin_of(guardrail))
        for index, growth in enumerate(safety):
            _add(growth, one.tick, safe[index] @ cells[index])
    return _bet(after, harm, safety, SPREAD_WEIGHTS)


def _open(weights: FloatArray, directions: int) -> TailCase:
    safety = tuple(opened(PROMOTION_WEIGHTS, restarting=False) for _ in range(directions))
    return TailCase(opened(weights, restarting=True), safety)


def _threshold(case: TailCase, shares: Sequence[float]) -> TailCase:
    """Move the thresholds to stable's quantiles when it is time."""
    n = sum(case.stable.values())
    if not due(n, case.taken_at):
        return case
    return replace(case, bins=thresholds(case.stable, shares), taken_at=n, strata=())


def _rates(case: TailCase, shares: Sequence[float], *, below: bool = False) -> FloatArray:
    """The share of both arms' values so far beyond each threshold, and half a value that may have been missed.

    What the quantile says counts as ten values.
    """
    places = np.array([*case.stable, *case.candidate])
    times = np.array([*case.stable.values(), *case.candidate.values()], dtype=np.float64)
    edges, said = np.array(case.bins)[:, None], np.array(shares)
    beyond, said = (places < edges, 1.0 - said) if below else (places > edges, said)
    return np.asarray((_PRIOR * said + beyond @ times + 0.5) / (_PRIOR + times.sum() + 1.0), dtype=np.float64)


def _noted(case: TailCase, samples: Sequence[Sample]) -> TailCase:
    """Count what the look brought: into histograms, and at the threshold that is shown."""
    stable, candidate, shown = case.stable, case.candidate, []
    for one in samples:
        places = bins_of(one.values)
        stable, candidate = counted(stable, places[~one.ours]), counted(candidate, places[one.ours])
        if case.bins:
            a, b, c, d = (int(count) for count in _exceeding(one, case.bins, Line())[SHOWN])
            shown.append(Tally(one.tick, one.propensity, (a, b, c, d)))
    return replace(case, stable=stable, candidate=candidate, strata=stratified(case.strata, shown))


def _exceeding(sample: Sample, bins: Sequence[int], line: Line) -> FloatArray:
    """Count cells at every threshold, shape (thresholds, 4); the candidate's values without what is tolerated."""
    ours = bins_of(tolerated(sample.values[sample.ours], line.relative, line.absolute))
    return _cells(ours, bins_of(sample.values[~sample.ours]), bins)


def _falling(sample: Sample, bins: Sequence[int]) -> FloatArray:
    """Count cells of lying below each threshold's own bin; a failure does.

    Values in that bin count neither way, else a value that all of stable's share would hide those that fall short.
    """
    values = np.where(np.isinf(sample.values), -np.inf, sample.values)
    below = [place - 1 for place in bins]
    return _cells(bins_of(values[sample.ours]), bins_of(values[~sample.ours]), below)[:, [1, 0, 3, 2]]


def _cells(ours: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64], bins: Sequence[int]) -> FloatArray:
    edges = np.array(bins)[:, None]
    c, s = (ours > edges).sum(axis=1), (theirs > edges).sum(axis=1)
    return np.stack([c, len(ours) - c, s, len(theirs) - s], axis=1).astype(np.float64)


def _add(growth: dict[int, FloatArray], tick: int, grown: FloatArray) -> None:
    growth[tick] = growth[tick] + grown if tick in growth else grown


def _bet(
    case: TailCase, harm: dict[int, FloatArray], safety: Sequence[dict[int, FloatArray]], weights: FloatArray
) -> TailCase:
    shown = tuple(advanced(one, PROMOTION_WEIGHTS, growth) for one, growth in zip(case.safety, safety, strict=True))
    return replace(case, harm=advanced(case.harm, weights, harm), safety=shown)
