"""Many lives of the judge at once: its wealth as arrays, moved by its own functions.

Each class holds what one case of :mod:`gateway.core.cases` holds, with a leading axis of lives, and is fed the counts
of one look of every life. Delays are in candidate samples, seeds are fixed, a life that is decided is let go.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from gateway.core.evidence.arrays import FloatArray, log_sum_exp
from gateway.core.evidence.means import LEAST_SEEN, SHIFT_WEIGHTS, demotion_stakes, mean_growth, scale_of
from gateway.core.evidence.pairs import PAIR_WEIGHTS, demotion_pair_bets
from gateway.core.evidence.rates import (
    DEMOTION_WEIGHTS,
    PROMOTION_WEIGHTS,
    Line,
    demotion_bets,
    promotion_bets,
    settled_rate,
)
from gateway.core.evidence.restarts import STAKE, released

REQUESTS_A_TICK = 12_000
"""Twenty requests a second, ten minutes a restart tick."""
ENOUGH = float(np.log(20.0))
"""Log evidence at which a life is decided, alpha 5 %."""


class Lives(Protocol):
    """Judges of many lives."""

    def see(self, counts: FloatArray, requests: int, propensity: float) -> FloatArray:
        """Bet on one look of ``requests`` requests; return every life's log evidence."""

    def keep(self, alive: "np.ndarray") -> None:
        """Let go of lives that are decided."""


@dataclass
class Restarting:
    """Wealth with restarts (``stake`` 1: without), shape (lives, bets)."""

    lives: int
    weights: FloatArray
    stake: float = STAKE
    seen: int = 0
    tick: int = 0
    log_bets: FloatArray = field(init=False)
    log_cash: float | None = field(init=False)

    def __post_init__(self) -> None:
        self.log_bets = np.tile(np.log(self.stake * self.weights), (self.lives, 1))
        self.log_cash = float(np.log1p(-self.stake)) if self.stake < 1 else None

    def grow(self, growth: FloatArray, requests: int) -> FloatArray:
        """Release what is due, add the look's log growth, and return the log of the total."""
        if self.log_cash is not None:
            now = self.seen // REQUESTS_A_TICK
            self.log_bets, self.log_cash = released(self.log_bets, self.log_cash, self.weights, now - self.tick)
            self.tick = now
        self.log_bets = self.log_bets + growth
        self.seen += requests
        if self.log_cash is None:
            return log_sum_exp(self.log_bets)
        return log_sum_exp(np.column_stack([self.log_bets, np.full(len(self.log_bets), self.log_cash)]))

    def keep(self, alive: np.ndarray) -> None:
        """Let go of the others."""
        self.log_bets = self.log_bets[alive]


class RateLives:
    """A rate case's evidence of harm. Counts have shape (lives, 4), as in ``evidence.rates.CELLS``."""

    def __init__(self, lives: int, line: Line | None = None, stake: float = STAKE) -> None:
        self.line = line or Line()
        self.wealth = Restarting(lives, DEMOTION_WEIGHTS, stake)
        self.bad = np.zeros(lives)
        self.n = np.zeros(lives)

    def see(self, counts: FloatArray, requests: int, propensity: float) -> FloatArray:
        """Bet at the pooled rate of everything before."""
        bets = demotion_bets(settled_rate(self.bad, self.n), propensity, self.line)
        growth = np.einsum("rgc,rc->rg", bets, counts)
        self.bad, self.n = self.bad + counts[:, 0] + counts[:, 2], self.n + counts.sum(axis=1)
        return self.wealth.grow(growth, requests)

    def keep(self, alive: np.ndarray) -> None:
        """Let go of the others."""
        self.wealth.keep(alive)
        self.bad, self.n = self.bad[alive], self.n[alive]


