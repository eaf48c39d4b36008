"""The bets on amounts, tails and blocks are fair; the intervals beside them are what others compute."""

import itertools
import math

import numpy as np
import pytest

from gateway.core.evidence.arrays import FloatArray
from gateway.core.evidence.asymptotic import MeanStratum, Moments, half_width, mean_estimate
from gateway.core.evidence.blocks import MOST, Queue, Ranks, matched, ranked
from gateway.core.evidence.means import Scale, demotion_stakes, mean_growth, promotion_stakes, scale_of
from gateway.core.evidence.pairs import difference_growth
from gateway.core.evidence.rates import Line
from gateway.core.evidence.shifts import shift_growth
from gateway.core.evidence.tails import bins_of, counted, edge_of, quantile, thresholds

PROPENSITIES = (0.001, 0.05, 0.5, 0.9)
LINES = (Line(), Line(1.1), Line(1.0, 0.02), Line(1.5, 0.05))
SUPPORT = np.linspace(0.0, 1.0, 11)
BOTH = (np.array([True]), np.array([False]))


def laws(count: int, seed: int) -> FloatArray:
    """Laws on ``SUPPORT``, from nearly certain to nearly even."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.dirichlet(np.full(11, weight), count) for weight in (0.1, 1.0, 10.0)])


def factors(stakes: FloatArray, scale: Scale, propensity: float, line: Line) -> tuple[FloatArray, FloatArray]:
    """S of every bet at every value of the support, shape (11, bets), for the candidate and for stable."""
    ours, theirs = (
        np.exp([mean_growth(np.array([y]), arm, stakes, scale, propensity, line) for y in SUPPORT]) for arm in BOTH
    )
    return ours, theirs


@pytest.mark.parametrize(("propensity", "line"), list(itertools.product(PROPENSITIES, LINES)))
def test_a_bet_on_a_mean_never_gains_on_a_candidate_whose_mean_is_tolerated(propensity: float, line: Line) -> None:
    stable, candidate = laws(300, 1), laws(300, 2)
    above = candidate @ SUPPORT - line.at(stable @ SUPPORT)
    for scale in (Scale(0.0, 1.0, 0.3, 0.2), Scale(0.0, 1.0, 0.01, 0.001), Scale(0.0, 1.0, 0.99, 0.5)):
        for stakes, kept in (
            (demotion_stakes(scale, propensity, line), above <= 0),
            (promotion_stakes(scale, propensity, line), above >= 0),
        ):
            ours, theirs = factors(stakes, scale, propensity, line)
            expected = propensity * (candidate @ ours) + (1 - propensity) * (stable @ theirs)
            assert (ours > 0).all()
            assert (theirs > 0).all()
            assert expected[kept].max() <= 1.0 + 1e-9


@pytest.mark.parametrize("propensity", PROPENSITIES)
def test_a_bet_on_a_shift_is_fair_at_every_value_and_never_gains_on_a_candidate_that_lies_lower(
    propensity: float,
) -> None:
    z = np.linspace(-4.0, 4.0, 41)
    for higher in (True, False):
        ours, theirs = (
            np.exp([shift_growth(np.array([v]), arm, propensity, higher=higher) for v in z]) for arm in BOTH
        )
        assert np.abs(propensity * ours + (1 - propensity) * theirs - 1.0).max() <= 1e-12
        steps = np.diff(ours, axis=0)
        assert ((steps >= 0) if higher else (steps <= 0)).all()  # q moves one way: the stochastic order is enough


@pytest.mark.parametrize("line", LINES)
def test_a_bet_on_paired_amounts_never_gains_on_a_shadow_that_is_tolerated(line: Line) -> None:
    cells = [(np.array([c]), np.array([s])) for s in SUPPORT for c in SUPPORT]
    grown = {harm: np.exp([difference_growth(c, s, 1.0, line, harm=harm) for c, s in cells]) for harm in (True, False)}
    for joint in np.random.default_rng(4).dirichlet(np.full(121, 0.05), 2_000):  # stable by candidate
        square = joint.reshape(11, 11)
        candidate, stable = square.sum(axis=0) @ SUPPORT, square.sum(axis=1) @ SUPPORT
        tolerated = bool(candidate <= line.at(stable))
        assert (joint @ grown[tolerated]).max() <= 1.0 + 1e-9


def test_a_block_that_shares_one_rate_is_a_fair_bet() -> None:
    for k, mean in itertools.product((1, 3, 20), (0.05, 0.4)):
        share, scale = 1.0 / (1 + k), Scale(0.0, 1.0, 0.2, 0.3)
        ours, theirs = factors(demotion_stakes(scale, share, Line()), scale, share, Line())
        law = np.zeros(11)
        law[0], law[10] = 1 - mean, mean
        assert ((law @ ours) * (law @ theirs) ** k).max() <= 1.0 + 1e-12


def test_each_candidate_event_gets_the_nearest_unused_stable_ones_and_the_surplus_is_dropped() -> None:
    queue = Queue(n_candidate=10, n_stable=30)
    events = [(False, float(n)) for n in range(30)] + [(True, 1.0), (True, 2.0)]
    after, blocks = matched(queue, events)
    assert [block.stable for block in blocks] == [(27.0, 28.0, 29.0), (24.0, 25.0, 26.0)]
    assert len(after.stable) == MOST - 6
    assert (after.n_candidate, after.n_stable) == (12, 60)


def test_a_candidate_event_without_partners_waits_and_not_for_ever() -> None:
    queue, blocks = matched(Queue(n_candidate=1, n_stable=2), [(True, float(n)) for n in range(30)])
    assert (blocks, len(queue.candidate)) == ([], MOST)
    assert matched(queue, [(False, 0.0)])[1][0].candidate == 29.0  # the nearest


def test_positives_are_ranked_against_the_next_negatives_of_their_arm() -> None:
    ranks, missed = ranked(
        Ranks(n_positive=1, n_negative=2), [(True, (0.5,)), (False, (0.4,)), (False, (0.5,)), (False, (0.9,))]
    )
    assert missed == [(0.25,)]
    assert ranks.negatives == ((0.9,),)


def test_quantiles_are_edges_of_bins_that_no_more_than_their_share_exceeds() -> None:
    rng = np.random.default_rng(5)
    values = rng.lognormal(-3.0, 0.5, 20_000)
    histogram = counted({}, bins_of(values))
    for share, bin_ in zip((0.5, 0.1, 0.01), thresholds(histogram, (0.5, 0.1, 0.01)), strict=True):
        beyond = float((bins_of(values) > bin_).mean())
        assert share * 0.6 <= beyond <= share
        assert edge_of(bin_) == pytest.approx(np.quantile(values, 1 - share), rel=0.1)
    assert quantile(histogram, 0.5) == pytest.approx(math.exp(-3.0), rel=0.1)


def test_a_failure_lies_beyond_every_edge_and_leaves_the_quantiles_finite() -> None:
    histogram = counted({}, bins_of(np.array([0.01, 0.02, np.inf, np.inf])))
    assert thresholds(histogram, (0.5,)) == (int(bins_of(np.array(0.02))),)
    assert quantile(histogram, 0.01) == edge_of(int(bins_of(np.array(0.02))))
    assert edge_of(10_000) == math.inf


@pytest.mark.parametrize(
    ("variance", "n", "expected"),
    [
        (0.0001956, 2_000, 0.043688259076519284),
        (2.8650105263157895e-06, 100_000, 0.005648079173645328),
        (5.0258078125e-05, 980, 0.023920158915776472),
    ],
)
def test_the_asymptotic_interval_is_that_of_gbstats(variance: float, n: int, expected: float) -> None:
    # SequentialTwoSidedTTest of gbstats 0.8.0, alpha 5 %, tuning 5,000; it gives the variance of the difference
    assert half_width(variance * n, n, 0.05) == pytest.approx(expected, rel=1e-12)


def test_a_ramp_cannot_pretend_a_difference_between_means() -> None:
    def arm(n: int, mean: float) -> Moments:
        return Moments(n, n * mean, n * (mean * mean + 1.0))

    ramp = [MeanStratum(0.01, arm(9_900, 10.0), arm(100, 10.0)), MeanStratum(0.5, arm(5_000, 1.0), arm(5_000, 1.0))]
    found = mean_estimate(ramp)
    assert found.difference == pytest.approx(0.0, abs=1e-12)
    assert found.difference_interval.low < 0.0 < found.difference_interval.high


def test_an_asymptotic_interval_covers_at_nearly_every_moment() -> None:
    rng, runs = np.random.default_rng(6), 400
    total, squares, missed = np.zeros(runs), np.zeros(runs), np.zeros(runs, dtype=bool)
    for n in range(200, 20_001, 200):
        values = rng.exponential(1.0, (runs, 200))
        total, squares = total + values.sum(axis=1), squares + (values**2).sum(axis=1)
        spread = squares / n - (total / n) ** 2
        missed |= np.abs(total / n - 1.0) > [half_width(float(one), n) for one in spread]
    assert missed.mean() <= 0.05


def test_a_scale_of_equal_values_still_has_a_spread() -> None:
    scale = scale_of(0.0, 1.0, 50, 25.0, 12.5)
    assert 0.0 < float(np.asarray(scale.spread)) < 0.001
