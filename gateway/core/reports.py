"""From a case to a finding: the numbers of one guardrail, what they decide, and the sentence that says so."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypedDict

from gateway.core.block_cases import BlockCase, CoverageCase, PairRankCase, RankCase
from gateway.core.calibration import Bins, CalibrationCase
from gateway.core.cases import PairCase, RateCase, RatioCase, margin_of, tolerance_of
from gateway.core.deployments import Guardrail, Role
from gateway.core.evidence.asymptotic import MeanStratum, half_width, mean_estimate
from gateway.core.evidence.intervals import (
    CONFIDENCE,
    Estimate,
    Interval,
    Stratum,
    estimate,
    paired_estimate,
    picked_estimate,
)
from gateway.core.evidence.ratio import RATIO_ALPHA
from gateway.core.evidence.restarts import Wealth
from gateway.core.evidence.tails import edge_of, quantile
from gateway.core.findings import (
    DISPLAY_CAP,
    Finding,
    MetricFinding,
    amounts,
    counts,
    lasting,
    limit,
    percent,
    quantity,
    sentence,
)
from gateway.core.metrics import Kind, Metric
from gateway.core.pair_cases import PairCalibrationCase, PairShareCase
from gateway.core.tail_cases import SHOWN, TailCase
from gateway.core.value_cases import MeanCase, PairMeanCase

_NONE = Stratum(1.0)


class _Weighable(Protocol):
    """A case with evidence of harm and of safety."""

    @property
    def harm(self) -> Wealth: ...

    @property
    def safety(self) -> Wealth: ...


@dataclass(frozen=True, slots=True)
class Bar:
    """What a guardrail's evidence is held against. ``waiting`` names what else keeps it from passing ("": nothing)."""

    name: str
    metric: Metric
    guardrail: Guardrail
    threshold: float
    promote_threshold: float
    waiting: str = ""
    elapsed_s: float = 0.0
    bare: bool = False
    """Numbers only: no sentence, and intervals as wide as they can be."""


@dataclass(frozen=True, slots=True)
class _Weighed:
    """The log evidence of a case. ``worst`` is that of safety if all missing labels spoke against the candidate."""

    peak: float
    now: float
    safe: float
    worst: float | None = None


def _weighed(case: _Weighable, worst: Wealth | None = None) -> _Weighed:
    return _Weighed(
        case.harm.peak, case.harm.log_total, case.safety.log_total, None if worst is None else worst.log_total
    )


def rate_finding(bar: Bar, case: RateCase) -> MetricFinding:
    """Report a binary metric of two arms."""
    found = _put(bar, _seen(bar, case.strata), _weighed(case, case.worst), _counts(case.strata))
    return _worded(bar, found, lambda: counts(found, bar.metric.of, bar.metric.says))


def pair_finding(bar: Bar, case: PairCase) -> MetricFinding:
    """Report a binary metric of both models on the same requests."""
    only_candidate, only_stable, both, _ = case.cells
    n = sum(case.cells)
    sizes = Stratum(1.0, n, only_stable + both, n, only_candidate + both)
    seen = paired_estimate(*case.cells, bounds=not bar.bare)
    found = _put(bar, seen, _weighed(case), sizes)

    def said() -> str:
        if bar.metric.kind is Kind.AGREEMENT:
            return f"{percent(found.candidate)} of its {n:,} {bar.metric.of} {bar.metric.says}"
        return counts(found, bar.metric.of, bar.metric.says)

    return _worded(bar, found, said)


def block_finding(bar: Bar, case: BlockCase) -> MetricFinding:
    """Report a binary metric of matched requests."""
    return rate_finding(bar, case.rate)


def mean_finding(bar: Bar, case: MeanCase) -> MetricFinding:
    """Report an amount of two arms."""
    put = _put(bar, mean_estimate(case.strata), _weighed(case, case.worst), _sizes(case.strata))
    found = _in_unit(bar.metric, put)
    return _worded(bar, found, lambda: amounts(found, bar.metric.of))


def pair_mean_finding(bar: Bar, case: PairMeanCase) -> MetricFinding:
    """Report an amount of both models on the same requests."""
    found = _in_unit(bar.metric, _put(bar, _seen_on_pairs(case), _weighed(case), _pairs(case)))
    return _worded(bar, found, lambda: amounts(found, bar.metric.of))


