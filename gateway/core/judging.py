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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.core.admission import check
from gateway.core.betting import arrived, matured, watched
from gateway.core.block_cases import open_blocks, open_pair_ranks, open_ranks
from gateway.core.calibration import open_calibration
from gateway.core.cases import open_pairs, open_rate, open_ratio
from gateway.core.deployments import Guardrail, Role, Task
from gateway.core.events import EvidenceRow, PairRow
from gateway.core.evidence.intervals import Estimate, Stratum, estimates, paired_estimate
from gateway.core.findings import Finding, MetricFinding, Verdict, all_safe, percent
from gateway.core.judge_state import (
    JUDGE_VERSION,
    LABEL_RATIO,
    PAIRED,
    SAMPLE_RATIO,
    JudgeState,
    n_candidate,
    threshold,
)
from gateway.core.metrics import LABEL, VALUE, Kind, Metric, spelled, told_as
from gateway.core.pair_cases import open_pair_calibration, open_pair_shares
from gateway.core.reports import (
    Bar,
    block_finding,
    bounded,
    calibration_finding,
    counted,
    coverage_finding,
    doubtful,
    mean_finding,
    pair_calibration_finding,
    pair_finding,
    pair_mean_finding,
    pair_rank_finding,
    pair_share_finding,
    rank_finding,
    rate_finding,
    ratio_finding,
    share_estimate,
    tail_finding,
)
from gateway.core.tail_cases import open_slower, open_spread
from gateway.core.tallies import batches, layout
from gateway.core.value_cases import open_mean, open_pair_mean

__all__ = [
    "JUDGE_VERSION",
    "Finding",
    "JudgeState",
    "MetricFinding",
    "Verdict",
    "drawn",
    "look",
    "open_case",
    "verdict",
]

ENOUGH_LABELS = 0.80
"""Share of mature requests that must have a label, in both arms, before a labelled metric can pass."""
EQUAL_LABELS = 0.02
"""By how much the arms' shares of labelled requests may differ."""


def open_case(
    guardrails: tuple[Guardrail, ...],
    *,
    alpha: float,
    alpha_promote: float,
    task: Task,
    at: float,
    pairs: bool = True,
    classes: tuple[int | str, ...] = (),
    scored: bool = True,
    own: bool = True,
    version: str = JUDGE_VERSION,
) -> JudgeState:
    """Open the case of a new candidate at data time ``at``. Raises Unmeasurable for what cannot be judged here.

    Every guardrail about the label is also judged on shadow pairs, as ``paired_<metric>``, unless ``pairs`` says that
    no shadow will ever watch (its share of ``alpha`` then goes to the others). ``classes`` are the model's, the
    positive one last; ``scored`` says whether answers carry probabilities. Without ``own`` there are pairs and nothing
    else. ``version`` is the judge's by whose rules the case is opened.

    >>> from gateway.core.metrics import default_guardrail
    >>> state = open_case((default_guardrail("accuracy"),), alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=0.0)
    >>> sorted(state.rates), sorted(state.pairs), verdict(state, 0.0).finding.value
    (['accuracy'], ['paired_accuracy'], 'inconclusive')
    """
    metrics = check(guardrails, task, pairs=pairs, classes=classes, scored=scored)
    alone = metrics if own else ()
    by_kind = {kind: [one for one in alone if one.kind is kind] for kind in Kind}
    agreements = [one for one in metrics if one.kind is Kind.AGREEMENT]
    paired = [one for one in metrics if pairs and on_pairs(one, version)]
    return JudgeState(
        version=version,
        task=task,
        alpha=alpha,
        alpha_promote=alpha_promote,
        opened_at=at,
        looked_at=at,
        guardrails=guardrails,
        arrivals=open_ratio(),
        labels=open_ratio(),
        rates={one.name: open_rate() for one in by_kind[Kind.RATE]},
        means={one.name: open_mean() for one in by_kind[Kind.MEAN]}
        | {one.name: open_mean(unbounded=True) for one in by_kind[Kind.SHIFT]},
        tails={one.name: open_slower() for one in by_kind[Kind.SLOWER]}
        | {one.name: open_spread() for one in by_kind[Kind.SPREAD]},
        blocks={one.name: open_blocks() for one in by_kind[Kind.BLOCKS]},
        ranks={one.name: open_ranks() for one in by_kind[Kind.RANKING]},
        calibrations={one.name: open_calibration() for one in by_kind[Kind.CALIBRATION]},
        pairs={PAIRED + one.name: open_pairs() for one in paired if one.kind is Kind.RATE}
        | {one.name: open_pairs() for one in agreements},
        paired_means={PAIRED + one.name: open_pair_mean() for one in paired if one.kind is Kind.MEAN},
        paired_ranks={PAIRED + one.name: open_pair_ranks() for one in paired if one.kind is Kind.RANKING},
        paired_shares={PAIRED + one.name: open_pair_shares() for one in paired if one.kind is Kind.BLOCKS},
        paired_calibrations={
            PAIRED + one.name: open_pair_calibration() for one in paired if one.kind is Kind.CALIBRATION
        },
        values={one.outcome: open_ratio() for one in alone if one.outcome != LABEL},
        yes=spelled(classes, task),
        own=own,
    )


