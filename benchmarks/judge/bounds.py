"""The information bounds that delays are measured against, in candidate samples.

Any test that wrongly demotes with probability at most alpha, whatever law both arms share, needs on average at least
``log(1 / alpha) * pi / I(arm; outcome)`` candidate samples (data-processing inequality at the stopping time).
"""

import math

import numpy as np

ALPHA = 0.05


def binary_kl(p: float, q: float) -> float:
    """Return KL(Bernoulli(p) || Bernoulli(q)) in nats."""
    return sum(a * math.log(a / b) for a, b in ((p, q), (1 - p, 1 - q)) if a > 0)


def of_line(s: float, c: float, pi: float, relative: float = 1.0, absolute: float = 0.0, alpha: float = ALPHA) -> float:
    """Return the bound for rates (s, c) against the line ``c = relative * s + absolute``."""
    grid = np.linspace(max(1e-9, -absolute / relative), min(1.0, (1 - absolute) / relative) - 1e-9, 200_001)
    edge = relative * grid + absolute
    with np.errstate(divide="ignore", invalid="ignore"):
        far = pi * _kl(c, edge) + (1 - pi) * _kl(s, grid)
    return math.log(1 / alpha) * pi / float(np.nanmin(far))


def _kl(p: float, q: np.ndarray) -> np.ndarray:
    first = p * np.log(p / q) if p > 0 else 0.0
    return np.asarray(first + (1 - p) * np.log((1 - p) / (1 - q)) if p < 1 else first)


def of_pairs(only_candidate: float, only_stable: float, alpha: float = ALPHA) -> float:
    """Return the bound, in pairs, for the chances of the two kinds of discordant pairs."""
    both = only_candidate + only_stable
    return math.log(1 / alpha) / (both * binary_kl(only_candidate / both, 0.5))


def of_densities(stable: np.ndarray, candidate: np.ndarray, pi: float, alpha: float = ALPHA) -> float:
    """Return the bound for two laws given as probabilities of the same fine cells."""
    mixed = pi * candidate + (1 - pi) * stable
    information = 0.0
    for share, law in ((pi, candidate), (1 - pi, stable)):
        some = law > 0
        information += share * float(np.sum(law[some] * np.log(law[some] / mixed[some])))
    return math.log(1 / alpha) * pi / information