class SafetyLives:
    """A rate case's evidence of safety."""

    def __init__(self, lives: int, margin: Line) -> None:
        self.margin = margin
        self.log_bets = np.tile(np.log(PROMOTION_WEIGHTS), (lives, 1))
        self.bad = np.zeros(lives)
        self.n = np.zeros(lives)

    def see(self, counts: FloatArray, requests: int, propensity: float) -> FloatArray:  # noqa: ARG002
        """Bet at the pooled rate of everything before."""
        bets = promotion_bets(settled_rate(self.bad, self.n), propensity, self.margin)
        self.log_bets = self.log_bets + np.einsum("rgc,rc->rg", bets, counts)
        self.bad, self.n = self.bad + counts[:, 0] + counts[:, 2], self.n + counts.sum(axis=1)
        return log_sum_exp(self.log_bets)

    def keep(self, alive: np.ndarray) -> None:
        """Let go of the others."""
        self.log_bets, self.bad, self.n = self.log_bets[alive], self.bad[alive], self.n[alive]


class PairLives:
    """A pair case's evidence of harm. Counts have shape (lives, 4), as in ``evidence.pairs.CELLS``."""

    def __init__(self, lives: int, line: Line | None = None, stake: float = STAKE) -> None:
        self.bets = demotion_pair_bets(line or Line())
        self.wealth = Restarting(lives, PAIR_WEIGHTS, stake)

    def see(self, counts: FloatArray, requests: int, propensity: float) -> FloatArray:  # noqa: ARG002
        """Bet on the look's pairs."""
        return self.wealth.grow(counts @ self.bets.T, requests)

    def keep(self, alive: np.ndarray) -> None:
        """Let go of the others."""
        self.wealth.keep(alive)


@dataclass
class Traffic:
    """Binary outcomes: rates and propensity as functions of the number of requests so far."""

    stable: Callable[[int], float]
    candidate: Callable[[int], float]
    propensity: Callable[[int], float]
    seed: int
    seen: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def draw(self, size: int, lives: int) -> tuple[FloatArray, FloatArray, float]:
        """Return the look's counts, each life's candidate samples, and the propensity."""
        pi = self.propensity(self.seen)
        ours = self.rng.binomial(size, pi, lives)
        bad_c = self.rng.binomial(ours, self.candidate(self.seen))
        bad_s = self.rng.binomial(size - ours, self.stable(self.seen))
        self.seen += size
        counts = np.column_stack([bad_c, ours - bad_c, bad_s, size - ours - bad_s]).astype(np.float64)
        return counts, ours.astype(np.float64), pi


class Source(Protocol):
    """Where looks come from."""

    def draw(self, size: int, lives: int) -> tuple[FloatArray, FloatArray, float]:
        """Return one look of every life, each life's candidate samples in it, and the propensity."""


def steady(stable: float, candidate: float, pi: float, seed: int) -> Traffic:
    """Return traffic that never changes."""
    return Traffic(lambda _: stable, lambda _: candidate, lambda _: pi, seed)


