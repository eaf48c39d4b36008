"""How one look's rows become bets: for every guardrail by its kind, in the order of the rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gateway.core.block_cases import (
    CoverageCase,
    bet_on_blocks,
    bet_on_coverage,
    bet_on_pair_ranks,
    bet_on_ranks,
    open_coverage,
)
from gateway.core.calibration import bet_on_calibration
from gateway.core.cases import bet_on_pairs, bet_on_rate, bet_on_ratio
from gateway.core.deployments import Task
from gateway.core.events import EvidenceRow, PairRow
from gateway.core.evidence.restarts import tick_of
from gateway.core.judge_state import PAIRED, JudgeState
from gateway.core.losses import confidence, name_of
from gateway.core.metrics import LABEL, Kind, Metric, compared, known, told_as
from gateway.core.pair_cases import bet_on_pair_calibration, bet_on_pair_shares
from gateway.core.tail_cases import bet_on_slower, bet_on_spread
from gateway.core.tallies import (
    Layout,
    Sample,
    Tally,
    by_tick,
    count,
    count_pairs,
    everyone,
    measured,
    measured_pairs,
    stratified,
)
from gateway.core.value_cases import bet_on_mean, bet_on_pair_mean, bet_on_shift

MOST_CLASSES = 10
"""Predicted classes whose labels are watched one by one."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows of one batch, those whose outcome never came (by outcome), and the restart tick they end in."""

    rows: Layout
    missing: Mapping[str, tuple[Sample, ...]]
    tick: int


def arrived(state: JudgeState, rows: Layout) -> JudgeState:
    """Bet on what needs no label, and on whether requests come from the arms as drawn."""
    cases = _bet(state, _Batch(rows, {}, _last(rows)), labelled=False)
    return replace(state, **cases, arrivals=bet_on_ratio(state.arrivals, everyone(rows)))


def matured(state: JudgeState, rows: Layout) -> JudgeState:
    """Bet on what waited for outcomes, and on whether those come alike from both arms."""
    due = everyone(rows)
    outcomes = (LABEL, *state.values)
    posted = {name: count(rows, _posted(name)) for name in outcomes}
    n = sum(sum(tally.cells) for tally in due)
    lacking = [name for name in outcomes if sum(sum(tally.cells) for tally in posted[name]) < n]
    missing = {name: measured(rows, _lacking(name)) for name in lacking}
    cases = _bet(state, _Batch(rows, missing, _last(rows)), labelled=True)
    return replace(
        state,
        **cases,
        labels=bet_on_ratio(state.labels, posted[LABEL]),
        values={name: bet_on_ratio(case, posted[name]) for name, case in state.values.items()},
        due=stratified(state.due, due),
        coverage=_covered(state, rows),
    )


def watched(state: JudgeState, rows: Sequence[PairRow]) -> JudgeState:
    """Bet on requests that a shadow answered too."""
    if not rows:
        return state
    last = tick_of(rows[-1].position.at)
    pairs, means, ranks = dict(state.pairs), dict(state.paired_means), dict(state.paired_ranks)
    shares, calibrations = dict(state.paired_shares), dict(state.paired_calibrations)
    for guardrail in state.guardrails:
        metric, terms = told_as(guardrail, state.yes), compared(guardrail)
        name = metric.name if metric.kind is Kind.AGREEMENT else PAIRED + metric.name
        if name in pairs:
            pairs[name] = bet_on_pairs(pairs[name], guardrail, count_pairs(rows, metric.pair))
        elif name in means:
            means[name] = bet_on_pair_mean(means[name], terms, measured_pairs(rows, metric.amounts), metric.high)
        elif name in ranks:
            ranks[name] = bet_on_pair_ranks(ranks[name], guardrail, last, _ranked_pairs(rows, metric))
        elif name in shares:
            shares[name] = bet_on_pair_shares(shares[name], guardrail, by_tick(rows, metric.picked))
        elif name in calibrations:
            both = {tick: np.array(found) for tick, found in by_tick(rows, _confidences(metric)).items()}
            calibrations[name] = bet_on_pair_calibration(calibrations[name], guardrail, both)
    return replace(
        state,
        pairs=pairs,
        paired_means=means,
        paired_ranks=ranks,
        paired_shares=shares,
        paired_calibrations=calibrations,
    )


def _bet(state: JudgeState, batch: _Batch, *, labelled: bool) -> dict[str, Any]:
    """Let every guardrail of one clock bet on a batch; the state's fields of cases as they are then."""
    rates, means, tails = dict(state.rates), dict(state.means), dict(state.tails)
    blocks, ranks, calibrations = dict(state.blocks), dict(state.ranks), dict(state.calibrations)
    for guardrail in state.guardrails:
        metric = told_as(guardrail, state.yes)
        if metric.labelled is not labelled or not batch.rows.rows:
            continue
        name, kind, terms = metric.name, metric.kind, compared(guardrail)
        if kind is Kind.RATE:
            missing = _against(batch.missing.get(metric.outcome, ()))
            rates[name] = bet_on_rate(rates[name], terms, count(batch.rows, metric.value), missing)
        elif kind in (Kind.MEAN, Kind.SHIFT):
            lost, samples = batch.missing.get(metric.outcome, ()), measured(batch.rows, metric.amount)
            bounded = kind is Kind.MEAN
            means[name] = (
                bet_on_mean(means[name], terms, samples, lost, metric.high)
                if bounded
                else bet_on_shift(means[name], terms, samples, lost)
            )
        elif kind in (Kind.SLOWER, Kind.SPREAD):
            bet = bet_on_slower if kind is Kind.SLOWER else bet_on_spread
            tails[name] = bet(tails[name], terms, measured(batch.rows, metric.amount))
        elif kind is Kind.BLOCKS:
            blocks[name] = bet_on_blocks(blocks[name], terms, batch.tick, _events(batch.rows, metric))
        elif kind is Kind.RANKING:
            ranks[name] = bet_on_ranks(ranks[name], terms, batch.tick, scores_of(batch.rows.rows, metric))
        elif kind is Kind.CALIBRATION:
            said, came = measured(batch.rows, _said(metric)), measured(batch.rows, _came(metric))
            calibrations[name] = bet_on_calibration(calibrations[name], terms, said, came)
    return {
        "rates": rates,
        "means": means,
        "tails": tails,
        "blocks": blocks,
        "ranks": ranks,
        "calibrations": calibrations,
    }


