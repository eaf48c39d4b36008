"""Quantiles of stable's values as thresholds that were fixed beforehand, from a small histogram.

Whether a request takes longer than a threshold is a Bernoulli outcome (:mod:`rates`); with thresholds at stable's p50,
p90, p99 and p99.9 the weighted average of four such bets is one bet on "stochastically slower". A single p99 is slow to
see a plain slow-down and blind to a stretch beyond it; the ends get most of the weight, since a slow-down shows first
at the median and a heavier tail far out. Thresholds are predictable: they rest on stable's values before the look, and
move when stable's number of values has grown by a quarter, from ``SETTLED`` values on when it has doubled.

A histogram counts values by bins on the asinh scale, 9 % wide above ``UNIT``: additive (workers and hosts merge), and
thresholds are edges of bins, so that whether a value exceeds one is a comparison of integers.

Source: Howard & Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
identification" (2022).
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from gateway.core.evidence.arrays import FloatArray, Numbers

UNIT = 1e-4
"""Where the scale turns from straight to logarithmic: 0.1 ms for latencies."""
BIN = float(np.log(2.0)) / 8.0
SLOWER = (0.5, 0.1, 0.01, 0.001)
"""Shares of stable's values above the thresholds of a one-sided comparison: p50, p90, p99, p99.9."""
SPREAD = (0.9, 0.5, 0.1)
"""The same where a law may differ in either direction."""
SLOWER_SHARES = (0.25, 0.15, 0.15, 0.45)
"""How the wealth is spread over the thresholds of ``SLOWER``."""
LEAST_SEEN = 16
"""Stable's values before there is a threshold."""
SETTLED = 1_000

_FURTHEST = 10_000


def bins_of(values: Numbers) -> npt.NDArray[np.int64]:
    """Return each value's bin; infinities get the furthest ones.

    >>> bins_of(np.array([0.0, 0.01, 0.011, np.inf])).tolist()
    [0, 61, 62, 10000]
    """
    with np.errstate(over="ignore"):
        scaled = np.floor(np.arcsinh(np.asarray(values, dtype=np.float64) / UNIT) / BIN)
    return np.clip(scaled, -_FURTHEST, _FURTHEST).astype(np.int64)


def edge_of(position: int) -> float:
    """Return the upper edge of a bin: values above it exceed it.

    >>> round(edge_of(61), 4)
    0.0108
    """
    return float(UNIT * np.sinh(min(position + 1, _FURTHEST // 2) * BIN)) if position < _FURTHEST // 2 else float("inf")


def counted(histogram: Mapping[int, int], positions: npt.NDArray[np.int64]) -> dict[int, int]:
    """Return the histogram with more values in it, by bin in ascending order.

    >>> counted({61: 2}, np.array([61, 3]))
    {3: 1, 61: 3}
    """
    found, times = np.unique(positions, return_counts=True)
    merged = dict(histogram)
    for position, count in zip(found.tolist(), times.tolist(), strict=True):
        merged[position] = merged.get(position, 0) + count
    return dict(sorted(merged.items()))


def due(n: int, taken_at: int) -> bool:
    """Whether thresholds taken at ``taken_at`` of stable's values (0: none yet) are to be taken again at ``n``.

    >>> due(15, 0), due(16, 0), due(100, 90), due(1_500, 1_000), due(2_000, 1_000)
    (False, True, False, False, True)
    """
    return n >= max(LEAST_SEEN, (2.0 if taken_at >= SETTLED else 1.25) * taken_at)


def thresholds(histogram: Mapping[int, int], shares: Iterable[float]) -> tuple[int, ...]:
    """Return for each share the lowest bin with no more than that share of the values above it.

    >>> thresholds({10: 50, 20: 40, 30: 10}, (0.5, 0.1, 0.01))
    (10, 20, 30)
    """
    places = np.fromiter(histogram, dtype=np.int64, count=len(histogram))
    above = 1.0 - np.cumsum(np.fromiter(histogram.values(), dtype=np.float64, count=len(histogram))) / sum(
        histogram.values()
    )
    return tuple(int(places[int(np.argmax(above <= share + 1e-9))]) for share in shares)


def quantile(histogram: Mapping[int, int], share_above: float) -> float | None:
    """Return the finite value (to the bin's upper edge) that no more than this share exceeds; None without any.

    >>> quantile({61: 100, 10_000: 50}, 0.05) == edge_of(61), quantile({}, 0.5)
    (True, None)
    """
    finite = {position: count for position, count in histogram.items() if abs(position) < _FURTHEST}
    return edge_of(thresholds(finite, (share_above,))[0]) if finite else None


def tolerated(values: FloatArray, relative: float, absolute: float) -> FloatArray:
    """Return values as if the tolerance had been taken off: what compares with stable's threshold.

    >>> tolerated(np.array([0.11, 0.2]), 1.1, 0.0).round(3).tolist()
    [0.1, 0.182]
    """
    return np.asarray((values - absolute) / relative, dtype=np.float64)