def tail_finding(bar: Bar, case: TailCase) -> MetricFinding:
    """Report a distribution: rates are exceedances of one threshold, quantiles are told beside them."""
    weighed = _Weighed(case.harm.peak, case.harm.log_total, case.shown_safe)
    found = _put(bar, _seen(bar, case.strata), weighed, _counts(case.strata))
    edge = edge_of(case.bins[SHOWN]) if case.bins else None
    unit = " s" if bar.metric.kind is Kind.SLOWER else ""

    def said() -> str:
        beyond = counts(found, bar.metric.of, f"{bar.metric.says} {quantity(edge)}{unit}")
        return f"{beyond}; {_quantiles(case, unit)}"

    return _worded(bar, found, said)


def rank_finding(bar: Bar, case: RankCase) -> MetricFinding:
    """Report a ranking: the rates are 1 - AUC."""
    found = _put(bar, mean_estimate(case.mean.strata), _weighed(case.mean), _sizes(case.mean.strata))
    return _worded(bar, found, lambda: _aucs(bar, found))


def pair_rank_finding(bar: Bar, case: PairRankCase) -> MetricFinding:
    """Report a ranking of both models on the same requests: the rates are 1 - AUC."""
    found = _put(bar, _seen_on_pairs(case.mean), _weighed(case.mean), _pairs(case.mean))
    return _worded(bar, found, lambda: _aucs(bar, found))


def calibration_finding(bar: Bar, case: CalibrationCase) -> MetricFinding:
    """Report the expected calibration error of both arms."""
    return _calibrated(bar, mean_estimate(case.mean.strata), case.mean, case.stable, case.candidate)


def pair_share_finding(bar: Bar, case: PairShareCase) -> MetricFinding:
    """Report a rate among requests that each model picks itself, of both models on the same requests."""
    found = _put(bar, share_estimate(case, bounds=not bar.bare), _weighed(case), _picked(case))
    return _worded(bar, found, lambda: counts(found, bar.metric.of, bar.metric.says))


def share_estimate(case: PairShareCase, *, bounds: bool = True) -> Estimate:
    """Estimate both models' rates among what each picks."""
    return picked_estimate(_picked(case), bounds=bounds)


def _picked(case: PairShareCase) -> Stratum:
    return Stratum(1.0, case.n_stable, case.bad_stable, case.n_candidate, case.bad_candidate)


def pair_calibration_finding(bar: Bar, case: PairCalibrationCase) -> MetricFinding:
    """Report the expected calibration error of both models on the same requests."""
    return _calibrated(bar, _seen_on_pairs(case.mean), case.mean, case.stable, case.candidate)


def _calibrated(
    bar: Bar, seen: Estimate, mean: MeanCase | PairMeanCase, stable: Bins, candidate: Bins
) -> MetricFinding:
    found = replace(
        _put(bar, seen, _weighed(mean), Stratum(1.0, sum(stable.n), 0, sum(candidate.n))),
        stable=stable.error,
        candidate=candidate.error,
        stable_low=0.0,
        stable_high=1.0,
        candidate_low=0.0,
        candidate_high=1.0,
    )
    return _worded(bar, found, lambda: amounts(found, bar.metric.of))


def ratio_finding(name: str, case: RatioCase, of: str, *, worded: bool = True) -> MetricFinding:
    """Report the draw's own check as a signal: it holds the rollout, it demotes nobody."""
    n_candidate = sum(one.n_candidate for one in case.strata)
    n = sum(one.n for one in case.strata)
    expected = sum(one.n * one.propensity for one in case.strata) / n if n else None
    observed = n_candidate / n if n else None
    difference = None if observed is None or expected is None else observed - expected
    shares = f"{percent(observed)}, {percent(expected)} expected" if worded else ""
    said = f"{n_candidate:,} of {n:,} {of} were the candidate's ({shares})" if worded else ""
    return _alarm(name, case.mismatch, 1.0 / RATIO_ALPHA, said, difference, (n - n_candidate, n_candidate))


