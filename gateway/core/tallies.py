"""Rows of one look, counted. After this nothing knows single requests: order inside a look cannot matter.

Counts are integers per (restart tick, propensity) and cell, so the sums are exact in any order.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from gateway.core.events import EvidenceRow, PairRow
from gateway.core.evidence.arrays import FloatArray
from gateway.core.evidence.asymptotic import MeanStratum
from gateway.core.evidence.intervals import Stratum
from gateway.core.evidence.restarts import tick_of

_T = TypeVar("_T")
_FIRST_BATCH = 16


@dataclass(frozen=True, slots=True)
class Layout:
    """The randomised rows of a look, and where each belongs: worked out once, used by every metric.

    ``keys`` are (restart tick, propensity), sorted; ``places`` holds for each row ``4 * key + 2 * stable``.
    """

    rows: tuple[EvidenceRow, ...]
    keys: tuple[tuple[int, float], ...]
    places: tuple[int, ...]


class Tally(NamedTuple):
    """Counts at one restart tick and one propensity, in the order of ``evidence.rates.CELLS``."""

    tick: int
    propensity: float
    cells: tuple[int, int, int, int]

    @property
    def n_candidate(self) -> int:
        """The candidate's requests."""
        return self.cells[0] + self.cells[1]

    @property
    def n_stable(self) -> int:
        """Stable's requests."""
        return self.cells[2] + self.cells[3]


@dataclass(frozen=True, slots=True)
class Sample:
    """Amounts at one restart tick and one propensity, in the order of the rows; ``ours`` are the candidate's."""

    tick: int
    propensity: float
    values: FloatArray
    ours: npt.NDArray[np.bool_]


def batches(rows: Sequence[_T], seen: int) -> Iterator[Sequence[_T]]:
    """Cut rows, in their order, wherever the number seen in the whole life has doubled (at first, every 16 rows).

    A look is one batch once the life is longer than the look. Early on, bets that rest on a pooled rate of nothing
    would be lost on a long first look; each batch is bet on at the rate of everything before *it*.

    >>> [len(batch) for batch in batches([None] * 100, 0)], [len(batch) for batch in batches([None] * 100, 5_000)]
    ([16, 16, 32, 36], [100])
    """
    start = 0
    while start < len(rows):
        stop = start + max(_FIRST_BATCH, seen + start)
        yield rows[start:stop]
        start = stop


def layout(rows: Sequence[EvidenceRow]) -> Layout:
    """Lay out the rows that a draw decided: a propensity of 0 or 1 is no draw and no evidence.

    >>> layout([]).keys
    ()
    """
    drawn = tuple(row for row in rows if 0.0 < row.propensity < 1.0)
    placed = [(tick_of(row.position.at), row.propensity) for row in drawn]
    keys = tuple(sorted(set(placed)))
    index = {key: 4 * number for number, key in enumerate(keys)}
    return Layout(
        drawn, keys, tuple([index[key] + 2 * (not row.candidate) for key, row in zip(placed, drawn, strict=True)])
    )


def count(rows: Layout, value: Callable[[EvidenceRow], bool | None]) -> tuple[Tally, ...]:
    """Count bad and good outcomes by arm; rows whose value is None are left out, and keys without any row."""
    cells = [0] * (4 * len(rows.keys))  # most looks are short: plain counting is quicker than an array
    for place, row in zip(rows.places, rows.rows, strict=True):
        bad = value(row)
        if bad is not None:
            cells[place + (not bad)] += 1
    return _tallied(rows, cells)


def _tallied(rows: Layout, cells: list[int]) -> tuple[Tally, ...]:
    by_key = zip(rows.keys, cells[0::4], cells[1::4], cells[2::4], cells[3::4], strict=True)
    return tuple([Tally(*key, (a, b, c, d)) for key, a, b, c, d in by_key if a or b or c or d])


def everyone(rows: Layout) -> tuple[Tally, ...]:
    """Count every row as a good one.

    >>> everyone(layout([]))
    ()
    """
    cells = [0] * (4 * len(rows.keys))
    for place in rows.places:
        cells[place + 1] += 1
    return _tallied(rows, cells)


