"""P8: precision on blocks and latency by quantiles, driven request by request through the judge's own cases."""

from collections.abc import Callable, Iterator
from math import erfc, sqrt

import numpy as np

from benchmarks.judge.bounds import of_line
from benchmarks.judge.figures import Effort, Figure
from benchmarks.judge.lives import ENOUGH
from gateway.core.block_cases import bet_on_blocks, open_blocks
from gateway.core.deployments import Guardrail
from gateway.core.evidence.arrays import FloatArray
from gateway.core.tail_cases import bet_on_slower, open_slower
from gateway.core.tallies import Sample

PI = 0.05
SPREAD = 0.5
"""Of log latency."""
LOUDEST = 200_000


def precision(effort: Effort) -> list[Figure]:
    """Precision .80 > .70 in matched blocks; delays in the canary's positive answers."""
    lives = effort.lives(1_000)
    times = np.array([_precision_delay(seed, 0.20, 0.30) for seed in range(lives)])
    found = [effort.delay("P8", "precision .80 > .70 on blocks, 5 % canary", 1.55, times, of_line(0.20, 0.30, PI))]
    quiet = effort.lives(400)
    most = 2_000 if effort.quick else 20_000
    hit = np.mean([np.isfinite(_precision_delay(seed, 0.20, 0.20, most)) for seed in range(10_000, 10_000 + quiet)])
    return [*found, effort.rate("P8", f"alike, precision .80, {most:,} positive answers", 0.055, float(hit), quiet)]


def _precision_delay(seed: int, s: float, c: float, most: int = LOUDEST) -> float:
    rng, case, guardrail, ours_so_far = np.random.default_rng([308, seed]), open_blocks(), Guardrail("precision"), 0
    for size in _sizes(20, most):
        ours = rng.random(size) < PI
        bad = rng.random(size) < np.where(ours, c, s)
        events = list(zip(ours.tolist(), bad.astype(float).tolist(), strict=True))
        case = bet_on_blocks(case, guardrail, 0, events)
        ours_so_far += int(ours.sum())
        if case.rate.harm.peak >= ENOUGH:
            return float(ours_so_far)
    return float("inf")


def latency(effort: Effort) -> list[Figure]:
    """Latency x1.2, and one request in a hundred ten times slower, against the best single threshold."""
    lives, found = effort.lives(1_000), []
    for what, goal, change, beyond in (
        ("latency x1.2", 1.7, _slower, lambda u: _above(u - np.log(1.2))),
        ("latency, 1 % of requests +10x", 2.3, _tail, lambda u: 0.99 * _above(u) + 0.01 * _above(u - np.log(10.0))),
    )[: effort.some(2)]:
        times = np.array([_latency_delay(seed, change) for seed in range(lives)])
        found.append(effort.delay("P8", f"{what}, 5 % canary", goal, times, _best_threshold(beyond)))
    quiet = effort.lives(400)
    most = 2_000 if effort.quick else 20_000
    hit = np.mean([np.isfinite(_latency_delay(seed, _same, most)) for seed in range(10_000, 10_000 + quiet)])
    return [*found, effort.rate("P8", f"alike, latency, {most:,} requests", 0.055, float(hit), quiet)]


def _latency_delay(
    seed: int, change: Callable[[np.random.Generator, FloatArray], FloatArray], most: int = LOUDEST
) -> float:
    rng, case, ours_so_far = np.random.default_rng([309, seed]), open_slower(), 0
    guardrail = Guardrail("latency")
    for size in _sizes(50, most):
        ours, values = rng.random(size) < PI, rng.lognormal(-3.0, SPREAD, size)
        values = np.where(ours, change(rng, values), values)
        case = bet_on_slower(case, guardrail, [Sample(0, PI, values, ours)])
        ours_so_far += int(ours.sum())
        if case.harm.peak >= ENOUGH:
            return float(ours_so_far)
    return float("inf")


def _sizes(usual: int, most: int) -> Iterator[int]:
    """Looks of 16 at first, as the judge cuts them, then of the usual size; longer as life goes on."""
    seen = 0
    while seen < most:
        size = 16 if seen < 64 else max(usual, seen // 50)
        yield size
        seen += size


def _same(rng: np.random.Generator, values: FloatArray) -> FloatArray:  # noqa: ARG001 - one of three changes
    return values


def _slower(rng: np.random.Generator, values: FloatArray) -> FloatArray:  # noqa: ARG001
    return values * 1.2


def _tail(rng: np.random.Generator, values: FloatArray) -> FloatArray:
    return np.where(rng.random(len(values)) < 0.01, values * 10.0, values)


def _above(log_ratio: float) -> float:
    """The share of latencies above the median times exp(log_ratio)."""

    return 0.5 * erfc(log_ratio / SPREAD / sqrt(2.0))


def _best_threshold(beyond: Callable[[float], float]) -> float:
    """The bound of the best of stable's p50, p90, p99 and p99.9."""
    edges = [SPREAD * z for z in (0.0, 1.2815515655446004, 2.3263478740408408, 3.090232306167813)]
    return min(of_line(_above(edge), beyond(edge), PI) for edge in edges)
