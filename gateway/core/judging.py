"""The judge: from rows of evidence to a verdict about one candidate. Pure; it reads no clock, log or configuration.

A case is opened once per generation. Each look bets on the rows since the last one, in their order; the bets are
settled by the state before the look (early in a life, by what came before a batch of it). State and verdict are
functions of (state, rows) alone, so any decision can be computed again from the log. What to *do* about a verdict is
the control story's business.

False demotion: every metric that may demote fails at ``1 / alpha_m`` with ``sum alpha_m = alpha`` (Ville and a union
bound, whatever the metrics' dependence and delays). False promotion: every counted metric must show
``1 / alpha_promote`` against its margin (intersection-union: no correction). An outcome is bet on once: the caller
hands every row in exactly once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gateway.core.cases import (
    PairCase,
    RateCase,
    RatioCase,
    bet_on_pairs,
    bet_on_rate,
    bet_on_ratio,
    margin_of,
    open_pairs,
    open_rate,
    open_ratio,
    tolerance_of,
)
from gateway.core.deployments import Guardrail, Role, Task
from gateway.core.errors import Unmeasurable
from gateway.core.events import EvidenceRow, PairRow
from gateway.core.evidence.intervals import Estimate, Stratum, estimate, paired_estimate
from gateway.core.evidence.ratio import RATIO_ALPHA
from gateway.core.evidence.restarts import Wealth
from gateway.core.findings import DISPLAY_CAP, Finding, MetricFinding, Verdict, all_safe, percent, sentence
from gateway.core.metrics import LABEL, METRICS, Metric, measurable
from gateway.core.tallies import Layout, batches, count, count_pairs, layout, stratified

__all__ = ["JUDGE_VERSION", "Finding", "JudgeState", "MetricFinding", "Verdict", "look", "open_case", "verdict"]

JUDGE_VERSION = "1"
PAIRED = "paired_"
SAMPLE_RATIO = "sample_ratio"
LABEL_RATIO = "label_ratio"

ENOUGH_LABELS = 0.80
"""Share of mature requests that must have a label, in both arms, before a labelled metric can pass."""
EQUAL_LABELS = 0.02
"""By how much the arms' shares of labelled requests may differ."""


@dataclass(frozen=True, slots=True)
class JudgeState:
    """Everything the judge remembers of a candidate. Plain data: JSON keeps it bit for bit.

    ``n_candidate`` is the number of the candidate's bets in the counted metric that has fewest, ``n_pairs`` likewise
    for pairs. ``judged_until``, ``matured_until``, ``paired_until`` (data time, seconds) and ``cursor`` (offset by
    spool) belong to the caller, who hands every row in exactly once; the judge carries them along.
    """

    version: str
    task: Task
    alpha: float
    alpha_promote: float
    opened_at: float
    looked_at: float
    guardrails: tuple[Guardrail, ...]
    rates: dict[str, RateCase]
    pairs: dict[str, PairCase]
    arrivals: RatioCase
    labels: RatioCase
    due: tuple[Stratum, ...] = ()
    n_candidate: int = 0
    n_pairs: int = 0
    judged_until: float | None = None
    matured_until: float | None = None
    paired_until: float | None = None
    cursor: dict[str, int] = field(default_factory=dict)


def open_case(
    guardrails: tuple[Guardrail, ...], *, alpha: float, alpha_promote: float, task: Task, at: float, pairs: bool = True
) -> JudgeState:
    """Open the case of a new candidate at data time ``at``. Raises Unmeasurable for what cannot be judged here.

    Every labelled guardrail is also judged on shadow pairs, as ``paired_<metric>``, unless ``pairs`` says that no
    shadow will ever watch (its share of ``alpha`` then goes to the others).

    >>> state = open_case((METRICS["accuracy"].default,), alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=0.0)
    >>> sorted(state.rates), sorted(state.pairs), verdict(state, 0.0).finding.value
    (['accuracy'], ['paired_accuracy'], 'inconclusive')
    """
    found = [measurable(guardrail.metric, task) for guardrail in guardrails]
    for guardrail in guardrails:
        _check(guardrail, guardrails)
    return JudgeState(
        version=JUDGE_VERSION,
        task=task,
        alpha=alpha,
        alpha_promote=alpha_promote,
        opened_at=at,
        looked_at=at,
        guardrails=guardrails,
        rates={metric.name: open_rate() for metric in found},
        pairs={PAIRED + metric.name: open_pairs() for metric in found if metric.labelled and pairs},
        arrivals=open_ratio(),
        labels=open_ratio(),
    )