def coverage_finding(name: str, case: CoverageCase, number: int) -> MetricFinding | None:
    """Report that labels go missing in other shares, given the predicted class, the ``number``-th to appear.

    None while they do not.
    """
    enough = number * (number + 1) / RATIO_ALPHA
    if case.mismatch.peak < math.log(enough):
        return None
    seen = estimate(case.strata)
    sizes = sum(one.n_stable for one in case.strata), sum(one.n_candidate for one in case.strata)
    said = f"no label came for {percent(seen.candidate)} of the candidate's, {percent(seen.stable)} of stable's"
    return _alarm(name, case.mismatch, enough, said, seen.difference, sizes)


def counted(found: MetricFinding) -> bool:
    """Whether a metric has to be shown safe before the candidate is promoted."""
    return found.role is not Role.SIGNAL and not found.dry_run


def doubtful(found: MetricFinding) -> bool:
    """Whether the harm evidence now stands above ``1 / sqrt(alpha_m)``: too much to promote over."""
    return found.evidence_now >= _doubt(found.threshold)


def _doubt(threshold: float) -> float:
    return math.sqrt(threshold)


def _alarm(
    name: str, wealth: Wealth, threshold: float, said: str, difference: float | None, sizes: tuple[int, int]
) -> MetricFinding:
    failed = wealth.peak >= math.log(threshold)
    return MetricFinding(
        metric=name,
        role=Role.SIGNAL,
        finding=Finding.FAIL if failed else Finding.INCONCLUSIVE,
        difference=difference,
        evidence=_shown(wealth.peak),
        evidence_now=_shown(wealth.log_total),
        threshold=threshold,
        n_stable=sizes[0],
        n_candidate=sizes[1],
        sentence=f"{name}: {said}: {'the arms cannot be compared' if failed else 'as it should be'}.",
    )


def _seen(bar: Bar, strata: Sequence[Stratum]) -> Estimate:
    return estimate(strata, bounds=not bar.bare)


def bounded(found: MetricFinding, seen: Estimate) -> MetricFinding:
    """Give a bare finding its intervals."""
    return replace(found, **_ends(seen))


class _Ends(TypedDict):
    low: float
    high: float
    stable_low: float
    stable_high: float
    candidate_low: float
    candidate_high: float


def _ends(seen: Estimate) -> _Ends:
    return {
        "low": _finite(seen.difference_interval.low),
        "high": _finite(seen.difference_interval.high),
        "stable_low": _finite(seen.stable_interval.low),
        "stable_high": _finite(seen.stable_interval.high),
        "candidate_low": _finite(seen.candidate_interval.low),
        "candidate_high": _finite(seen.candidate_interval.high),
    }


def _put(bar: Bar, seen: Estimate, weighed: _Weighed, sizes: Stratum) -> MetricFinding:
    """Put numbers together, with what they decide; the sentence follows."""
    finding = _decided(bar, weighed)
    return MetricFinding(
        metric=bar.name,
        role=bar.guardrail.role,
        finding=finding,
        dry_run=bar.guardrail.dry_run,
        stable=seen.stable,
        candidate=seen.candidate,
        difference=seen.difference,
        **_ends(seen),
        evidence=_shown(weighed.peak),
        evidence_now=_shown(weighed.now),
        threshold=bar.threshold,
        promote_evidence=_shown(weighed.safe),
        promote_threshold=bar.promote_threshold,
        needed=_needed(bar, weighed, sizes.n_candidate) if finding is Finding.INCONCLUSIVE else None,
        n_stable=sizes.n_stable,
        n_candidate=sizes.n_candidate,
        bad_stable=sizes.bad_stable,
        bad_candidate=sizes.bad_candidate,
        sentence="",
        amount=bar.metric.kind in (Kind.MEAN, Kind.SHIFT, Kind.CALIBRATION),
    )


def _decided(bar: Bar, weighed: _Weighed) -> Finding:
    enough = math.log(bar.promote_threshold)
    certain = weighed.worst is not None and weighed.worst >= enough
    if _shown(weighed.peak) >= bar.threshold:
        return Finding.FAIL
    doubted = _shown(weighed.now) >= _doubt(bar.threshold)
    safe = weighed.safe >= enough and not doubted and (not bar.waiting or certain)
    return Finding.PASS if safe else Finding.INCONCLUSIVE