def on_pairs(metric: Metric, version: str = JUDGE_VERSION) -> bool:
    """Whether a metric can be judged on what stable and a shadow answered to the same request.

    Its outcome has to be the truth about an answer (a label, an output): a business value followed from stable's alone.

    >>> from gateway.core.metrics import known
    >>> [on_pairs(known(name)) for name in ("accuracy", "mae:delay", "latency", "value:revenue")]
    [True, True, False, False]
    """
    if not metric.labelled or metric.name.startswith(VALUE):
        return False
    if version == "3":
        return metric.outcome == LABEL and metric.kind in (Kind.RATE, Kind.MEAN, Kind.RANKING)
    return True


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

    >>> from gateway.core.metrics import default_guardrail
    >>> state = open_case((default_guardrail("error_rate"),), alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=0.0)
    >>> look(state, health=[], mature=[], pairs=[], at=60.0).looked_at
    60.0
    """
    after = state
    laid = [layout(batch) for batch in batches(health, _seen(state.arrivals.strata))]
    for rows in laid:
        after = arrived(after, rows)
    same = mature is health and _seen(state.due) == _seen(state.arrivals.strata)
    for rows in laid if same else map(layout, batches(mature, _seen(state.due))):
        after = matured(after, rows)
    after = watched(after, pairs)
    n_pairs = _least_paired(after, state.n_pairs + len(pairs))
    return replace(after, looked_at=at, n_candidate=_least_judged(after) if after.own else 0, n_pairs=n_pairs)


def verdict(state: JudgeState, at: float, *, bare: bool = False) -> Verdict:
    """Return what the evidence so far says, in the order of the guardrails; ``at`` is data time, seconds.

    Intervals and sentences are most of the work, and no finding rests on them: a ``bare`` verdict is without.

    Fails when a guardrail (not a dry run) has failed, on its own traffic or on pairs. Passes when every counted
    metric has, no doubt stands against any of them, and requests and labels come from both arms as drawn. A candidate
    without traffic of its own is judged on pairs alone.
    """
    alone = state.guardrails if state.own else ()
    own = [found for one in alone if (found := _own_finding(state, one, bare=bare)) is not None]
    paired = [found for one in state.guardrails if (found := _pair_finding(state, one, bare=bare)) is not None]
    findings = (*own, *paired, *(_alarms(state, worded=not bare) if state.own else ()))
    basis = own if state.own else paired
    fired = [one for one in findings if one.finding is Finding.FAIL and not one.dry_run]
    failed = [one for one in fired if one.role is Role.GUARDRAIL]
    paused_by = tuple(one.metric for one in fired if one.role is Role.SIGNAL)
    open_ones = [one for one in basis if counted(one) and one.finding is not Finding.PASS]
    doubts = [one for one in paired if one.role is Role.GUARDRAIL and not one.dry_run and doubtful(one)]
    if failed:
        return Verdict(Finding.FAIL, findings, at, failed[0].sentence, state.version, paused_by)
    if paused_by:
        reason = next(one.sentence for one in fired if one.metric == paused_by[0])
        return Verdict(Finding.INCONCLUSIVE, findings, at, f"On hold: {reason}", state.version, paused_by)
    if open_ones or doubts:
        return Verdict(Finding.INCONCLUSIVE, findings, at, (open_ones + doubts)[0].sentence, state.version)
    if not any(counted(one) for one in basis):
        return Verdict(Finding.INCONCLUSIVE, findings, at, "No guardrail counts towards a verdict.", state.version)
    return Verdict(Finding.PASS, findings, at, all_safe([one for one in basis if counted(one)]), state.version)


def drawn(bare: Sequence[tuple[JudgeState, Verdict]]) -> list[Verdict]:
    """Return bare verdicts with their intervals, as pictures need them; the search for the ends is shared by all."""
    strata = [
        (number, found.metric, those)
        for number, (state, verdict) in enumerate(bare)
        for found in verdict.findings
        if (those := _strata(state, found.metric)) is not None
    ]
    seen: list[dict[str, Estimate]] = [_seen_on_pairs(state, verdict) for state, verdict in bare]
    for (number, name, _), one in zip(strata, estimates([those for *_, those in strata]), strict=True):
        seen[number][name] = one
    return [_between(verdict, ends) for (_, verdict), ends in zip(bare, seen, strict=True)]


def _between(bare: Verdict, ends: Mapping[str, Estimate]) -> Verdict:
    findings = (bounded(one, ends[one.metric]) if one.metric in ends else one for one in bare.findings)
    return replace(bare, findings=tuple(findings))


def _strata(state: JudgeState, name: str) -> Sequence[Stratum] | None:
    """The counts that a bare finding's intervals are worked out from; None for one that has them, or has none."""
    if name in state.rates:
        return state.rates[name].strata
    if name in state.tails:
        return state.tails[name].strata
    return state.blocks[name].rate.strata if name in state.blocks else None