def look(
    state: JudgeState,
    *,
    health: Sequence[EvidenceRow],
    mature: Sequence[EvidenceRow],
    pairs: Sequence[PairRow],
    at: float,
) -> JudgeState:
    """Return the state after one look at the rows up to the watermark ``at`` (data time, seconds).

    ``health`` are the rows that metrics without labels have not seen yet, ``mature`` those that have reached the age
    at which labels count, ``pairs`` mature requests that a shadow scored too; each in order of position, and each row
    once in a life. Hand in *everything* below the watermark: rows picked by their outcome (canary errors first) are
    not what the draw is about.

    >>> state = open_case((METRICS["error_rate"].default,), alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=0.0)
    >>> look(state, health=[], mature=[], pairs=[], at=60.0).looked_at
    60.0
    """
    after = state
    for batch in batches(health, _seen(state.arrivals.strata)):
        after = _arrived(after, layout(batch))
    for batch in batches(mature, _seen(state.due)):
        after = _matured(after, layout(batch))
    after = _watched(after, pairs)
    n_pairs = _least_paired(after, state.n_pairs + len(pairs))
    return replace(after, looked_at=at, n_candidate=_least_judged(after), n_pairs=n_pairs)


def verdict(state: JudgeState, at: float) -> Verdict:
    """Return what the evidence so far says, in the order of the guardrails; ``at`` is data time, seconds.

    Fails when a guardrail (not a dry run) has failed, on its own traffic or on pairs. Passes when every counted
    metric has, no doubt stands against any of them, and requests and labels come from both arms as drawn.
    """
    alarms = [_ratio_finding(SAMPLE_RATIO, state.arrivals), _ratio_finding(LABEL_RATIO, state.labels)]
    rates = [_rate_finding(state, guardrail) for guardrail in state.guardrails]
    paired = [_pair_finding(state, one) for one in state.guardrails if PAIRED + one.metric in state.pairs]
    findings = (*rates, *paired, *alarms)
    fired = [one for one in findings if one.finding is Finding.FAIL and not one.dry_run]
    failed = [one for one in fired if one.role is Role.GUARDRAIL]
    paused_by = tuple(one.metric for one in fired if one.role is Role.SIGNAL)
    open_ones = [one for one in rates if _counted(one) and one.finding is not Finding.PASS]
    doubts = [one for one in paired if one.role is Role.GUARDRAIL and not one.dry_run and _doubtful(one)]
    if failed:
        return Verdict(Finding.FAIL, findings, at, failed[0].sentence, state.version, paused_by)
    if paused_by:
        reason = next(one.sentence for one in fired if one.metric == paused_by[0])
        return Verdict(Finding.INCONCLUSIVE, findings, at, f"On hold: {reason}", state.version, paused_by)
    if open_ones or doubts:
        return Verdict(Finding.INCONCLUSIVE, findings, at, (open_ones + doubts)[0].sentence, state.version)
    if not any(_counted(one) for one in rates):
        return Verdict(Finding.INCONCLUSIVE, findings, at, "No guardrail counts towards a verdict.", state.version)
    return Verdict(Finding.PASS, findings, at, all_safe([one for one in rates if _counted(one)]), state.version)


def _check(guardrail: Guardrail, guardrails: tuple[Guardrail, ...]) -> None:
    factors = (guardrail.relative, guardrail.margin_relative)
    offsets = (guardrail.absolute, guardrail.margin_absolute)
    if not all(0.0 < factor < math.inf for factor in factors):
        raise Unmeasurable(guardrail.metric, f"a relative tolerance must be above 0, these are {factors}.")
    if not all(-1.0 < offset < 1.0 for offset in offsets):
        raise Unmeasurable(guardrail.metric, f"an absolute tolerance is a share between -1 and 1, these are {offsets}.")
    if sum(one.metric == guardrail.metric for one in guardrails) > 1:
        raise Unmeasurable(guardrail.metric, "it is named more than once.")


def _seen(strata: Sequence[Stratum]) -> int:
    return sum(stratum.n for stratum in strata)


