"""Looks as they were made: enough of each to make it again from the log, bit for bit.

A verdict depends on what was looked at *and* on how it was cut into looks, because bets are settled by the state before
each look. So a generation's opening and every look of it are kept: its watermark, and how far each spool could be seen.
Nothing here reads the log; :mod:`gateway.looking` makes looks, :mod:`gateway.replay` makes them again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gateway.core.rollout import Rollout


@dataclass(frozen=True, slots=True)
class Opening:
    """How a generation's evidence began: who is judged against which generation of stable, by what terms.

    ``rollout`` is the candidate as it stood at the first look; its terms and plan hold for the whole generation.
    ``opened_at`` is data time in seconds. ``swapped`` turns pairs round: the new stable is judged against the old one,
    which watches as a shadow.
    """

    deployment: str
    generation: str
    stable: str
    opened_at: float
    version: str
    rollout: Rollout
    swapped: bool = False
    schema: int = 1


@dataclass(frozen=True, slots=True)
class Look:
    """One look: its watermark ``at`` (data time, seconds), and the spools that could be seen further than before.

    ``moved`` maps a spool to its offset; one that can no longer be seen stands at 0.
    """

    at: float
    moved: dict[str, int] = field(default_factory=dict)


def moved(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return what turns one vector of offsets into the next.

    >>> moved({"a": 1, "b": 5, "c": 2}, {"a": 1, "b": 9, "d": 3})
    {'b': 9, 'd': 3, 'c': 0}
    """
    changed = {spool: offset for spool, offset in after.items() if before.get(spool) != offset}
    return changed | {spool: 0 for spool, offset in before.items() if offset and spool not in after}


def unfolded(looks: Iterable[Look]) -> Iterator[tuple[float, dict[str, int]]]:
    """Give each look's watermark with the whole vector of offsets that it could see.

    >>> [vector for _, vector in unfolded([Look(1.0, {"a": 1}), Look(2.0, {"b": 2})])]
    [{'a': 1}, {'a': 1, 'b': 2}]
    """
    vector: dict[str, int] = {}
    for look in looks:
        vector = vector | look.moved
        yield look.at, vector
