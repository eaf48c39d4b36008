"""A2 to A9: how often a candidate that is no worse than tolerated is demoted, or one at the margin shown to be safe."""

from collections.abc import Sequence

import numpy as np

from benchmarks.judge.figures import Effort, Figure
from benchmarks.judge.lives import (
    ENOUGH,
    Lives,
    MeanLives,
    PairLives,
    Pairs,
    RateLives,
    Rewards,
    SafetyLives,
    Source,
    Traffic,
    ever,
    looks,
    steady,
)
from gateway.core.evidence.rates import Line

RAMP = (0.01, 0.05, 0.25, 0.50)


def binary(effort: Effort) -> list[Figure]:
    """A2, A3: arms alike, 100,000 requests, a look every 100."""
    lives, found = effort.lives(4_000), []
    for row, goal, what, rate in (("A2", 0.05, "error 1 %", 0.01), ("A3", 0.055, "accuracy .90", 0.10)):
        for pi in (0.05, 0.5):
            share = ever(RateLives(lives), steady(rate, rate, pi, 101), looks(100_000, 100), lives)
            found.append(effort.rate(row, f"alike, {what}, {pi:.0%} canary", goal, share, lives))
    return found


def rewards(effort: Effort) -> list[Figure]:
    """A4: alike rewards."""
    lives, found = effort.lives(2_000), []
    for pi in (0.05, 0.5):
        sizes = looks(20_000 if effort.quick else 100_000, 100)
        share = ever(MeanLives(lives), Rewards(0.0, pi, 104), sizes, lives)
        found.append(effort.rate("A4", f"alike, reward Beta(2,2), {pi:.0%} canary", 0.06, share, lives))
    return found


def pairs(effort: Effort) -> list[Figure]:
    """A5: a shadow that is as good, and disagrees on 6 % of requests."""
    lives = effort.lives(4_000)
    share = ever(PairLives(lives), Pairs((0.03, 0.03, 0.07, 0.87), 105), looks(100_000, 100), lives)
    return [effort.rate("A5", "alike on pairs, 6 % disagree", 0.055, share, lives)]


def long_life(effort: Effort) -> list[Figure]:
    """A6: with restarts, over 600,000 requests."""
    lives = effort.lives(4_000)
    share = ever(RateLives(lives), steady(0.01, 0.01, 0.05, 106), looks(600_000, 400 if effort.quick else 100), lives)
    return [effort.rate("A6", "alike, 600,000 requests with restarts", 0.05, share, lives)]


def drift(requests: int) -> float:
    """Return a base rate that moves from 0.5 to 3 % within 100,000 requests."""
    return 0.005 + 0.025 * requests / 100_000


def ramp(requests: int) -> float:
    """Return the canary's share of a ramp in four steps."""
    return RAMP[min(3, requests // 25_000)]


def ramped(effort: Effort) -> list[Figure]:
    """A7: a ramp while the base rate drifts."""
    lives = effort.lives(4_000)
    share = ever(RateLives(lives), Traffic(drift, drift, ramp, 107), looks(100_000, 100), lives)
    return [effort.rate("A7", "alike, ramp 1>5>25>50 % while the base rate drifts", 0.055, share, lives)]


def family(effort: Effort) -> list[Figure]:
    """A8: four metrics, each with a quarter of alpha."""
    lives, enough = effort.lives(2_000), ENOUGH + float(np.log(4.0))
    quiet: Sequence[tuple[Lives, Source]] = (
        (RateLives(lives), steady(0.01, 0.01, 0.05, 108)),
        (RateLives(lives), steady(0.10, 0.10, 0.05, 109)),
        (MeanLives(lives), Rewards(0.0, 0.05, 110)),
        (PairLives(lives), Pairs((0.03, 0.03, 0.07, 0.87), 111)),
    )
    hit = np.zeros(lives, dtype=bool)
    for size in looks(20_000 if effort.quick else 100_000, 100):
        for judge, source in quiet:
            counts, _, pi = source.draw(size, lives)
            hit |= judge.see(counts, size, pi) >= enough
    return [effort.rate("A8", "alike in four metrics, any of them", 0.05, float(hit.mean()), lives)]


def tolerated(effort: Effort) -> list[Figure]:
    """P8b: a candidate exactly at the tolerance."""
    lives, found = effort.lives(4_000), []
    lines = (("x1.1 (error 1 %)", Line(1.1), 0.01), ("+1 pt (accuracy .90)", Line(absolute=0.01), 0.10))
    for what, line, s in lines[: effort.some(2)]:
        share = ever(RateLives(lives, line), steady(s, float(line.at(s)), 0.05, 113), looks(100_000, 100), lives)
        found.append(effort.rate("P8b", f"exactly at the tolerance {what}", 0.055, share, lives))
    return found


def margin(effort: Effort) -> list[Figure]:
    """A9: a candidate exactly at the margin, 400,000 requests."""
    lives, found, size = effort.lives(2_000), [], 400 if effort.quick else 100
    lines = (("x2 (error 1 %)", Line(2.0), 0.01), ("+2 pt (accuracy .90)", Line(absolute=0.02), 0.10))
    for what, line, s in lines[: effort.some(2)]:
        source = steady(s, float(line.at(s)), 0.05, 114)
        share = ever(SafetyLives(lives, line), source, looks(400_000, size), lives)
        found.append(effort.rate("A9", f"exactly at the margin {what}, shown safe", 0.06, share, lives))
    return found