def _arrived(state: JudgeState, rows: Layout) -> JudgeState:
    return replace(
        state,
        rates=_bet_on(state, rows, labelled=False),
        arrivals=bet_on_ratio(state.arrivals, count(rows, _any)),
    )


def _matured(state: JudgeState, rows: Layout) -> JudgeState:
    return replace(
        state,
        rates=_bet_on(state, rows, labelled=True),
        labels=bet_on_ratio(state.labels, count(rows, _labelled)),
        due=stratified(state.due, count(rows, _any)),
    )


def _bet_on(state: JudgeState, rows: Layout, *, labelled: bool) -> dict[str, RateCase]:
    rates = dict(state.rates)
    for guardrail in state.guardrails:
        metric = METRICS[guardrail.metric]
        if metric.labelled is labelled:
            rates[metric.name] = bet_on_rate(rates[metric.name], guardrail, count(rows, metric.value))
    return rates


def _watched(state: JudgeState, rows: Sequence[PairRow]) -> JudgeState:
    pairs = dict(state.pairs)
    for guardrail in state.guardrails:
        if (name := PAIRED + guardrail.metric) in pairs:
            pairs[name] = bet_on_pairs(pairs[name], guardrail, count_pairs(rows, METRICS[guardrail.metric].pair))
    return replace(state, pairs=pairs)


def _any(row: EvidenceRow) -> bool | None:  # noqa: ARG001 - every row counts, as a good one
    return False


def _labelled(row: EvidenceRow) -> bool | None:
    return None if row.outcomes.get(LABEL) is None else False


def _least_judged(state: JudgeState) -> int:
    counted = [one for one in state.guardrails if one.role is not Role.SIGNAL and not one.dry_run]
    cases = [state.rates[one.metric].strata for one in counted] or [state.arrivals.strata]
    return min(sum(stratum.n_candidate for stratum in strata) for strata in cases)


def _least_paired(state: JudgeState, handed_in: int) -> int:
    """Without a labelled guardrail nothing is judged on pairs; then a pair counts for having been seen."""
    return min((sum(case.cells) for case in state.pairs.values()), default=handed_in)


def _threshold(state: JudgeState) -> float:
    """Return ``1 / alpha_m``: alpha split equally over everything that may demote."""
    acting = [one.metric for one in state.guardrails if one.role is Role.GUARDRAIL and not one.dry_run]
    shares = len(acting) + sum(PAIRED + metric in state.pairs for metric in acting)
    return max(1, shares) / state.alpha


def _counted(found: MetricFinding) -> bool:
    return found.role is not Role.SIGNAL and not found.dry_run


def _doubtful(found: MetricFinding) -> bool:
    """Whether the harm evidence now stands above ``1 / sqrt(alpha_m)``: too much to promote over."""
    return found.evidence_now >= math.sqrt(found.threshold)


def _shown(log_evidence: float) -> float:
    return math.exp(min(log_evidence, math.log(DISPLAY_CAP)))


def _rate_finding(state: JudgeState, guardrail: Guardrail) -> MetricFinding:
    metric, case = METRICS[guardrail.metric], state.rates[guardrail.metric]
    found = replace(
        _evidence(state, guardrail, metric.name, case.harm, case.safety, estimate(case.strata)),
        n_stable=sum(one.n_stable for one in case.strata),
        n_candidate=sum(one.n_candidate for one in case.strata),
        bad_stable=sum(one.bad_stable for one in case.strata),
        bad_candidate=sum(one.bad_candidate for one in case.strata),
    )
    return _worded(found, metric, guardrail, _labels_wanting(state) if metric.labelled else "")


def _pair_finding(state: JudgeState, guardrail: Guardrail) -> MetricFinding:
    metric, case = METRICS[guardrail.metric], state.pairs[PAIRED + guardrail.metric]
    only_candidate, only_stable, both, _ = case.cells
    n = sum(case.cells)
    found = replace(
        _evidence(state, guardrail, PAIRED + metric.name, case.harm, case.safety, paired_estimate(*case.cells)),
        n_stable=n,
        n_candidate=n,
        bad_stable=only_stable + both,
        bad_candidate=only_candidate + both,
    )
    return _worded(found, metric, guardrail, "")