def _needed(bar: Bar, weighed: _Weighed, n: int) -> int | None:
    """How many more of the candidate's requests decide it, if evidence grows on as it has; the nearer of both ends."""
    pace = [(weighed.safe, math.log(bar.promote_threshold)), (weighed.now, math.log(bar.threshold))]
    away = [n * (goal - now) / now for now, goal in pace if 0.05 < now < goal]
    return math.ceil(min(away)) if away and n else None


def _worded(bar: Bar, found: MetricFinding, seen: Callable[[], str]) -> MetricFinding:
    """Say a finding, unless it is to stay bare; ``seen`` says it in numbers."""
    if bar.bare:
        return found
    points = not found.amount
    tolerance, margin = (limit(line, points=points) for line in (tolerance_of(bar.guardrail), margin_of(bar.guardrail)))
    waiting = [one for one in (bar.waiting, _forecast(found, bar.elapsed_s)) if one]
    return replace(found, sentence=sentence(found, seen(), tolerance, margin, waiting))


def _forecast(found: MetricFinding, elapsed_s: float) -> str:
    if not found.needed or elapsed_s <= 0.0:
        return ""
    time = lasting(elapsed_s * found.needed / found.n_candidate)
    return f"at this pace decided after about {found.needed:,} more of the candidate's, in about {time}"


def _counts(strata: Sequence[Stratum]) -> Stratum:
    """Add strata up, whatever their propensity."""
    n = [(one.n_stable, one.bad_stable, one.n_candidate, one.bad_candidate) for one in strata]
    return Stratum(1.0, *map(sum, zip(*n, strict=True))) if n else _NONE


def _sizes(strata: Sequence[MeanStratum]) -> Stratum:
    """Count what amounts rest on."""
    return Stratum(1.0, sum(one.stable.n for one in strata), 0, sum(one.candidate.n for one in strata))


def _pairs(case: PairMeanCase) -> Stratum:
    return Stratum(1.0, case.difference.n, 0, case.difference.n)


def _in_unit(metric: Metric, found: MetricFinding) -> MetricFinding:
    """Turn both arms' amounts into the unit that people know; differences stay turned so that above 0 is worse."""

    def told(value: float) -> float:
        return value if abs(value) >= DISPLAY_CAP else metric.told(value)

    stable = sorted((told(found.stable_low), told(found.stable_high)))
    candidate = sorted((told(found.candidate_low), told(found.candidate_high)))
    if metric.squared and found.stable is not None and found.candidate is not None:
        difference = metric.told(found.candidate) - metric.told(found.stable)
        low, high = candidate[0] - stable[1], candidate[1] - stable[0]
        found = replace(found, difference=difference, low=low, high=high)
    return replace(
        found,
        stable=None if found.stable is None else metric.told(found.stable),
        candidate=None if found.candidate is None else metric.told(found.candidate),
        stable_low=stable[0],
        stable_high=stable[1],
        candidate_low=candidate[0],
        candidate_high=candidate[1],
    )


def _seen_on_pairs(case: PairMeanCase) -> Estimate:
    n, alpha = case.difference.n, (1.0 - CONFIDENCE) / 3.0
    if not n:
        return mean_estimate(())
    ends = [
        Interval(one.mean - half_width(one.variance, n, alpha), one.mean + half_width(one.variance, n, alpha))
        for one in (case.stable, case.candidate, case.difference)
    ]
    return Estimate(case.stable.mean, case.candidate.mean, case.difference.mean, *ends)


def _aucs(bar: Bar, found: MetricFinding) -> str:
    aucs = [None if rate is None else 1.0 - rate for rate in (found.candidate, found.stable)]
    return (
        f"the candidate's AUC is {quantity(aucs[0])} (over {found.n_candidate:,} {bar.metric.of}), "
        f"stable's {quantity(aucs[1])} (over {found.n_stable:,})"
    )


def _quantiles(case: TailCase, unit: str) -> str:
    def of(histogram: dict[int, int]) -> str:
        return " / ".join(quantity(quantile(histogram, share)) for share in (0.5, 0.05, 0.01))

    return f"p50 / p95 / p99 are {of(case.candidate)}{unit} against {of(case.stable)}{unit}"


def _shown(log_evidence: float) -> float:
    return math.exp(min(log_evidence, math.log(DISPLAY_CAP)))


def _finite(value: float) -> float:
    return max(-DISPLAY_CAP, min(DISPLAY_CAP, value))