def looks(total: int, size: int) -> list[int]:
    """Return the looks of a life of ``total`` requests: every 16 at first, then every ``size``."""
    early = [16] * -(-size // 16)
    return early + [size] * ((total - sum(early)) // size)


def ever(judge: Lives, source: Source, sizes: Sequence[int], lives: int, enough: float = ENOUGH) -> float:
    """Return the share of lives whose evidence reaches ``enough`` at any look."""
    left = lives
    for size in sizes:
        counts, _, pi = source.draw(size, left)
        alive = judge.see(counts, size, pi) < enough
        if not alive.all():
            judge.keep(alive)
            left = int(alive.sum())
        if not left:
            break
    return 1.0 - left / lives


def delays(
    judge: Lives, source: Source, sizes: Sequence[int], lives: int, enough: float = ENOUGH, after: int = 0
) -> FloatArray:
    """Return the candidate samples (from request ``after`` on) at which each life was decided; infinity for never.

    Lives decided before ``after`` are left out.
    """
    found: list[float] = []
    ours, seen = np.zeros(lives), 0
    for size in sizes:
        counts, new, pi = source.draw(size, len(ours))
        ours = ours + new if seen >= after else ours
        alive = judge.see(counts, size, pi) < enough
        seen += size
        if not alive.all():
            found.extend(ours[~alive] if seen > after else [])
            judge.keep(alive)
            ours = ours[alive]
        if not len(ours):
            break
    return np.array(found + [np.inf] * len(ours))


class MeanLives:
    """A mean case's evidence of harm, for amounts from 0 to 1."""

    def __init__(self, lives: int, line: Line | None = None, stake: float = STAKE) -> None:
        self.line = line or Line()
        self.wealth = Restarting(lives, SHIFT_WEIGHTS, stake)
        self.n = 0
        self.total = np.zeros(lives)
        self.squares = np.zeros(lives)

    def see_values(self, values: FloatArray, ours: "np.typing.NDArray[np.bool_]", propensity: float) -> FloatArray:
        """Bet on amounts of one look, shape (lives, requests)."""
        if self.n < LEAST_SEEN:
            growth = np.zeros((len(values), len(SHIFT_WEIGHTS)))
        else:
            scale = scale_of(0.0, 1.0, self.n, self.total, self.squares)
            stakes = demotion_stakes(scale, propensity, self.line)
            growth = mean_growth(values, ours, stakes, scale, propensity, self.line)
        self.n += values.shape[1]
        self.total = self.total + values.sum(axis=1)
        self.squares = self.squares + (values * values).sum(axis=1)
        return self.wealth.grow(growth, values.shape[1])

    def see(self, counts: FloatArray, requests: int, propensity: float) -> FloatArray:  # noqa: ARG002
        """Bet on what :class:`Rewards` drew: amounts, with the arm in the sign (the candidate's are below 0)."""
        return self.see_values(np.abs(counts), np.signbit(counts), propensity)

    def keep(self, alive: np.ndarray) -> None:
        """Let go of the others."""
        self.wealth.keep(alive)
        self.total, self.squares = self.total[alive], self.squares[alive]


GRID = (np.arange(100_000) + 0.5) / 100_000


def reward_law(shift: float) -> FloatArray:
    """Return the chances of the cells of ``GRID``: Beta(2, 2), tilted until its mean is ``shift`` deviations higher.

    Of all laws with that mean the tilted one is nearest: the hardest regression to see.
    """
    wanted, low, high = 0.5 + shift * float(np.sqrt(0.05)), 0.0, 20.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        law = GRID * (1 - GRID) * np.exp(middle * GRID)
        law = law / law.sum()
        low, high = (middle, high) if float(law @ GRID) < wanted else (low, middle)
    return np.asarray(law, dtype=np.float64)


@dataclass
class Rewards:
    """Badness of Beta(2, 2) with stable; with the candidate ``shift`` standard deviations worse."""

    shift: float
    propensity: float
    seed: int

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.steps = np.cumsum(reward_law(self.shift)) if self.shift else None

    def draw(self, size: int, lives: int) -> tuple[FloatArray, FloatArray, float]:
        """Return amounts with the arm in their sign, each life's candidate samples, and the propensity."""
        ours = self.rng.random((lives, size)) < self.propensity
        values = np.sort(self.rng.random((3, lives, size)), axis=0)[1]  # the median of three is Beta(2, 2)
        if self.steps is not None:
            values[ours] = np.interp(self.rng.random(int(ours.sum())), self.steps, GRID)
        return np.where(ours, -values, values), ours.sum(axis=1).astype(np.float64), self.propensity


@dataclass
class Pairs:
    """Requests that both models answered, with the chances of the four cells of ``evidence.pairs.CELLS``."""

    chances: tuple[float, float, float, float]
    seed: int

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def draw(self, size: int, lives: int) -> tuple[FloatArray, FloatArray, float]:
        """Return the look's counts and its pairs."""
        return (
            self.rng.multinomial(size, self.chances, lives).astype(np.float64),
            np.full(lives, float(size)),
            0.5,
        )
