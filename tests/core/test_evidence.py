"""The bets are exact: what they promise holds to the last bits, for every rate, propensity and tolerance."""

import itertools

import numpy as np
import pytest

from gateway.core.evidence.arrays import FloatArray
from gateway.core.evidence.intervals import Stratum, estimate, mean_bounds, paired_estimate
from gateway.core.evidence.pairs import demotion_pair_bets, promotion_pair_bets
from gateway.core.evidence.rates import Line, demotion_bets, pooled_rate, promotion_bets
from gateway.core.evidence.ratio import ratio_bets
from gateway.core.evidence.restarts import advanced, opened, released

PROPENSITIES = (0.001, 0.05, 0.5, 0.9)
RATES = (1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9)
LINES = (
    Line(),
    Line(1.1),
    Line(1.0, 0.005),
    Line(1.5, 0.005),
    Line(0.5, 0.1),
    Line(2.0),
    Line(1.0, 0.3),
    Line(1, -0.01),
)
GRID = np.linspace(0.0, 1.0, 41)


def expected(bets: FloatArray, propensity: float, stable: FloatArray, candidate: FloatArray) -> FloatArray:
    """E[S] of every bet, shape (rates, bets), when the arms' badness is ``stable`` and ``candidate``."""
    s, c = stable[:, None], candidate[:, None]
    factors = np.exp(bets)
    ours = c * factors[:, 0] + (1 - c) * factors[:, 1]
    theirs = s * factors[:, 2] + (1 - s) * factors[:, 3]
    return np.asarray(propensity * ours + (1 - propensity) * theirs)


def side(line: Line, *, above: bool) -> tuple[FloatArray, FloatArray]:
    """All points of the grid on one side of the line, and the line itself."""
    stable, candidate = (axis.ravel() for axis in np.meshgrid(GRID, GRID))
    edge = line.at(stable)
    kept = candidate >= edge if above else candidate <= edge
    on = (line.at(GRID) >= 0) & (line.at(GRID) <= 1)
    return np.append(stable[kept], GRID[on]), np.append(candidate[kept], line.at(GRID[on]))


@pytest.mark.parametrize(("propensity", "rate"), list(itertools.product(PROPENSITIES, RATES)))
def test_a_demotion_bet_is_fair_at_every_rate_while_the_arms_are_alike(propensity: float, rate: float) -> None:
    fair = expected(demotion_bets(rate, propensity, Line()), propensity, GRID, GRID)
    assert np.abs(fair - 1.0).max() <= 1e-12


@pytest.mark.parametrize(("propensity", "line"), list(itertools.product(PROPENSITIES, LINES)))
def test_a_demotion_bet_never_gains_on_a_candidate_that_is_tolerated(propensity: float, line: Line) -> None:
    stable, candidate = side(line, above=False)
    for rate in RATES:
        assert expected(demotion_bets(rate, propensity, line), propensity, stable, candidate).max() <= 1.0 + 1e-9


@pytest.mark.parametrize(("propensity", "line"), list(itertools.product(PROPENSITIES, LINES)))
def test_a_promotion_bet_never_gains_on_a_candidate_beyond_the_margin(propensity: float, line: Line) -> None:
    stable, candidate = side(line, above=True)
    for rate in RATES:
        assert expected(promotion_bets(rate, propensity, line), propensity, stable, candidate).max() <= 1.0 + 1e-9


@pytest.mark.parametrize("line", LINES)
def test_bets_stay_finite_at_every_rate(line: Line) -> None:
    rates = pooled_rate(np.array([0.0, 0.0, 1e9, 5e8]), np.array([0.0, 1e9, 1e9, 1e9]))
    for propensity in (1e-6, 0.5, 1 - 1e-6):
        assert np.isfinite(demotion_bets(rates, propensity, line)).all()
        assert np.isfinite(promotion_bets(rates, propensity, line)).all()