def _evidence(
    state: JudgeState, guardrail: Guardrail, name: str, harm: Wealth, safety: Wealth, seen: Estimate
) -> MetricFinding:
    """Put numbers together; finding, counts and sentence follow."""
    return MetricFinding(
        metric=name,
        role=guardrail.role,
        finding=Finding.INCONCLUSIVE,
        dry_run=guardrail.dry_run,
        stable=seen.stable,
        candidate=seen.candidate,
        difference=seen.difference,
        low=seen.difference_interval.low,
        high=seen.difference_interval.high,
        stable_low=seen.stable_interval.low,
        stable_high=seen.stable_interval.high,
        candidate_low=seen.candidate_interval.low,
        candidate_high=seen.candidate_interval.high,
        evidence=_shown(harm.peak),
        evidence_now=_shown(harm.log_total),
        threshold=_threshold(state),
        promote_evidence=_shown(safety.log_total),
        promote_threshold=1.0 / state.alpha_promote,
        n_stable=0,
        n_candidate=0,
        sentence="",
    )


def _worded(found: MetricFinding, metric: Metric, guardrail: Guardrail, waiting: str) -> MetricFinding:
    """Decide the finding and say it. ``waiting`` names what else keeps the metric from passing."""
    shown_safe = (found.promote_evidence or 0.0) >= (found.promote_threshold or math.inf)
    if found.evidence >= found.threshold:
        decided = replace(found, finding=Finding.FAIL)
    elif shown_safe and not _doubtful(found) and not waiting:
        decided = replace(found, finding=Finding.PASS)
    else:
        decided = found
    return replace(decided, sentence=sentence(metric, decided, tolerance_of(guardrail), margin_of(guardrail), waiting))


def _labels_wanting(state: JudgeState) -> str:
    """Say what is missing in the labels of mature requests; nothing when they are enough and alike in both arms."""
    coverage = _coverage(state)
    if coverage is None:
        return "no labels are due yet"
    stable, candidate = coverage
    if min(stable, candidate) >= ENOUGH_LABELS and abs(stable - candidate) <= EQUAL_LABELS:
        return ""
    return (
        f"labels have come for {percent(candidate)} of the candidate's mature requests, {percent(stable)} of stable's "
        f"(at least {percent(ENOUGH_LABELS)} and at most {100 * EQUAL_LABELS:g} points apart are needed)"
    )


def _coverage(state: JudgeState) -> tuple[float, float] | None:
    """Share of mature requests that have a label, stable's and the candidate's, over the same traffic.

    Compared within each propensity and averaged by overlap, as all rates are: a storm that cancels flights while the
    candidate's share is small must not look like missing labels of stable's.
    """
    labelled = {stratum.propensity: stratum for stratum in state.labels.strata}
    shared = [stratum for stratum in state.due if stratum.n_stable and stratum.n_candidate]
    weight = sum(stratum.overlap for stratum in shared)
    if not weight:
        return None
    stable = candidate = 0.0
    for due in shared:
        got = labelled.get(due.propensity, Stratum(due.propensity))
        stable += due.overlap * got.n_stable / due.n_stable
        candidate += due.overlap * got.n_candidate / due.n_candidate
    return stable / weight, candidate / weight


def _ratio_finding(name: str, case: RatioCase) -> MetricFinding:
    """Report the draw's own check as a signal: it holds the rollout, it demotes nobody."""
    n_candidate = sum(one.n_candidate for one in case.strata)
    n = sum(one.n for one in case.strata)
    expected = sum(one.n * one.propensity for one in case.strata) / n if n else None
    observed = n_candidate / n if n else None
    failed = case.mismatch.peak >= -math.log(RATIO_ALPHA)
    of = "labelled requests" if name == LABEL_RATIO else "requests"
    said = f"{n_candidate:,} of {n:,} {of} were the candidate's ({percent(observed)}, {percent(expected)} expected)"
    return MetricFinding(
        metric=name,
        role=Role.SIGNAL,
        finding=Finding.FAIL if failed else Finding.INCONCLUSIVE,
        difference=None if observed is None or expected is None else observed - expected,
        evidence=_shown(case.mismatch.peak),
        evidence_now=_shown(case.mismatch.log_total),
        threshold=1.0 / RATIO_ALPHA,
        n_stable=n - n_candidate,
        n_candidate=n_candidate,
        sentence=f"{name}: {said}: {'the arms cannot be compared' if failed else 'as it should be'}.",
    )