def _seen_on_pairs(state: JudgeState, verdict: Verdict) -> dict[str, Estimate]:
    names = [found.metric for found in verdict.findings]
    pairs = {name: paired_estimate(*state.pairs[name].cells) for name in names if name in state.pairs}
    return pairs | {name: share_estimate(state.paired_shares[name]) for name in names if name in state.paired_shares}


def _seen(strata: Sequence[Stratum]) -> int:
    return sum(stratum.n for stratum in strata)


def _least_judged(state: JudgeState) -> int:
    counts = [n_candidate(state, one) for one in state.guardrails if one.role is not Role.SIGNAL and not one.dry_run]
    return min(counts, default=sum(one.n_candidate for one in state.arrivals.strata))


def _least_paired(state: JudgeState, handed_in: int) -> int:
    """Without a labelled guardrail nothing is judged on pairs; then a pair counts for having been seen."""
    cells = [sum(case.cells) for case in state.pairs.values()]
    return min(cells + [case.difference.n for case in state.paired_means.values()], default=handed_in)


def _bar(state: JudgeState, guardrail: Guardrail, name: str, waiting: str = "", *, bare: bool) -> Bar:
    return Bar(
        name,
        told_as(guardrail, state.yes),
        guardrail,
        threshold(state),
        1.0 / state.alpha_promote,
        waiting,
        state.looked_at - state.opened_at,
        bare,
    )