@pytest.mark.parametrize("line", [line for line in LINES if line.absolute >= 0])
def test_a_pair_bet_never_gains_on_a_shadow_that_is_tolerated_however_the_errors_fall_together(line: Line) -> None:
    cells = np.random.default_rng(3).dirichlet(np.ones(4), size=20_000)  # only candidate, only stable, both, neither
    candidate, stable = cells[:, 0] + cells[:, 2], cells[:, 1] + cells[:, 2]
    tolerated = cells[candidate <= line.at(stable)]
    assert (tolerated @ np.exp(demotion_pair_bets(line)).T).max() <= 1.0 + 1e-12
    beyond = cells[candidate >= line.at(stable)]
    assert (beyond @ np.exp(promotion_pair_bets(line)).T).max() <= 1.0 + 1e-12


def test_without_tolerance_pair_bets_are_the_sign_bets_on_discordant_pairs() -> None:
    psi = np.array([1.1, 1.25, 1.5, 2, 3, 5, 10, 30])
    factors = np.exp(demotion_pair_bets(Line()))
    assert factors[:, 0] == pytest.approx(2 * psi / (1 + psi), rel=1e-12)
    assert factors[:, 1] == pytest.approx(2 / (1 + psi), rel=1e-12)
    assert factors[:, 2:] == pytest.approx(1.0)


@pytest.mark.parametrize("propensity", PROPENSITIES)
def test_a_ratio_bet_is_fair_while_requests_come_as_drawn(propensity: float) -> None:
    fair = np.exp(ratio_bets(propensity)) @ np.array([propensity, 1 - propensity])
    assert np.abs(fair - 1.0).max() <= 1e-12


def test_releasing_cash_creates_and_destroys_nothing() -> None:
    weights = np.array([0.2, 0.8])
    bets, cash = np.log(np.array([0.1, 3.0])), np.log(0.4)
    once, kept = released(bets, cash, weights, 7)
    for _ in range(7):
        bets, cash = released(bets, cash, weights, 1)
    assert np.exp(once).sum() + np.exp(kept) == pytest.approx(3.5, rel=1e-12)
    assert once == pytest.approx(bets, rel=1e-12)
    assert kept == pytest.approx(cash, rel=1e-12)


def test_a_tick_that_is_past_counts_as_the_present_one() -> None:
    weights = np.array([1.0])
    wealth = advanced(opened(weights, restarting=True), weights, {100: np.array([0.5])})
    late = advanced(wealth, weights, {3: np.array([0.5])})
    assert late.tick == 100
    assert late == advanced(wealth, weights, {100: np.array([0.5])})


def test_the_peak_stays_when_the_wealth_is_gone() -> None:
    weights = np.array([1.0])
    wealth = advanced(opened(weights, restarting=False), weights, {0: np.array([4.0])})
    wealth = advanced(wealth, weights, {0: np.array([-9.0])})
    assert (wealth.log_total, wealth.peak) == (-5.0, 4.0)


def test_an_interval_covers_a_drifting_mean_at_every_moment() -> None:
    rng, runs = np.random.default_rng(11), 300
    missed = np.zeros(runs, dtype=bool)
    total, truth, n = np.zeros(runs), 0.0, 0
    for step in range(120):
        chance = 0.02 + 0.02 * np.sin(step / 9.0)  # between 0 and 4 %
        total += rng.binomial(50, chance, runs)
        truth, n = truth + 50 * chance, n + 50
        low, high = mean_bounds(total, np.full(runs, float(n)), 0.025)
        missed |= (truth / n < low) | (truth / n > high)
    assert missed.mean() <= 0.05


def test_a_ramp_cannot_pretend_a_difference() -> None:
    # Errors fell from 10 % to 1 % while the candidate grew from 1 % to 50 %; the arms are alike at every moment.
    ramp = [Stratum(0.01, 9_900, 990, 100, 10), Stratum(0.5, 5_000, 50, 5_000, 50)]
    found = estimate(ramp)
    assert found.difference == pytest.approx(0.0, abs=1e-12)
    assert found.difference_interval.low < 0.0 < found.difference_interval.high
    assert 990 + 50 == 1_040  # pooled: 7.0 % of stable's requests failed and 1.2 % of the candidate's


def test_pairs_are_estimated_from_the_same_requests() -> None:
    found = paired_estimate(500, 200, 800, 8_500)
    assert found.difference == pytest.approx(0.03)
    assert 0.0 < found.difference_interval.low < 0.03 < found.difference_interval.high