def _last(rows: Layout) -> int:
    return rows.keys[-1][0] if rows.keys else 0


def _posted(name: str) -> Callable[[EvidenceRow], bool | None]:
    return lambda row: None if row.outcomes.get(name) is None else False


def _lacking(name: str) -> Callable[[EvidenceRow], float | None]:
    return lambda row: 1.0 if row.outcomes.get(name) is None else None


def _against(missing: Sequence[Sample]) -> list[Tally]:
    """Count rows without a label as if they spoke against the candidate: bad ones of its own, good ones of stable's."""
    return [Tally(one.tick, one.propensity, (int(one.ours.sum()), 0, 0, int((~one.ours).sum()))) for one in missing]


def _events(rows: Layout, metric: Metric) -> list[tuple[bool, float]]:
    found = ((row.candidate, metric.value(row)) for row in rows.rows)
    return [(ours, float(bad)) for ours, bad in found if bad is not None]


def scores_of(rows: Iterable[EvidenceRow], metric: Metric) -> list[tuple[bool, bool, float]]:
    """(Candidate's, positive, score) of labelled requests; a failed one is last of positives, first of negatives."""
    found: list[tuple[bool, bool, float]] = []
    for row in rows:
        truth = row.outcomes.get(LABEL)
        if truth is None or (row.score is None and not row.failed):
            continue
        hit = metric.positive(truth)
        found.append((row.candidate, hit, _worst(hit) if row.failed or row.score is None else row.score))
    return found


def _ranked_pairs(rows: Sequence[PairRow], metric: Metric) -> list[tuple[bool, tuple[float, ...]]]:
    """The same for pairs: (positive, (stable's, the shadow's) score)."""
    found: list[tuple[bool, tuple[float, ...]]] = []
    for row in rows:
        truth = row.outcomes.get(LABEL)
        if truth is None:
            continue
        hit = metric.positive(truth)
        shadow = _worst(hit) if row.shadow_failed else row.shadow_score
        if row.stable_score is not None and shadow is not None:
            found.append((hit, (row.stable_score, shadow)))
    return found


def _worst(hit: bool) -> float:
    return -1.0 if hit else 2.0


def said_and_came(row: EvidenceRow, metric: Metric) -> tuple[float, bool] | None:
    """The probability of an answer and whether it came true, where it gave one and the truth is known."""
    truth = row.outcomes.get(LABEL)
    if truth is None or row.failed:
        return None
    known_as = truth if row.scores is not None else metric.positive(truth)
    return confidence(row.label, row.score, row.scores, known_as)


def _confidences(metric: Metric) -> Callable[[PairRow], tuple[float, float, float, float] | None]:
    """Both models' probabilities of their answers and whether those came true, where both gave one."""

    def found(row: PairRow) -> tuple[float, float, float, float] | None:
        truth = row.outcomes.get(LABEL)
        if truth is None or row.shadow_failed:
            return None
        known_as = truth if row.stable_scores is not None else metric.positive(truth)
        stable = confidence(row.stable_label, row.stable_score, row.stable_scores, known_as)
        shadow = confidence(row.shadow_label, row.shadow_score, row.shadow_scores, known_as)
        return None if stable is None or shadow is None else (stable[0], float(stable[1]), shadow[0], float(shadow[1]))

    return found


def _said(metric: Metric) -> Callable[[EvidenceRow], float | None]:
    return lambda row: None if (found := said_and_came(row, metric)) is None else found[0]


def _came(metric: Metric) -> Callable[[EvidenceRow], float | None]:
    return lambda row: None if (found := said_and_came(row, metric)) is None else float(found[1])


def _covered(state: JudgeState, rows: Layout) -> dict[str, CoverageCase]:
    """Bet, by predicted class, on whether labels come; only where a guardrail waits for labels at all."""
    waiting = (known(one.metric) for one in state.guardrails)
    if state.task is Task.REGRESSION or not any(one.labelled and one.outcome == LABEL for one in waiting):
        return state.coverage
    events: dict[str, list[tuple[bool, float]]] = {}
    for row in rows.rows:
        if row.label is not None and not row.failed:
            unlabelled = float(row.outcomes.get(LABEL) is None)
            events.setdefault(name_of(row.label), []).append((row.candidate, unlabelled))
    coverage = dict(state.coverage)
    for name, those in events.items():
        if name in coverage or len(coverage) < MOST_CLASSES:
            coverage[name] = bet_on_coverage(coverage.get(name) or open_coverage(), those)
    return coverage
