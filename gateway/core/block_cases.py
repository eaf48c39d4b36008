"""Cases about what the arm picks itself: precision and F1, ranking, and labels that go missing by predicted class.

Events of the two arms are matched into blocks (:mod:`gateway.core.evidence.blocks`); a block is evidence at the
propensity ``1 / (1 + k)``. Signals only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gateway.core.cases import RateCase, bet_on_rate, open_rate
from gateway.core.deployments import Guardrail
from gateway.core.evidence.arrays import FloatArray, normalised
from gateway.core.evidence.blocks import Block, Queue, Ranks, matched, ranked
from gateway.core.evidence.intervals import Stratum
from gateway.core.evidence.rates import DEMOTION_WEIGHTS, Line, demotion_bets, settled
from gateway.core.evidence.restarts import Wealth, advanced, opened
from gateway.core.tallies import Sample, Tally, stratified
from gateway.core.value_cases import MeanCase, PairMeanCase, bet_on_mean, bet_on_pair_mean, open_mean, open_pair_mean

BOTH_WAYS = normalised(*DEMOTION_WEIGHTS.tolist() * 2)

_SWAPPED = [1, 0, 3, 2]


@dataclass(frozen=True, slots=True)
class BlockCase:
    """Evidence about a rate among requests that the arm picks itself; ``rate`` counts matched ones."""

    rate: RateCase
    queue: Queue = Queue()


@dataclass(frozen=True, slots=True)
class RankCase:
    """Evidence about how well positives are ranked above negatives: 1 - AUC is the mean of ``mean``."""

    mean: MeanCase
    queue: Queue = Queue()
    stable: Ranks = Ranks()
    candidate: Ranks = Ranks()


@dataclass(frozen=True, slots=True)
class PairRankCase:
    """Evidence about ranking from requests that both models scored: 1 - AUC of either, on the same blocks."""

    mean: PairMeanCase
    ranks: Ranks = Ranks()


@dataclass(frozen=True, slots=True)
class CoverageCase:
    """Evidence that requests of one predicted class lose their labels more often, or less often, with the candidate."""

    mismatch: Wealth
    queue: Queue = Queue()
    strata: tuple[Stratum, ...] = ()


def open_blocks() -> BlockCase:
    """Return a case that has seen nothing."""
    return BlockCase(open_rate())


def open_ranks() -> RankCase:
    """Return a case that has seen nothing."""
    return RankCase(open_mean())


def open_pair_ranks() -> PairRankCase:
    """Return a case that has seen no pair."""
    return PairRankCase(open_pair_mean())


def open_coverage() -> CoverageCase:
    """Return a case that has seen nothing.

    >>> len(open_coverage().mismatch.log_bets)
    16
    """
    return CoverageCase(opened(BOTH_WAYS, restarting=False))


def bet_on_blocks(case: BlockCase, guardrail: Guardrail, tick: int, events: list[tuple[bool, float]]) -> BlockCase:
    """Bet on (ours, bad) events, in their order.

    >>> events = [(n % 2 == 0, float(n % 2 == 0)) for n in range(200)]
    >>> case = bet_on_blocks(open_blocks(), Guardrail("precision"), 0, events)
    >>> case = bet_on_blocks(case, Guardrail("precision"), 0, events)
    >>> case.rate.harm.peak > 20.0, case.rate.strata[0].bad_candidate
    (True, 200)
    """
    queue, blocks = matched(case.queue, events)
    return replace(case, queue=queue, rate=bet_on_rate(case.rate, guardrail, _tallies(tick, blocks)))


def bet_on_ranks(case: RankCase, guardrail: Guardrail, tick: int, scores: list[tuple[bool, bool, float]]) -> RankCase:
    """Bet on (ours, positive, score) of labelled requests, in their order.

    >>> rng = np.random.default_rng(1)
    >>> rows = [(n % 2 == 0, n % 4 < 2, rng.random() + (n % 4 < 2) * (n % 2)) for n in range(1_200)]
    >>> case = open_ranks()
    >>> for start in range(0, 1_200, 100):
    ...     case = bet_on_ranks(case, Guardrail("auc"), 0, rows[start : start + 100])
    >>> case.mean.harm.peak > 20.0                             # the candidate ranks at random, stable perfectly
    True
    """
    candidate, ours = ranked(case.candidate, [(positive, (score,)) for mine, positive, score in scores if mine])
    stable, theirs = ranked(case.stable, [(positive, (score,)) for mine, positive, score in scores if not mine])
    events = [(False, missed) for (missed,) in theirs] + [(True, missed) for (missed,) in ours]
    queue, blocks = matched(case.queue, events)
    mean = bet_on_mean(case.mean, guardrail, _samples(tick, blocks), [], 1.0)
    return RankCase(mean, queue, stable, candidate)


def bet_on_pair_ranks(
    case: PairRankCase, guardrail: Guardrail, tick: int, scores: list[tuple[bool, tuple[float, ...]]]
) -> PairRankCase:
    """Bet on (positive, (stable's, the shadow's) score) of labelled pairs, in their order.

    >>> rng = np.random.default_rng(1)
    >>> rows = [(n % 4 < 2, (rng.random() + (n % 4 < 2), rng.random())) for n in range(400)]
    >>> bet_on_pair_ranks(open_pair_ranks(), Guardrail("auc"), 0, rows).mean.harm.peak > 10.0
    True
    """
    ranks, missed = ranked(case.ranks, scores)
    if not missed:
        return replace(case, ranks=ranks)
    return PairRankCase(bet_on_pair_mean(case.mean, guardrail, {tick: np.array(missed)}, 1.0), ranks)


def bet_on_coverage(case: CoverageCase, events: list[tuple[bool, float]]) -> CoverageCase:
    """Bet on (ours, unlabelled) events of one predicted class, in their order.

    >>> events = [(n % 2 == 0, float(n % 8 == 0)) for n in range(400)]
    >>> bet_on_coverage(bet_on_coverage(open_coverage(), events), events).mismatch.peak > 10.0
    True
    """
    queue, blocks = matched(case.queue, events)
    tallies = _tallies(0, blocks)
    lost = sum(one.bad_stable + one.bad_candidate for one in case.strata)
    rate = settled(lost, sum(one.n for one in case.strata))
    growth = np.zeros(len(BOTH_WAYS))
    for tally in tallies:
        growth += _both_ways(rate, tally)
    wealth = advanced(case.mismatch, BOTH_WAYS, {0: growth}) if tallies else case.mismatch
    return CoverageCase(wealth, queue, stratified(case.strata, tallies))


def _both_ways(rate: float, tally: Tally) -> FloatArray:
    cells = np.array(tally.cells, dtype=np.float64)
    more, fewer = _bets_both_ways(rate, tally.propensity)
    return np.concatenate([more @ cells, fewer @ cells[_SWAPPED]])


@lru_cache(maxsize=4_096)
def _bets_both_ways(rate: float, propensity: float) -> FloatArray:
    """Bets that bad is more common with the candidate, and that good is; worked out once, shape (2, 8, 4)."""
    return demotion_bets(np.array([rate, 1.0 - rate]), propensity, Line())


def _tallies(tick: int, blocks: Sequence[Block]) -> list[Tally]:
    """Count blocks of bad (1) and good (0) events by their size."""
    counts: dict[int, list[int]] = {}
    for block in blocks:
        cells = counts.setdefault(len(block.stable), [0, 0, 0, 0])
        bad = int(sum(block.stable))
        cells[0 if block.candidate else 1] += 1
        cells[2] += bad
        cells[3] += len(block.stable) - bad
    return [Tally(tick, 1.0 / (1 + k), (a, b, c, d)) for k, (a, b, c, d) in sorted(counts.items())]


def _samples(tick: int, blocks: Sequence[Block]) -> list[Sample]:
    """Put the amounts of blocks together by their size."""
    by_size: dict[int, list[Block]] = {}
    for block in blocks:
        by_size.setdefault(len(block.stable), []).append(block)
    return [
        Sample(
            tick,
            1.0 / (1 + k),
            np.array([value for block in some for value in (block.candidate, *block.stable)]),
            np.array([number == 0 for _ in some for number in range(1 + k)]),
        )
        for k, some in sorted(by_size.items())
    ]
