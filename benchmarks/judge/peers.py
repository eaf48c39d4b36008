"""The peers' rules on the same streams: what today's systems would have decided, and when.

Our own re-implementations of the published rules, fed with counts per look; not the products. A fixed threshold over a
window (Flagger, Argo), a z-test repeated at every look, Mann-Whitney on per-minute rates judged every ten minutes
(Kayenta), and GrowthBook's asymptotic confidence sequence (gbstats; its formula was checked against gbstats 0.8.0).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.judge.alarms import drift, ramp
from benchmarks.judge.bounds import of_line
from benchmarks.judge.figures import Effort
from benchmarks.judge.lives import ENOUGH, RateLives, Traffic, steady
from gateway.core.evidence.arrays import FloatArray

LOOK = 100
"""Requests between two looks."""
MINUTE, WINDOW, INTERVAL = 1_200, 6_000, 12_000
"""Requests in a minute, in five minutes and in ten, at twenty a second."""
LEAST = 100
"""Events that each arm must have before a z-test or a confidence sequence speaks."""


def repeated_z(total: FloatArray, level: float = 1.645) -> FloatArray:
    """Demote when a pooled one-sided two-proportion z-test is significant at 5 %."""
    n_c, n_s = total[..., 0] + total[..., 1], total[..., 2] + total[..., 3]
    p = (total[..., 0] + total[..., 2]) / np.maximum(n_c + n_s, 1)
    error = np.sqrt(np.maximum(p * (1 - p) * (1 / np.maximum(n_c, 1) + 1 / np.maximum(n_s, 1)), 1e-12))
    gap = total[..., 0] / np.maximum(n_c, 1) - total[..., 2] / np.maximum(n_s, 1)
    return np.asarray((gap / error > level) & (np.minimum(n_c, n_s) >= LEAST))


def fixed_threshold(window: FloatArray, limit: float = 0.02) -> FloatArray:
    """Demote when the canary's error rate over the window exceeds 2 %."""
    n = window[..., 0] + window[..., 1]
    return np.asarray((window[..., 0] > limit * n) & (n > 0))


def growthbook(total: FloatArray, alpha: float = 0.05, tuning: float = 5_000.0) -> FloatArray:
    """Demote when GrowthBook's one-sided asymptotic confidence sequence for the difference excludes 0."""
    n_c, n_s = total[..., 0] + total[..., 1], total[..., 2] + total[..., 3]
    n = np.maximum(n_c + n_s, 1)
    c, s = total[..., 0] / np.maximum(n_c, 1), total[..., 2] / np.maximum(n_s, 1)
    variance = n * (c * (1 - c) / np.maximum(n_c, 1) + s * (1 - s) / np.maximum(n_s, 1))
    return np.asarray((c - s - sequence_half_width(variance, n, alpha, tuning) > 0) & (np.minimum(n_c, n_s) >= LEAST))


def sequence_half_width(variance: FloatArray, n: FloatArray, alpha: float, tuning: float) -> FloatArray:
    """Return half the width of the one-sided sequence (Waudby-Smith et al., equation 134), as gbstats computes it."""
    a = 2 * alpha
    rho2 = (-2 * np.log(a) + np.log(-2 * np.log(a) + 1)) / tuning
    spread = n * rho2 + 1
    return np.asarray(np.sqrt(variance * 2 * spread / (n * n * rho2) * np.log(1 + np.sqrt(spread) / a)))


def mann_whitney(minutes: FloatArray, tolerance: float = 0.25, level: float = 2.326) -> FloatArray:
    """Demote when per-minute canary error rates lie above stable's: rank test at 99 %, mean at least a quarter higher.

    ``minutes`` has shape (minutes, lives, 4).
    """
    ours = minutes[..., 0] / np.maximum(minutes[..., 0] + minutes[..., 1], 1)
    theirs = minutes[..., 2] / np.maximum(minutes[..., 2] + minutes[..., 3], 1)
    m = len(ours)
    greater = (ours[:, None] > theirs[None]).sum(axis=(0, 1)) + 0.5 * (ours[:, None] == theirs[None]).sum(axis=(0, 1))
    z = (greater - m * m / 2) / np.sqrt(m * m * (2 * m + 1) / 12)
    return np.asarray((z > level) & (ours.mean(axis=0) >= (1 + tolerance) * theirs.mean(axis=0)))


@dataclass(frozen=True, slots=True)
class Scene:
    """A stream, and the bound where there is something to find."""

    name: str
    source: Callable[[int], Traffic]
    requests: int
    bound: float | None = None


SCENES = (
    Scene("alike, error 1 %, 5 %", lambda seed: steady(0.01, 0.01, 0.05, seed), 100_800),
    Scene("alike, error 1 %, 50 %", lambda seed: steady(0.01, 0.01, 0.5, seed), 100_800),
    Scene("alike, ramp under drift", lambda seed: Traffic(drift, drift, ramp, seed), 100_800),
    Scene("1 > 2 %, 5 %", lambda seed: steady(0.01, 0.02, 0.05, seed), 240_000, of_line(0.01, 0.02, 0.05)),
    Scene("1 > 5 %, 5 %", lambda seed: steady(0.01, 0.05, 0.05, seed), 240_000, of_line(0.01, 0.05, 0.05)),
)
RULES = ("this judge", "repeated z-test", "GrowthBook sequential", "fixed threshold 2 %", "Mann-Whitney")


def compare(effort: Effort) -> list[tuple[str, dict[str, str]]]:
    """Return for every rule what it does in every scene: false demotions, or mean delay against the bound."""
    lives = effort.lives(400)
    table: dict[str, dict[str, str]] = {rule: {} for rule in RULES}
    for scene in SCENES:
        for rule, when in _decided(scene, lives).items():
            table[rule][scene.name] = _said(scene, when)
    return list(table.items())


def _said(scene: Scene, when: FloatArray) -> str:
    missed = np.isinf(when)
    if scene.bound is None:
        return f"{100 * (1 - missed.mean()):.1f} %"
    if missed.all():
        return "missed all"
    return f"{when[~missed].mean() / scene.bound:.2f} x" + (
        f", missed {100 * missed.mean():.0f} %" if missed.any() else ""
    )


def _decided(scene: Scene, lives: int) -> dict[str, FloatArray]:
    """Return the canary samples after which each rule demoted each life (infinity: never)."""
    source, judge = scene.source(401), RateLives(lives)
    when = {rule: np.full(lives, np.inf) for rule in RULES}
    total, ours = np.zeros((lives, 4)), np.zeros(lives)
    parts: list[FloatArray] = []
    minutes: list[FloatArray] = []
    for number in range(1, scene.requests // LOOK + 1):
        counts, new, pi = source.draw(LOOK, lives)
        total, ours = total + counts, ours + new
        parts = [*parts[-(WINDOW // LOOK) + 1 :], counts]
        fired = {
            "this judge": judge.see(counts, LOOK, pi) >= ENOUGH,
            "repeated z-test": repeated_z(total),
            "GrowthBook sequential": growthbook(total),
        }
        if number * LOOK % MINUTE == 0:
            minutes = [*minutes[-59:], np.sum(parts[-(MINUTE // LOOK) :], axis=0)]
            fired["fixed threshold 2 %"] = fixed_threshold(np.sum(parts, axis=0))
        if number * LOOK % INTERVAL == 0:
            fired["Mann-Whitney"] = mann_whitney(np.array(minutes))
        for rule, hit in fired.items():
            first = hit & np.isinf(when[rule])
            when[rule][first] = ours[first]
        if scene.bound and all(np.isfinite(one).all() for one in when.values()):
            break
    return when