def _own_finding(state: JudgeState, guardrail: Guardrail, *, bare: bool) -> MetricFinding | None:
    """Report a guardrail on the arms' own traffic; None for what only pairs can show."""
    metric = told_as(guardrail, state.yes)
    name, kind = metric.name, metric.kind
    waiting = _outcomes_wanting(state, metric.outcome) if metric.labelled else ""
    bar = _bar(state, guardrail, name, waiting, bare=bare)
    if kind is Kind.RATE:
        return rate_finding(bar, state.rates[name])
    if kind in (Kind.MEAN, Kind.SHIFT):
        return mean_finding(bar, state.means[name])
    if kind in (Kind.SLOWER, Kind.SPREAD):
        return tail_finding(bar, state.tails[name])
    if kind is Kind.BLOCKS:
        return block_finding(bar, state.blocks[name])
    if kind is Kind.RANKING:
        return rank_finding(bar, state.ranks[name])
    return calibration_finding(bar, state.calibrations[name]) if kind is Kind.CALIBRATION else None


def _pair_finding(state: JudgeState, guardrail: Guardrail, *, bare: bool) -> MetricFinding | None:
    """Report a guardrail on shadow pairs; None where there are none about it."""
    name = guardrail.metric if guardrail.metric in state.pairs else PAIRED + guardrail.metric
    for cases, report in _ON_PAIRS:
        if (case := getattr(state, cases).get(name)) is not None:
            return report(_bar(state, guardrail, name, bare=bare), case)
    return None


_ON_PAIRS: tuple[tuple[str, Callable[[Bar, Any], MetricFinding]], ...] = (
    ("pairs", pair_finding),
    ("paired_means", pair_mean_finding),
    ("paired_ranks", pair_rank_finding),
    ("paired_shares", pair_share_finding),
    ("paired_calibrations", pair_calibration_finding),
)
"""How the cases of each kind are reported, by the field of the state that holds them."""


def _alarms(state: JudgeState, *, worded: bool) -> list[MetricFinding]:
    """Report whether requests and outcomes come from the arms as drawn; by predicted class only where they do not."""
    found = [
        ratio_finding(SAMPLE_RATIO, state.arrivals, "requests", worded=worded),
        ratio_finding(LABEL_RATIO, state.labels, "labelled requests", worded=worded),
    ]
    found += [
        ratio_finding(f"{LABEL_RATIO}:{name}", case, f"requests with {name}", worded=worded)
        for name, case in state.values.items()
    ]
    by_class = [
        coverage_finding(f"{LABEL_RATIO}:{name}", case, number)
        for number, (name, case) in enumerate(state.coverage.items(), start=1)
    ]
    return found + [one for one in by_class if one is not None]


def _outcomes_wanting(state: JudgeState, outcome: str) -> str:
    """Say what is missing in the outcomes of mature requests; nothing when they are enough and alike in both arms."""
    what = "labels" if outcome == LABEL else outcome
    coverage = _coverage(state.due, (state.labels if outcome == LABEL else state.values[outcome]).strata)
    if coverage is None:
        return f"no {what} are due yet" if outcome == LABEL else f"no {what} is due yet"
    stable, candidate = coverage
    if min(stable, candidate) >= ENOUGH_LABELS and abs(stable - candidate) <= EQUAL_LABELS:
        return ""
    return (
        f"{what} have come for {percent(candidate)} of the candidate's mature requests, {percent(stable)} of stable's "
        f"(at least {percent(ENOUGH_LABELS)} and at most {100 * EQUAL_LABELS:g} points apart are needed)"
    )


def _coverage(due: Sequence[Stratum], come: Sequence[Stratum]) -> tuple[float, float] | None:
    """Share of mature requests whose outcome has come, stable's and the candidate's, over the same traffic.

    Compared within each propensity and averaged by overlap, as all rates are: a storm that cancels flights while the
    candidate's share is small must not look like missing labels of stable's.
    """
    there = {stratum.propensity: stratum for stratum in come}
    shared = [stratum for stratum in due if stratum.n_stable and stratum.n_candidate]
    weight = sum(stratum.overlap for stratum in shared)
    if not weight:
        return None
    stable = candidate = 0.0
    for stratum in shared:
        got = there.get(stratum.propensity, Stratum(stratum.propensity))
        stable += stratum.overlap * got.n_stable / stratum.n_stable
        candidate += stratum.overlap * got.n_candidate / stratum.n_candidate
    return stable / weight, candidate / weight
