"""Cases: what the judge keeps for one metric, and how a look's counts turn into wealth.

A case joins the evidence processes of one metric with the counts behind its estimates. Bets are settled by the case as
it stood before the look, so a case after a look is a function of (case, counts).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.core.deployments import Guardrail
from gateway.core.evidence.arrays import FloatArray
from gateway.core.evidence.intervals import Stratum
from gateway.core.evidence.pairs import PAIR_WEIGHTS, demotion_pair_bets, promotion_pair_bets
from gateway.core.evidence.rates import (
    DEMOTION_WEIGHTS,
    PROMOTION_WEIGHTS,
    Line,
    kept_demotion_bets,
    kept_promotion_bets,
    settled,
)
from gateway.core.evidence.ratio import RATIO_WEIGHTS, kept_ratio_bets
from gateway.core.evidence.restarts import Wealth, advanced, opened
from gateway.core.tallies import Tally, stratified


@dataclass(frozen=True, slots=True)
class RateCase:
    """Evidence about one binary metric: of harm (with restarts), of safety, and the counts behind the estimates.

    ``worst`` is safety as if every missing label spoke against the candidate (Manski's bound).
    """

    harm: Wealth
    safety: Wealth
    strata: tuple[Stratum, ...] = ()
    worst: Wealth = opened(PROMOTION_WEIGHTS, restarting=False)


@dataclass(frozen=True, slots=True)
class PairCase:
    """Evidence from requests that stable served and a shadow scored too; cells as in ``evidence.pairs.CELLS``."""

    harm: Wealth
    safety: Wealth
    cells: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class RatioCase:
    """Evidence that requests do not come from the arms as drawn. Strata count arms only."""

    mismatch: Wealth
    strata: tuple[Stratum, ...] = ()


def open_rate() -> RateCase:
    """Return a case that has seen nothing.

    >>> open_rate().harm.peak, open_rate().strata
    (0.0, ())
    """
    return RateCase(opened(DEMOTION_WEIGHTS, restarting=True), opened(PROMOTION_WEIGHTS, restarting=False))


def open_pairs() -> PairCase:
    """Return a case that has seen no pair.

    >>> open_pairs().cells
    (0, 0, 0, 0)
    """
    return PairCase(opened(PAIR_WEIGHTS, restarting=True), opened(PAIR_WEIGHTS, restarting=False))


def open_ratio() -> RatioCase:
    """Return a case that has seen no request.

    >>> open_ratio().mismatch.log_cash is None
    True
    """
    return RatioCase(opened(RATIO_WEIGHTS, restarting=False))


def tolerance_of(guardrail: Guardrail) -> Line:
    """Return the line above which the candidate has to go."""
    return Line(guardrail.relative, guardrail.absolute)


def margin_of(guardrail: Guardrail) -> Line:
    """Return the line below which the candidate has to be shown before it is promoted."""
    return Line(guardrail.margin_relative, guardrail.margin_absolute)


def bet_on_rate(
    case: RateCase, guardrail: Guardrail, tallies: Sequence[Tally], missing: Sequence[Tally] = ()
) -> RateCase:
    """Bet on outcomes at the pooled rate of everything before it. ``missing`` counts rows whose label never came.

    >>> guardrail = Guardrail("error_rate", relative=1.1, margin_absolute=0.01)
    >>> case = bet_on_rate(open_rate(), guardrail, [Tally(0, 0.05, (0, 5, 1, 94))])
    >>> outage = bet_on_rate(case, guardrail, [Tally(0, 0.05, (4, 0, 1, 75))])
    >>> outage.harm.log_total > 3.0 > case.harm.log_total
    True
    """
    if not tallies and not missing:
        return case
    bad = sum(one.bad_stable + one.bad_candidate for one in case.strata)
    rate = settled(bad, sum(one.n for one in case.strata))
    against, towards = tolerance_of(guardrail), margin_of(guardrail)
    harm = _growth(tallies, lambda propensity: kept_demotion_bets(rate, propensity, against))
    safety = _growth(tallies, lambda propensity: kept_promotion_bets(rate, propensity, towards))
    doubt = _growth(missing, lambda propensity: kept_promotion_bets(rate, propensity, towards))
    safe = advanced(case.safety, PROMOTION_WEIGHTS, safety)
    worst = safe if case.worst == case.safety else advanced(case.worst, PROMOTION_WEIGHTS, safety)
    return RateCase(
        advanced(case.harm, DEMOTION_WEIGHTS, harm),
        safe,
        stratified(case.strata, tallies),
        advanced(worst, PROMOTION_WEIGHTS, doubt),
    )


def bet_on_pairs(case: PairCase, guardrail: Guardrail, counts: Mapping[int, tuple[int, int, int, int]]) -> PairCase:
    """Bet on one look's pairs, counted by restart tick.

    >>> bet_on_pairs(open_pairs(), Guardrail("accuracy"), {0: (30, 5, 10, 55)}).harm.peak > 3.0
    True
    """
    if not counts:
        return case
    harm, safety = demotion_pair_bets(tolerance_of(guardrail)), promotion_pair_bets(margin_of(guardrail))
    arrays = {tick: np.array(cells, dtype=np.float64) for tick, cells in counts.items()}
    a, b, c, d = (sum(cells[i] for cells in counts.values()) + case.cells[i] for i in range(4))
    return PairCase(
        advanced(case.harm, PAIR_WEIGHTS, {tick: harm @ cells for tick, cells in arrays.items()}),
        advanced(case.safety, PAIR_WEIGHTS, {tick: safety @ cells for tick, cells in arrays.items()}),
        (a, b, c, d),
    )


def bet_on_ratio(case: RatioCase, tallies: Sequence[Tally]) -> RatioCase:
    """Bet on which arm the requests came from, whatever became of them.

    >>> lopsided = bet_on_ratio(open_ratio(), [Tally(0, 0.5, (0, 500, 0, 700))])
    >>> lopsided.mismatch.peak > 4.6
    True
    """
    if not tallies:
        return case
    growth = np.zeros(len(RATIO_WEIGHTS))
    for tally in tallies:
        growth += kept_ratio_bets(tally.propensity) @ np.array([tally.n_candidate, tally.n_stable], dtype=np.float64)
    return RatioCase(advanced(case.mismatch, RATIO_WEIGHTS, {0: growth}), stratified(case.strata, tallies))


def _growth(tallies: Sequence[Tally], bets: Callable[[float], FloatArray]) -> dict[int, FloatArray]:
    """Return the log growth of every bet, shape (bets,), by restart tick."""
    factors = {propensity: bets(propensity) for propensity in {tally.propensity for tally in tallies}}
    growth: dict[int, FloatArray] = {}
    for tally in tallies:
        grown = factors[tally.propensity] @ np.array(tally.cells, dtype=np.float64)
        growth[tally.tick] = growth[tally.tick] + grown if tally.tick in growth else grown
    return growth
