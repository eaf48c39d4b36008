"""Cases about amounts: a loss, a revenue, a calibration gap; of two arms, or of both models on the same requests.

An amount is counted from its best end, 0, to ``top``. Where the metric knows no top, it is the 99.9 % quantile of
stable's amounts so far, moved at predictable times; before the first of them amounts are looked at and not bet on. What
is then compared, and shown to be safe, are amounts clipped there: rare greater ones are beyond any test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gateway.core.cases import margin_of, tolerance_of
from gateway.core.deployments import Guardrail
from gateway.core.evidence.arrays import FloatArray
from gateway.core.evidence.asymptotic import MeanStratum, Moments
from gateway.core.evidence.means import (
    GAP_WEIGHTS,
    LEAST_SEEN,
    SHIFT_WEIGHTS,
    Scale,
    demotion_stakes,
    mean_growth,
    promotion_stakes,
    scale_of,
)
from gateway.core.evidence.pairs import PAIR_WEIGHTS, difference_growth
from gateway.core.evidence.rates import Line
from gateway.core.evidence.restarts import Wealth, advanced, opened
from gateway.core.evidence.shifts import log_scale, shift_growth
from gateway.core.evidence.tails import bins_of, counted, due, edge_of, thresholds
from gateway.core.tallies import Sample, mean_strata

CLIPPED = 0.001
"""Share of stable's amounts above a top that is taken from them."""
FURTHEST = 4.0
"""Where a failed request is put on an unbounded scale, in spreads from the centre."""


@dataclass(frozen=True, slots=True)
class Top:
    """The greatest amount that counts, at how many of stable's it was taken, and the histogram it was taken from."""

    value: float | None = None
    taken_at: int = 0
    histogram: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MeanCase:
    """Evidence about an amount. ``worst`` is safety as if every missing label spoke against the candidate (Manski)."""

    harm: Wealth
    safety: Wealth
    worst: Wealth
    top: Top = Top()
    strata: tuple[MeanStratum, ...] = ()


@dataclass(frozen=True, slots=True)
class PairMeanCase:
    """Evidence about an amount from requests that both models answered."""

    harm: Wealth
    safety: Wealth
    top: Top = Top()
    stable: Moments = Moments()
    candidate: Moments = Moments()
    difference: Moments = Moments()


def open_mean(*, unbounded: bool = False) -> MeanCase:
    """Return a case that has seen nothing.

    >>> len(open_mean().safety.log_bets), len(open_mean(unbounded=True).safety.log_bets)
    (3, 6)
    """
    safety = opened(SHIFT_WEIGHTS if unbounded else GAP_WEIGHTS, restarting=False)
    return MeanCase(opened(SHIFT_WEIGHTS, restarting=True), safety, safety)


def open_pair_mean() -> PairMeanCase:
    """Return a case that has seen no pair."""
    return PairMeanCase(opened(PAIR_WEIGHTS, restarting=True), opened(PAIR_WEIGHTS, restarting=False))


def topped(top: Top, high: float | None) -> Top:
    """Return the top that holds for the next look: the metric's own, or stable's quantile when it is time.

    >>> topped(Top(), 1.0).value, topped(Top(), None).value, round(topped(Top(histogram={61: 40}), None).value, 3)
    (1.0, None, 0.011)
    """
    if high is not None:
        return top if top.value == high else replace(top, value=high)
    n = sum(top.histogram.values())
    if not due(n, top.taken_at):
        return top
    return replace(top, value=edge_of(thresholds(top.histogram, (CLIPPED,))[0]), taken_at=n)


def bet_on_mean(
    case: MeanCase, guardrail: Guardrail, samples: Sequence[Sample], missing: Sequence[Sample], high: float | None
) -> MeanCase:
    """Bet on amounts between 0 and the top. ``missing`` holds 1 for mature rows of which no amount is known.

    >>> rng, guardrail = np.random.default_rng(1), Guardrail("brier", margin_absolute=0.1)
    >>> ours = np.arange(400) % 2 == 0
    >>> case = bet_on_mean(open_mean(), guardrail, [Sample(0, 0.5, rng.random(400), ours)], [], 1.0)
    >>> worse = Sample(0, 0.5, np.where(ours, 0.8, 0.2), ours)
    >>> bet_on_mean(case, guardrail, [worse], [], 1.0).harm.peak > 100.0 > case.harm.peak
    True
    """
    top = topped(case.top, high)
    seen = [replace(one, values=np.clip(one.values, 0.0, top.value)) for one in samples] if top.value else []
    strata = mean_strata(case.strata, seen)
    moments = _pooled(case.strata)
    after = replace(case, top=_noted(top, samples, high), strata=strata)
    if top.value is None or moments.n < LEAST_SEEN:
        return after
    scale = scale_of(0.0, top.value, moments.n, moments.total, moments.squares)
    against, towards = tolerance_of(guardrail), margin_of(guardrail)
    safety = _growth(seen, scale, towards, harm=False)
    doubt = _growth([_against_candidate(one, top.value) for one in missing], scale, towards, harm=False)
    return replace(
        after,
        harm=advanced(case.harm, SHIFT_WEIGHTS, _growth(seen, scale, against, harm=True)),
        safety=advanced(case.safety, GAP_WEIGHTS, safety),
        worst=advanced(advanced(case.worst, GAP_WEIGHTS, safety), GAP_WEIGHTS, doubt),
    )


