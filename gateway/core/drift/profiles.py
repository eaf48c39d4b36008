"""Reference profiles: what every feature looked like in training, as counts over cells that never move.

A *cell* is a bin of a number, a category, or one of the ways in which a value can fail to be there. Because edges and
categories are fixed once, the counts of two workers, two hosts or two windows add up cell by cell, and nothing is lost
by adding. Not here: what the counts mean (:mod:`distances`, :mod:`scores`).
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gateway.core.deployments import Scalar
from gateway.core.drift.joint import Joint
from gateway.core.features import Status

CountArray: TypeAlias = npt.NDArray[np.int64]

BINS = 10
"""Bins of a number, by quantiles of the reference: what PSI's customary thresholds were made for."""
CATEGORIES = 30
"""Categories that have a cell of their own, by frequency; all others, unseen ones too, share one."""
ABSENT, STALE, UNAVAILABLE, INVALID = "absent", "stale", "unavailable", "invalid"
LOST = (ABSENT, STALE, UNAVAILABLE, INVALID)
"""The cells of values that are not there: null or never stored, too old, not read in time, of a wrong kind."""
OTHER = "other"
_ROUNDING = 1e-6
LEVELS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""The quantiles a profile keeps, for people and for effect sizes."""

_LOST_BY_STATUS = {
    Status.NULL: ABSENT,
    Status.MISSING: ABSENT,
    Status.STALE: STALE,
    Status.UNAVAILABLE: UNAVAILABLE,
    Status.INVALID: INVALID,
}


class Kind(StrEnum):
    """How a feature's values are cut into cells."""

    NUMBER = "number"
    CATEGORY = "category"


@dataclass(frozen=True, slots=True)
class FeatureProfile:
    """One feature of the reference.

    ``counts`` has one entry per cell: the bins ``(-inf, edges[0]], (edges[0], edges[1]], ..., (edges[-1], inf)`` of a
    number, or the ``categories`` and then ``other``; after them the cells of :data:`LOST`. ``quantiles`` stand at
    :data:`LEVELS`; with ``mean`` and ``sd`` they are of the values that were there, None for a category.
    ``clustering`` has one entry per score (:mod:`scores`): how much the rows of one period hang together, 0 to 1, in
    periods of about ``period_rows`` rows; empty where rows are taken as independent.
    """

    name: str
    kind: Kind
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()
    mean: float | None = None
    sd: float | None = None
    clustering: tuple[float, ...] = ()
    period_rows: float = 1.0

    @property
    def cells(self) -> tuple[str, ...]:
        """What the cells are called, in the order of ``counts``."""
        if self.kind is Kind.CATEGORY:
            return (*self.categories, OTHER, *LOST)
        bounds = ("-inf", *(f"{edge:g}" for edge in self.edges), "inf")
        bins = [f"({low}, {high}]" for low, high in pairwise(bounds)]
        return (*bins, *LOST)

    @property
    def rows(self) -> int:
        """How many rows the reference had."""
        return sum(self.counts)

    @property
    def missing_rate(self) -> float:
        """The share of the reference's rows without a value."""
        return sum(self.counts[-len(LOST) :]) / self.rows if self.rows else 0.0

    def cell(self, value: Scalar, status: int = Status.PRESENT) -> int:
        """Return the number of the cell that a live value belongs to. Never raises: what does not fit is ``invalid``.

        >>> seen = number_profile("x", [1.0, 2.0, 3.0, 4.0], bins=2)
        >>> [seen.cells[seen.cell(value)] for value in (0.0, 9.0, None, "nine", float("nan"))]
        ['(-inf, 2.5]', '(2.5, inf]', 'absent', 'invalid', 'invalid']
        """
        lost = _LOST_BY_STATUS.get(Status(status)) if status in _KNOWN else INVALID
        if lost is None and value is None:
            lost = ABSENT
        if lost is not None:
            return len(self.counts) - len(LOST) + LOST.index(lost)
        if self.kind is Kind.CATEGORY:
            word = word_of(value)
            return self.categories.index(word) if word in self.categories else len(self.categories)
        if isinstance(value, str) or value is None or (isinstance(value, float) and not math.isfinite(value)):
            return len(self.counts) - 1
        return bisect_left(self.edges, value)  # an integer of any size


