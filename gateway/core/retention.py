"""What may be forgotten, and what must not be yet: whole days that no living judgement can still look at.

Pure. A day is one of data time, UTC, counted since the Unix epoch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.core.looks import Opening
from gateway.core.rollout import ENDED, Rollout
from gateway.core.state import DeploymentState

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long things are kept, in seconds of data time; None: for ever.

    ``predictions`` go with their shadow scores, outcomes and bets. ``looks`` are those of generations that have ended,
    with what was remembered between them; they never outlive the predictions that they looked at.
    """

    predictions_s: float | None = None
    looks_s: float | None = None


def first_kept(state: DeploymentState, keeping: Keeping, now: float) -> int | None:
    """The first day that has to stay at data time ``now``; None: nothing is to be forgotten.

    A day stays for as long as it is to be kept, and for as long as a candidate lives whose evidence it may hold.
    """
    if keeping.predictions_s is None:
        return None
    return int(min([now - keeping.predictions_s, *_needed(state.rollouts.values())]) // DAY_S)


def due(days: Mapping[int, int], first: int, written: Mapping[int, int] | None) -> dict[int, int]:
    """The days before ``first`` that may go, oldest first, each with its count of changes.

    ``written`` are those that an export holds, with the count it wrote them at: what has changed since stays. None: no
    export is waited for.

    >>> due({3: 7, 1: 4, 2: 9}, 3, {1: 4, 2: 8})
    {1: 4}
    """
    return {
        day: changes
        for day, changes in sorted(days.items())
        if day < first and (written is None or written.get(day) == changes)
    }


def ended(openings: Iterable[Opening], state: DeploymentState, keeping: Keeping, now: float) -> list[Opening]:
    """The generations whose looks may go: they have ended, and their evidence is forgotten or their own time is up."""
    living = {rollout.generation for rollout in state.rollouts.values() if rollout.phase not in ENDED}
    living |= {rollout.watch.generation for rollout in state.rollouts.values() if rollout.watch is not None}
    first = first_kept(state, keeping, now)
    before = max(
        -float("inf") if first is None else float(first * DAY_S),
        -float("inf") if keeping.looks_s is None else now - keeping.looks_s,
    )
    return [one for one in openings if one.generation not in living and one.opened_at < before]


def _needed(rollouts: Iterable[Rollout]) -> Iterable[float]:
    for rollout in rollouts:
        if rollout.phase not in ENDED:
            yield rollout.opened_at
            yield rollout.started_at