def bet_on_shift(
    case: MeanCase, guardrail: Guardrail, samples: Sequence[Sample], missing: Sequence[Sample]
) -> MeanCase:
    """Bet on amounts without a range, on a logarithmic scale: higher (worse) or not, whatever the tolerance.

    >>> rng, guardrail = np.random.default_rng(1), Guardrail("value:cost", relative=1.1, margin_relative=1.5)
    >>> ours = np.arange(400) % 2 == 0
    >>> case = bet_on_shift(open_mean(unbounded=True), guardrail, [Sample(0, 0.5, rng.pareto(1.0, 400), ours)], [])
    >>> worse = Sample(0, 0.5, rng.pareto(1.0, 400) * np.where(ours, 4.0, 1.0), ours)
    >>> bet_on_shift(case, guardrail, [worse], []).harm.peak > 5.0 > case.harm.peak
    True
    """
    strata = mean_strata(case.strata, [_finite(one) for one in samples])
    moments = _pooled(case.strata)
    if moments.n < LEAST_SEEN:
        return replace(case, strata=strata)
    spread = max(moments.variance**0.5, 1e-9)
    harm = _shifted(samples, tolerance_of(guardrail), moments.mean, spread, higher=True)
    safety = _shifted(samples, margin_of(guardrail), moments.mean, spread, higher=False)
    lost = [_against_candidate(one, np.inf) for one in missing]
    doubt = _shifted(lost, Line(), moments.mean, spread, higher=False)
    return replace(
        case,
        harm=advanced(case.harm, SHIFT_WEIGHTS, harm),
        safety=advanced(case.safety, SHIFT_WEIGHTS, safety),
        worst=advanced(advanced(case.worst, SHIFT_WEIGHTS, safety), SHIFT_WEIGHTS, doubt),
        strata=strata,
    )


def bet_on_pair_mean(
    case: PairMeanCase, guardrail: Guardrail, pairs: Mapping[int, FloatArray], high: float | None
) -> PairMeanCase:
    """Bet on (stable's, the shadow's) amounts by restart tick, each of shape (pairs, 2).

    >>> pairs = {0: np.tile([0.1, 0.4], (60, 1))}
    >>> bet_on_pair_mean(open_pair_mean(), Guardrail("brier"), pairs, 1.0).harm.peak > 3.0
    True
    """
    top = topped(case.top, high)
    kept = {tick: np.clip(both, 0.0, top.value) for tick, both in pairs.items()} if top.value else {}
    against, towards, width = tolerance_of(guardrail), margin_of(guardrail), top.value or 1.0
    harm = {tick: difference_growth(both[:, 1], both[:, 0], width, against) for tick, both in kept.items()}
    safety = {
        tick: difference_growth(both[:, 1], both[:, 0], width, towards, harm=False) for tick, both in kept.items()
    }
    stable, candidate, difference = case.stable, case.candidate, case.difference
    for both in kept.values():
        stable, candidate = _with(stable, both[:, 0]), _with(candidate, both[:, 1])
        difference = _with(difference, both[:, 1] - both[:, 0])
    histogram = top.histogram
    for both in pairs.values() if high is None else ():
        histogram = counted(histogram, bins_of(both[np.isfinite(both[:, 0]), 0]))
    return PairMeanCase(
        advanced(case.harm, PAIR_WEIGHTS, harm),
        advanced(case.safety, PAIR_WEIGHTS, safety),
        replace(top, histogram=histogram),
        stable,
        candidate,
        difference,
    )


def _with(moments: Moments, values: FloatArray) -> Moments:
    return moments.plus(len(values), float(values.sum()), float(values @ values))


def _pooled(strata: Sequence[MeanStratum]) -> Moments:
    pooled = Moments()
    for stratum in strata:
        for one in (stratum.stable, stratum.candidate):
            pooled = pooled.plus(one.n, one.total, one.squares)
    return pooled


def _noted(top: Top, samples: Sequence[Sample], high: float | None) -> Top:
    """Count stable's amounts where a top will have to be taken from them; a failure is no amount."""
    histogram = top.histogram
    for sample in samples if high is None else ():
        theirs = sample.values[~sample.ours]
        histogram = counted(histogram, bins_of(theirs[np.isfinite(theirs)]))
    return replace(top, histogram=histogram)


def _growth(samples: Sequence[Sample], scale: Scale, line: Line, *, harm: bool) -> dict[int, FloatArray]:
    stakes_of = demotion_stakes if harm else promotion_stakes
    growth: dict[int, FloatArray] = {}
    for one in samples:
        stakes = stakes_of(scale, one.propensity, line)
        grown = mean_growth(one.values, one.ours, stakes, scale, one.propensity, line)
        growth[one.tick] = growth[one.tick] + grown if one.tick in growth else grown
    return growth


def _shifted(
    samples: Sequence[Sample], line: Line, mean: float, spread: float, *, higher: bool
) -> dict[int, FloatArray]:
    growth: dict[int, FloatArray] = {}
    for one in samples:
        values = np.where(one.ours, (one.values - line.absolute) / line.relative, one.values)
        z = np.clip((log_scale(values) - mean) / spread, -FURTHEST, FURTHEST)
        grown = shift_growth(z, one.ours, one.propensity, higher=higher)
        growth[one.tick] = growth[one.tick] + grown if one.tick in growth else grown
    return growth


def _finite(sample: Sample) -> Sample:
    kept = np.isfinite(sample.values)
    return replace(sample, values=log_scale(sample.values[kept]), ours=sample.ours[kept])


def _against_candidate(sample: Sample, worst: float) -> Sample:
    """The worst amounts for the candidate's rows, the best for stable's."""
    return replace(sample, values=np.where(sample.ours, worst, -np.inf if np.isinf(worst) else 0.0))
