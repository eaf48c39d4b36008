"""Two tables side by side, reference and live, column by column: what a report draws.

A reference is known either as rows or as a profile's counts (:mod:`profiles`). Against rows, numbers are compared as
they are; against counts both sides are laid into the profile's cells, and nothing is made up that was not kept.
Categories are always cells: the frequent words, and ``other``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from gateway.core.deployments import Scalar
from gateway.core.drift.profiles import CATEGORIES, LOST, FeatureProfile, Kind, category_profile, feature_profile
from gateway.core.drift.rows import LoggedRow
from gateway.core.drift.watch import LABEL, SCORE, inputs_of
from gateway.core.features import Status


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of data time (``after``, ``until``], in seconds since the Unix epoch."""

    after: float
    until: float


@dataclass(frozen=True, slots=True)
class Column:
    """One feature, or one part of the answer, on both sides. A number that is not there is None; a category is text."""

    name: str
    kind: Kind
    reference: list[Scalar]
    live: list[Scalar]


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared: a sentence that says so, and the columns. Both sides have a length of their own."""

    sentence: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class _Served:
    """One column of logged rows: values, and the status of each."""

    values: Sequence[Scalar]
    statuses: Sequence[int]


def beside_profile(
    profiles: Sequence[FeatureProfile], rows: Sequence[LoggedRow], generation: str, most: int
) -> list[Column]:
    """Lay logged rows and a profile's counts into the profile's cells; an input that is served no more is ``absent``.

    The reference has at most ``most`` rows, in the proportions of the profile's counts.
    """
    served = _served(rows, generation)
    nothing = _Served([None] * len(rows), [Status.MISSING] * len(rows))
    size = min(most, max((profile.rows for profile in profiles), default=0))
    columns = []
    for profile in profiles:
        if profile.name in served or profile.name not in (SCORE, LABEL):
            names, live = _ordered(profile), served.get(profile.name, nothing)
            drawn = _drawn(profile, names, size)
            columns.append(Column(profile.name, Kind.CATEGORY, drawn, _celled(profile, names, live)))
    return columns


def beside_rows(
    reference: Sequence[LoggedRow], rows: Sequence[LoggedRow], generation: str, only: Sequence[str] = ()
) -> list[Column]:
    """Lay two windows of the log side by side; ``only`` (empty: all) names the inputs that matter.

    A number that is lost on either side gets a second column, of why it is not there.
    """
    were, are = _served(reference, generation), _served(rows, generation)
    wanted = [name for name in were if name in are and (not only or name in only or name in (SCORE, LABEL))]
    return [column for name in wanted for column in _columns(name, were[name], are[name])]


def _columns(name: str, were: _Served, are: _Served) -> Iterator[Column]:
    profile = feature_profile(name, _there(were))
    if profile.kind is Kind.NUMBER and name == LABEL and len(set(were.values)) <= CATEGORIES:
        profile = category_profile(name, _there(were))
    if profile.kind is Kind.CATEGORY:
        yield Column(name, profile.kind, _celled(profile, profile.cells, were), _celled(profile, profile.cells, are))
        return
    yield Column(name, profile.kind, _numbers(were), _numbers(are))
    words = tuple(word if word in LOST else "there" for word in profile.cells)
    lost = [_celled(profile, words, side) for side in (were, are)]
    if any(word != "there" for side in lost for word in side):
        yield Column(f"{name} (lost)", Kind.CATEGORY, *lost)


def _served(rows: Sequence[LoggedRow], generation: str) -> dict[str, _Served]:
    """Every input of the rows, and what ``generation`` answered: its rows only, those that did not fail."""
    columns, statuses = inputs_of(rows)
    found = {name: _Served(values, statuses[name]) for name, values in columns.items()}
    answers = [row for row in rows if row.generation == generation and not row.failed]
    for name, said in ((SCORE, [row.score for row in answers]), (LABEL, [row.label for row in answers])):
        if any(value is not None for value in said):
            found[name] = _Served(said, [Status.PRESENT] * len(said))
    return found


_THERE = frozenset({int(Status.PRESENT), int(Status.REQUEST)})


def _there(column: _Served) -> list[Scalar]:
    """Values, None where a fallback was served."""
    return [value if mark in _THERE else None for value, mark in zip(column.values, column.statuses, strict=True)]


def _numbers(column: _Served) -> list[Scalar]:
    """Values as numbers, None for whatever is none."""
    return [float(value) if isinstance(value, (int, float)) else None for value in _there(column)]


def _ordered(profile: FeatureProfile) -> tuple[str, ...]:
    """What the cells are called; bins are numbered, so that whoever sorts them by name keeps their order.

    >>> from gateway.core.drift.profiles import number_profile
    >>> _ordered(number_profile("x", [1.0, 2.0, 3.0, 4.0], bins=2))[:3]
    ('1: (-inf, 2.5]', '2: (2.5, inf]', 'absent')
    """
    if profile.kind is Kind.CATEGORY:
        return profile.cells
    bins = len(profile.edges) + 1
    width = len(str(bins))
    numbered = tuple(f"{place:0{width}}: {label}" for place, label in enumerate(profile.cells[:bins], 1))
    return (*numbered, *profile.cells[bins:])


def _celled(profile: FeatureProfile, names: Sequence[str], column: _Served) -> list[Scalar]:
    return [names[profile.cell(value, mark)] for value, mark in zip(column.values, column.statuses, strict=True)]


def _drawn(profile: FeatureProfile, names: Sequence[str], rows: int) -> list[Scalar]:
    """``rows`` rows in the proportions of the profile's counts, cell by cell.

    >>> from gateway.core.drift.profiles import category_profile
    >>> seen = category_profile("carrier", ["UA"] * 60 + ["AA"] * 40)
    >>> _drawn(seen, seen.cells, 5)
    ['UA', 'UA', 'UA', 'AA', 'AA']
    """
    whole = profile.rows
    if not whole:
        return []
    upto, ends = 0, []
    for count in profile.counts:
        upto += count
        ends.append(round(rows * upto / whole))
    sizes = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return list(chain.from_iterable(repeat(name, size) for name, size in zip(names, sizes, strict=True)))