def measured(rows: Layout, amount: Callable[[EvidenceRow], float | None]) -> tuple[Sample, ...]:
    """Take the amounts of rows by restart tick and propensity; rows whose amount is None are left out."""
    amounts = (np.nan if (one := amount(row)) is None else one for row in rows.rows)
    return sampled(rows, np.fromiter(amounts, dtype=np.float64, count=len(rows.rows)))


def sampled(rows: Layout, values: FloatArray) -> tuple[Sample, ...]:
    """Part the values of rows, in their order, by restart tick and propensity; NaN is left out."""
    counts, places = ~np.isnan(values), np.array(rows.places, dtype=np.int64)
    numbers, ours = places // 4, places % 4 == 0
    found = []
    for number, (tick, propensity) in enumerate(rows.keys):
        kept = counts & (numbers == number)
        if kept.any():
            found.append(Sample(tick, propensity, values[kept], ours[kept]))
    return tuple(found)


def by_tick(rows: Iterable[PairRow], value: Callable[[PairRow], _T | None]) -> dict[int, list[_T]]:
    """Take a value of each pair by restart tick, in order; pairs whose value is None are left out."""
    found: dict[int, list[_T]] = {}
    for row in rows:
        both = value(row)
        if both is not None:
            found.setdefault(tick_of(row.position.at), []).append(both)
    return dict(sorted(found.items()))


def measured_pairs(
    rows: Iterable[PairRow], amounts: Callable[[PairRow], tuple[float, float] | None]
) -> dict[int, FloatArray]:
    """Take (stable's, the shadow's) amounts by restart tick, shape (pairs, 2)."""
    return {tick: np.array(pairs, dtype=np.float64) for tick, pairs in by_tick(rows, amounts).items()}


def count_pairs(
    rows: Iterable[PairRow], value: Callable[[PairRow], tuple[bool, bool] | None]
) -> dict[int, tuple[int, int, int, int]]:
    """Count pairs by restart tick, in the order of ``evidence.pairs.CELLS``."""
    counts: dict[int, list[int]] = {}
    for row in rows:
        bad = value(row)
        if bad is not None:
            stable, shadow = bad
            cell = (2 if stable else 0) if shadow else (1 if stable else 3)
            counts.setdefault(tick_of(row.position.at), [0, 0, 0, 0])[cell] += 1
    return {tick: (cells[0], cells[1], cells[2], cells[3]) for tick, cells in sorted(counts.items())}


def stratified(strata: tuple[Stratum, ...], tallies: Sequence[Tally]) -> tuple[Stratum, ...]:
    """Add tallies to the strata of their propensity; a new propensity comes last.

    >>> stratified((), [Tally(0, 0.05, (1, 4, 2, 93))])
    (Stratum(propensity=0.05, n_stable=95, bad_stable=2, n_candidate=5, bad_candidate=1),)
    """
    found = {stratum.propensity: stratum for stratum in strata}
    for tally in tallies:
        old, (bad_ours, good_ours, bad, good) = found.get(tally.propensity), tally.cells
        found[tally.propensity] = Stratum(
            tally.propensity,
            n_stable=bad + good + (old.n_stable if old else 0),
            bad_stable=bad + (old.bad_stable if old else 0),
            n_candidate=bad_ours + good_ours + (old.n_candidate if old else 0),
            bad_candidate=bad_ours + (old.bad_candidate if old else 0),
        )
    return tuple(found.values())


def mean_strata(strata: tuple[MeanStratum, ...], samples: Sequence[Sample]) -> tuple[MeanStratum, ...]:
    """Add finite amounts to the strata of their propensity; a new propensity comes last.

    >>> sample = Sample(0, 0.5, np.array([1.0, 3.0]), np.array([True, False]))
    >>> [(one.candidate.mean, one.stable.mean) for one in mean_strata((), [sample])]
    [(1.0, 3.0)]
    """
    found = {stratum.propensity: stratum for stratum in strata}
    for sample in samples:
        old = found.get(sample.propensity, MeanStratum(sample.propensity))
        ours, theirs = sample.values[sample.ours], sample.values[~sample.ours]
        found[sample.propensity] = replace(
            old,
            stable=old.stable.plus(len(theirs), float(theirs.sum()), float(theirs @ theirs)),
            candidate=old.candidate.plus(len(ours), float(ours.sum()), float(ours @ ours)),
        )
    return tuple(found.values())
