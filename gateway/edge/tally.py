"""Counting by the dozen: observations kept in lists and folded into Prometheus a few times a second.

One observation in a file of prometheus_client's multiprocess mode costs microseconds, a request makes a dozen of
them, and nobody reads them more often than this. What must be true at once (how many were answered) is not counted
here. The folding writes the client's own values, whose names a test pins down.
"""

import asyncio
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Histogram, Summary

EVERY_S = 0.01
"""Machine seconds after which what was seen is folded."""


class Folding:
    """Calls ``fold`` a moment after :meth:`soon`, and whenever this process's registry is read."""

    def __init__(self, registry: CollectorRegistry, fold: Callable[[], None]) -> None:
        self._fold = fold
        self._loop: asyncio.AbstractEventLoop | None = None
        registry.register(_First(fold))  # before the metrics it fills: a registry is read in order

    def soon(self) -> None:
        """Fold within ``EVERY_S``, if an event loop runs here; else at the next reading."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(EVERY_S, self._now)

    def _now(self) -> None:
        self._loop = None
        self._fold()


class _First:
    """A collector that yields nothing, and has everything folded before others are read."""

    def __init__(self, fold: Callable[[], None]) -> None:
        self._fold = fold

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Any]:
        self._fold()
        return iter(())


def observe_all(histogram: Histogram, values: list[float]) -> None:
    """Observe many values at once."""
    bounds = histogram._upper_bounds
    for place, count in Counts([bisect_left(bounds, value) for value in values]).items():
        histogram._buckets[place].inc(count)
    histogram._sum.inc(sum(values))


def sum_up(summary: Summary, values: list[float]) -> None:
    """Observe many values of a summary at once."""
    summary._count.inc(len(values))
    summary._sum.inc(sum(values))
