"""What the bets reach in simulation: false demotions stay below alpha, real regressions are found soon.

Hundreds of lives at once, as counts per look, through the same functions that the judge uses. Seeds are fixed.
Delays are in candidate requests; ``bound`` is the information bound log(1/alpha) * pi / I(arm; outcome).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from gateway.core.evidence.arrays import FloatArray, log_sum_exp
from gateway.core.evidence.pairs import PAIR_WEIGHTS, demotion_pair_bets
from gateway.core.evidence.rates import (
    DEMOTION_WEIGHTS,
    PROMOTION_WEIGHTS,
    Line,
    demotion_bets,
    pooled_rate,
    promotion_bets,
)
from gateway.core.evidence.ratio import RATIO_WEIGHTS, ratio_bets
from gateway.core.evidence.restarts import STAKE, released

ALPHA = 0.05
REQUESTS_A_TICK = 12_000  # 20 a second, ten minutes
NOBODY_IS_HURT = Line()


@dataclass
class Look:
    """One look of every life: ``cells`` has shape (lives, 4)."""

    requests: int
    propensity: float
    cells: FloatArray


@dataclass
class Lives:
    """The wealth of many lives at once, by the formulas of the evidence files."""

    n_lives: int
    tolerance: Line = NOBODY_IS_HURT
    stake: float = STAKE
    bad: FloatArray = field(init=False)
    log_bets: FloatArray = field(init=False)
    log_cash: float | None = field(init=False)
    n: int = 0

    def __post_init__(self) -> None:
        self.bad = np.zeros(self.n_lives)
        self.log_bets = np.tile(np.log(self.stake * DEMOTION_WEIGHTS), (self.n_lives, 1))
        self.log_cash = float(np.log1p(-self.stake)) if self.stake < 1 else None

    def see(self, look: Look) -> FloatArray:
        """Bet on one look and return the log e-value of every life."""
        bets = demotion_bets(pooled_rate(self.bad, self.n), look.propensity, self.tolerance)
        self.log_bets = self.log_bets + np.einsum("rgc,rc->rg", bets, look.cells)
        ticks = (self.n + look.requests) // REQUESTS_A_TICK - self.n // REQUESTS_A_TICK
        self.bad, self.n = self.bad + look.cells[:, 0] + look.cells[:, 2], self.n + look.requests
        if self.log_cash is None:
            return log_sum_exp(self.log_bets)
        total = log_sum_exp(np.column_stack([self.log_bets, np.full(self.n_lives, self.log_cash)]))
        self.log_bets, self.log_cash = released(self.log_bets, self.log_cash, DEMOTION_WEIGHTS, ticks)
        return total


def life(
    lives: int,
    sizes: list[int],
    propensity: Callable[[int], float],
    stable: Callable[[int], float],
    candidate: Callable[[int], float],
    seed: int,
) -> Iterator[Look]:
    """Draw looks of the given sizes; rates and propensity are functions of the number of requests so far."""
    rng, seen = np.random.default_rng(seed), 0
    for size in sizes:
        pi = propensity(seen)
        ours = rng.binomial(size, pi, lives)
        bad_c, bad_s = rng.binomial(ours, candidate(seen)), rng.binomial(size - ours, stable(seen))
        yield Look(size, pi, np.column_stack([bad_c, ours - bad_c, bad_s, size - ours - bad_s]).astype(np.float64))
        seen += size


def always(value: float) -> Callable[[int], float]:
    return lambda _: value


def looks_of(total: int, size: int) -> list[int]:
    """Small looks first, as in life, then looks of ``size``."""
    return [20] * 50 + [size] * ((total - 1_000) // size)


def ever_demoted(lives: Lives, looks: Iterator[Look]) -> float:
    """The share of lives whose evidence ever reaches 1 / alpha."""
    hit = np.zeros(lives.n_lives, dtype=bool)
    for look in looks:
        hit |= lives.see(look) >= np.log(1 / ALPHA)
    return float(hit.mean())


def delays(lives: Lives, looks: Iterator[Look]) -> FloatArray:
    """The number of candidate requests at which each life was demoted; infinity where it never was."""
    ours, found = np.zeros(lives.n_lives), np.full(lives.n_lives, np.inf)
    for look in looks:
        ours += look.cells[:, 0] + look.cells[:, 1]
        hit = (lives.see(look) >= np.log(1 / ALPHA)) & np.isinf(found)
        found[hit] = ours[hit]
        if np.isfinite(found).all():
            break
    return found


def within_noise(share: float, lives: int) -> bool:
    """Whether a share of false verdicts is no more than alpha and three standard errors."""
    return share <= ALPHA + 3 * float(np.sqrt(ALPHA * (1 - ALPHA) / lives))


@pytest.mark.parametrize(("propensity", "rate"), [(0.05, 0.01), (0.5, 0.01), (0.05, 0.10), (0.5, 0.10)])
def test_a_candidate_like_stable_is_rarely_demoted_in_a_hundred_thousand_requests(
    propensity: float, rate: float
) -> None:
    looks = life(300, looks_of(100_000, 500), always(propensity), always(rate), always(rate), seed=1)
    assert within_noise(ever_demoted(Lives(300), looks), 300)


def test_a_candidate_exactly_at_the_tolerance_is_rarely_demoted() -> None:
    looks = life(300, looks_of(100_000, 500), always(0.05), always(0.01), always(0.011), seed=2)
    assert within_noise(ever_demoted(Lives(300, Line(1.1)), looks), 300)


def test_a_ramp_under_drift_demotes_no_more_often() -> None:
    ramp = [0.01, 0.05, 0.25, 0.50]
    looks = life(
        300,
        looks_of(100_000, 500),
        lambda seen: ramp[min(3, seen // 25_000)],
        lambda seen: 0.005 + 0.025 * seen / 100_000,
        lambda seen: 0.005 + 0.025 * seen / 100_000,
        seed=3,
    )
    assert within_noise(ever_demoted(Lives(300), looks), 300)


def peeking_z_judge(looks: Iterator[Look], lives: int) -> float:
    """The judge we do not want: a pooled two-proportion z-test (one-sided, 5 %) at every look."""
    total, hit = np.zeros((lives, 4)), np.zeros(lives, dtype=bool)
    for look in looks:
        total += look.cells
        n_c, n_s = total[:, 0] + total[:, 1], total[:, 2] + total[:, 3]
        if min(n_c.min(), n_s.min()) < 1:
            continue
        p = (total[:, 0] + total[:, 2]) / (n_c + n_s)
        error = np.sqrt(np.maximum(p * (1 - p) * (1 / n_c + 1 / n_s), 1e-12))
        hit |= (total[:, 0] / n_c - total[:, 2] / n_s) / error > 1.645
    return float(hit.mean())


def test_the_harness_has_teeth_a_peeking_z_test_fails_it() -> None:
    plain = life(300, looks_of(100_000, 500), always(0.05), always(0.01), always(0.01), seed=1)
    assert not within_noise(peeking_z_judge(plain, 300), 300)
    ramp = [0.01, 0.05, 0.25, 0.50]
    drift = life(
        300,
        looks_of(100_000, 500),
        lambda seen: ramp[min(3, seen // 25_000)],
        lambda seen: 0.005 + 0.025 * seen / 100_000,
        lambda seen: 0.005 + 0.025 * seen / 100_000,
        seed=3,
    )
    assert peeking_z_judge(drift, 300) > 0.95


@pytest.mark.parametrize(("propensity", "most"), [(0.05, 3), (0.5, 8)])
def test_a_total_outage_is_found_within_a_handful_of_candidate_requests(propensity: float, most: int) -> None:
    looks = life(200, [1] * 400, always(propensity), always(0.01), always(1.0), seed=4)
    assert np.median(delays(Lives(200), looks)) <= most


@pytest.mark.parametrize(
    ("stable", "candidate", "bound", "size"),
    [(0.01, 0.05, 80, 20), (0.01, 0.02, 817, 100), (0.10, 0.20, 72, 20), (0.10, 0.13, 686, 100)],
)
def test_a_regression_from_the_start_is_found_near_the_information_bound(
    stable: float, candidate: float, bound: int, size: int
) -> None:
    looks = life(300, [size] * 2_000, always(0.05), always(stable), always(candidate), seed=5)
    found = delays(Lives(300), looks)
    assert found.mean() <= 1.75 * bound  # 1.4 to 1.5 over many lives; the rest is the noise of 300


def test_a_late_regression_is_found_in_half_the_time_that_a_judge_without_restarts_takes() -> None:
    healthy, sizes = 201_600, [100] * 24 + [1_200] * 166
    found = {}
    for stake in (STAKE, 1.0):
        lives = Lives(100, stake=stake)
        looks = life(
            100, [*sizes, *[100] * 600], always(0.05), always(0.01), lambda n: 0.05 if n >= healthy else 0.01, seed=6
        )
        for _ in sizes:
            lives.see(next(looks))
        found[stake] = delays(lives, looks).mean()
    assert found[STAKE] <= 1.8 * 255
    assert found[STAKE] <= 0.6 * found[1.0]


def safety(looks: Iterator[Look], margin: Line, lives: int) -> FloatArray:
    """The greatest log evidence of safety that each life reaches."""
    log_bets, bad, n = np.tile(np.log(PROMOTION_WEIGHTS), (lives, 1)), np.zeros(lives), 0
    peak = np.zeros(lives)
    for look in looks:
        bets = promotion_bets(pooled_rate(bad, n), look.propensity, margin)
        log_bets = log_bets + np.einsum("rgc,rc->rg", bets, look.cells)
        bad, n = bad + look.cells[:, 0] + look.cells[:, 2], n + look.requests
        peak = np.maximum(peak, log_sum_exp(log_bets))
    return peak


def test_an_equal_candidate_is_shown_to_be_safe_and_one_at_the_margin_is_not() -> None:
    margin = Line(absolute=0.02)
    equal = life(200, looks_of(120_000, 1_000), always(0.05), always(0.10), always(0.10), seed=7)
    assert (safety(equal, margin, 200) >= np.log(20)).mean() >= 0.95
    worse = life(200, looks_of(120_000, 1_000), always(0.05), always(0.10), always(0.12), seed=8)
    assert within_noise(float((safety(worse, margin, 200) >= np.log(20)).mean()), 200)


def test_no_errors_at_all_are_enough_to_show_that_the_error_rate_is_safe() -> None:
    quiet = life(2, looks_of(4_000, 100), always(0.5), always(0.0), always(0.0), seed=9)
    assert (safety(quiet, Line(1.5, 0.005), 2) >= np.log(20)).all()


def pair_evidence(chances: list[float], pairs: int, lives: int, tolerance: Line) -> FloatArray:
    """Log evidence, shape (looks, lives), over looks of 50 pairs whose cells come with the given chances."""
    rng = np.random.default_rng(10)
    cells = rng.multinomial(50, chances, size=(pairs // 50, lives)).cumsum(axis=0)
    return log_sum_exp(cells @ demotion_pair_bets(tolerance).T + np.log(PAIR_WEIGHTS))


def test_a_shadow_as_good_as_stable_is_rarely_failed_on_pairs_and_a_worse_one_soon() -> None:
    alike = pair_evidence([0.03, 0.03, 0.07, 0.87], 20_000, 400, Line())
    assert within_noise(float((alike.max(axis=0) >= np.log(20)).mean()), 400)
    worse = pair_evidence([0.05, 0.02, 0.08, 0.85], 20_000, 400, Line())
    first = 50 * (1 + (worse >= np.log(20)).argmax(axis=0))
    assert (worse.max(axis=0) >= np.log(20)).all()
    assert first.mean() <= 1.5 * 451


def test_arms_that_do_not_get_their_share_are_noticed_and_arms_that_do_are_not() -> None:
    rng = np.random.default_rng(12)
    for share, least, most in ((0.05, 0.0, 0.03), (0.06, 0.99, 1.0)):
        ours = rng.binomial(200, share, size=(500, 200)).cumsum(axis=0)
        theirs = 200 * np.arange(1, 501)[:, None] - ours
        bets = ratio_bets(0.05)
        log_e = log_sum_exp(ours[..., None] * bets[:, 0] + theirs[..., None] * bets[:, 1] + np.log(RATIO_WEIGHTS)).max(
            axis=0
        )
        assert least <= (log_e >= np.log(100)).mean() <= most