_KNOWN = frozenset(int(status) for status in Status)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a model was trained on, feature by feature, and what it answered there (``score``, ``label``).

    ``period_s`` 0: rows are independent draws. Otherwise whole periods of data time (a day, say) are compared, because
    what comes within one hangs together, and ``clustering`` says by how much. ``source`` says where it is from.
    """

    features: tuple[FeatureProfile, ...]
    predictions: tuple[FeatureProfile, ...] = ()
    joint: Joint | None = None
    joint_features: tuple[FeatureProfile, ...] = ()
    period_s: float = 0.0
    source: str = ""
    schema: int = 1

    def named(self, name: str) -> FeatureProfile | None:
        """The profile of one feature, or None."""
        return next((one for one in self.features if one.name == name), None)


def word_of(value: Scalar) -> str:
    """Say a category as text; numbers that are whole read the same whatever their type.

    >>> word_of(1.0), word_of(1), word_of("UA"), word_of(True)
    ('1', '1', 'UA', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def number_profile(name: str, values: Sequence[float | None], bins: int = BINS) -> FeatureProfile:
    """Profile a number by ``bins`` quantile bins; None and NaN count as absent. Values that repeat share a bin.

    >>> number_profile("x", [1.0, 2.0, 3.0, 4.0, None], bins=2).counts
    (2, 2, 1, 0, 0, 0)
    """
    there = np.array([value for value in values if value is not None and math.isfinite(value)], dtype=np.float64)
    lost = (len(values) - len(there), 0, 0, 0)
    if not len(there):
        return FeatureProfile(name, Kind.NUMBER, (0, *lost))
    edges = _apart(np.quantile(there, np.arange(1, bins) / bins), there)
    counts = np.bincount(np.searchsorted(edges, there, side="left"), minlength=len(edges) + 1)
    return FeatureProfile(
        name=name,
        kind=Kind.NUMBER,
        counts=(*(int(count) for count in counts), *lost),
        edges=edges,
        quantiles=tuple(float(value) for value in np.quantile(there, LEVELS)),
        mean=float(there.mean()),
        sd=float(there.std()),
    )


def _apart(cuts: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Keep cuts that are apart by more than rounding, a little above where they fell.

    A compiled model's scores differ by as much; no value may change its bin for that.
    """
    low, high = np.quantile(values, (0.05, 0.95))
    least = float(_ROUNDING * (high - low))
    kept: list[float] = []
    for cut in cuts:
        if cut + least < values.max() and (not kept or cut > kept[-1]):
            kept.append(float(cut) + least)
    return tuple(kept)


def category_profile(name: str, values: Sequence[Scalar], most: int = CATEGORIES) -> FeatureProfile:
    """Profile a category: its ``most`` frequent words each, all others together.

    >>> seen = category_profile("carrier", ["UA", "UA", "AA", "B6", None], most=2)
    >>> dict(zip(seen.cells, seen.counts))["UA"], dict(zip(seen.cells, seen.counts))["other"]
    (2, 1)
    """
    words = Counter(word_of(value) for value in values if not _is_absent(value))
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    kept = dict(ranked[:most])
    rest = sum(count for _, count in ranked[most:])
    absent = len(values) - sum(words.values())
    return FeatureProfile(name, Kind.CATEGORY, (*kept.values(), rest, absent, 0, 0, 0), categories=tuple(kept))


def feature_profile(name: str, values: Sequence[Scalar]) -> FeatureProfile:
    """Profile a feature as a number when all its values are numbers, else as a category (bool too).

    >>> feature_profile("hour", [5, 6, 7]).kind.value, feature_profile("carrier", ["UA", None]).kind.value
    ('number', 'category')
    """
    there = [value for value in values if not _is_absent(value)]
    if there and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in there):
        return number_profile(name, [None if _is_absent(value) else float(value) for value in values])  # type: ignore[arg-type]
    return category_profile(name, values)


def counted(profile: FeatureProfile, values: Sequence[Scalar], statuses: Sequence[int] = ()) -> CountArray:
    """Count live values by cell, shape (cells,). Counts of several workers or windows are merged by adding them.

    >>> seen = number_profile("x", [1.0, 2.0, 3.0, 4.0], bins=2)
    >>> (counted(seen, [1.0, 4.0]) + counted(seen, [4.0, None])).tolist()
    [1, 2, 1, 0, 0, 0]
    """
    found = statuses or [Status.PRESENT] * len(values)
    cells = [profile.cell(value, status) for value, status in zip(values, found, strict=True)]
    return np.bincount(np.array(cells, dtype=np.int64), minlength=len(profile.counts)).astype(np.int64)


def columns_of(names: Sequence[str], rows: Sequence[Sequence[Scalar]]) -> dict[str, list[Scalar]]:
    """Turn rows into named columns."""
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _is_absent(value: Scalar) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


Columns: TypeAlias = Mapping[str, Sequence[Scalar]]
