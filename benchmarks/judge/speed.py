"""P1 to P9: how soon a regression is found, or an equal candidate shown to be safe, against the information bound."""

import numpy as np

from benchmarks.judge.bounds import ALPHA, of_densities, of_line, of_pairs
from benchmarks.judge.figures import Effort, Figure
from benchmarks.judge.lives import (
    MeanLives,
    PairLives,
    Pairs,
    RateLives,
    Rewards,
    SafetyLives,
    Traffic,
    delays,
    looks,
    reward_law,
    steady,
)
from gateway.core.evidence.rates import Line

FOUR = (("error 1 > 2 %", 0.01, 0.02, 100), ("error 1 > 5 %", 0.01, 0.05, 20),
        ("accuracy .90 > .87", 0.10, 0.13, 100), ("accuracy .90 > .80", 0.10, 0.20, 20))  # fmt: skip


def at_five_percent(effort: Effort) -> list[Figure]:
    """P1: four regressions at 5 % canary; none missed within 12,000 canary samples."""
    lives, found = effort.lives(4_000), []
    for what, s, c, size in FOUR:
        times = delays(RateLives(lives), steady(s, c, 0.05, 201), [20] * 100 + [size] * (240_000 // size), lives)
        found.append(effort.delay("P1", f"{what}, 5 % canary", 1.6, times, of_line(s, c, 0.05)))
    average = float(np.mean([one.reached for one in found]))
    noise = float(np.mean([one.allowance for one in found]))
    return [*found, Figure("P1", "average of the four", 1.5, average, "x bound", noise)]


def at_half(effort: Effort) -> list[Figure]:
    """P2: the same at 50 %."""
    lives, found = effort.lives(4_000), []
    for what, s, c, size in FOUR:
        sizes = [4] * 500 + [size // 5] * (72_000 * 5 // size)
        times = delays(RateLives(lives), steady(s, c, 0.5, 202), sizes, lives)
        found.append(effort.delay("P2", f"{what}, 50 % canary", 1.45, times, of_line(s, c, 0.5)))
    return found


def small_effects(effort: Effort) -> list[Figure]:
    """P3: rare errors, and a quarter more of them."""
    lives, found = effort.lives(2_000), []
    for what, s, c in (("error 0.1 > 0.3 %", 0.001, 0.003), ("error 1 > 1.25 %", 0.01, 0.0125))[: effort.some(2)]:
        times = delays(RateLives(lives), steady(s, c, 0.05, 203), [100] * 100 + [500] * 8_000, lives)
        found.append(effort.delay("P3", f"{what}, 5 % canary", 1.6, times, of_line(s, c, 0.05)))
    return found


def outage(effort: Effort) -> list[Figure]:
    """P4: the candidate answers nothing any more."""
    lives, found = effort.lives(4_000), []
    for pi, most in ((0.05, 3), (0.5, 8)):
        times = delays(RateLives(lives), steady(0.01, 1.0, pi, 204), [1] * 1_000, lives)
        found.append(Figure("P4", f"total outage, {pi:.0%} canary", most, float(np.median(times)), "requests (median)"))
    return found


def rewards(effort: Effort) -> list[Figure]:
    """P5: a reward that falls."""
    lives, found = effort.lives(2_000), []
    for shift in (0.3, 0.1)[: effort.some(2)]:
        source, bound = Rewards(shift, 0.05, 205), of_densities(reward_law(0.0), reward_law(shift), 0.05)
        times = delays(MeanLives(lives), source, [20] * 400 + [100] * 4_000, lives)
        found.append(effort.delay("P5", f"reward -{shift} sd, 5 % canary", 1.45, times, bound))
    return found


def pairs(effort: Effort) -> list[Figure]:
    """P6: a worse shadow, in pairs."""
    lives, found = effort.lives(4_000), []
    for what, b, c in (("accuracy .90 > .87", 0.05, 0.02), ("accuracy .90 > .80", 0.12, 0.02)):
        source = Pairs((b, c, 0.10 - c, 0.90 - b), 206)
        times = delays(PairLives(lives), source, [2] * 500 + [10] * 3_000, lives)
        found.append(effort.delay("P6", f"paired {what}", 1.4, times, of_pairs(b, c)))
    return found


def late(effort: Effort) -> list[Figure]:
    """P7: a regression that starts after 201,600 requests; the bound is log(720 / alpha) / rate."""
    lives, found, change = effort.lives(4_000), [], 201_600
    for c in (0.05, 0.02):
        bound = of_line(0.01, c, 0.05, alpha=ALPHA / 720)
        source = _changing(c, change)
        times = delays(RateLives(lives), source, looks(change, 100) + [100] * 4_000, lives, after=change)
        found.append(effort.delay("P7", f"error 1 > {c:.0%} after 201,600 requests", 1.75, times, bound))
    fewer = max(200, lives // 4)
    never = delays(
        RateLives(fewer, stake=1.0), _changing(0.05, change), looks(change, 100) + [100] * 4_000, fewer, after=change
    )
    sooner = found[0].reached * of_line(0.01, 0.05, 0.05, alpha=ALPHA / 720) / float(never.mean())
    return [*found, Figure("P7", "1 > 5 %, of the delay without restarts", 0.5, sooner, "x")]


def _changing(c: float, change: int) -> Traffic:
    return Traffic(lambda _: 0.01, lambda n: c if n >= change else 0.01, lambda _: 0.05, 207)


def tolerated(effort: Effort) -> list[Figure]:
    """P8b: regressions beyond a tolerance, against the bound to the tolerated half-plane."""
    lives, found = effort.lives(2_000), []
    for what, s, c, line in (
        ("error 1 > 2 %, x1.1 tolerated", 0.01, 0.02, Line(1.1)),
        ("accuracy .90 > .87, 1 pt tolerated", 0.10, 0.13, Line(absolute=0.01)),
    )[: effort.some(2)]:
        bound = of_line(s, c, 0.05, line.relative, line.absolute)
        times = delays(RateLives(lives, line), steady(s, c, 0.05, 208), [20] * 100 + [100] * 4_000, lives)
        found.append(effort.delay("P8b", f"{what}, 5 % canary", 1.75, times, bound))
    return found


def promotion(effort: Effort) -> list[Figure]:
    """P9: an equal candidate, margin 2 points."""
    lives = effort.lives(4_000)
    bound = of_line(0.10, 0.10, 0.05, 1.0, 0.02)
    times = delays(SafetyLives(lives, Line(absolute=0.02)), steady(0.10, 0.10, 0.05, 209), looks(600_000, 100), lives)
    return [effort.delay("P9", "equal candidate shown safe, accuracy margin 2 pt, 5 % canary", 1.35, times, bound)]
