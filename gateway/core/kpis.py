"""How often a deployment changes, how fast it recovers and how old its model is, read off its timeline.

Pure: decisions come in, figures go out. Weeks and ages are data time; a recovery is told by both clocks, since a replay
lives through days in seconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from gateway.core.events import Decision

WEEK_S = 7 * 86_400.0
WEEKS = 12


@dataclass(frozen=True, slots=True)
class Week:
    """What became of candidates in one week: data time in (``after``, ``after`` + a week]."""

    after: float
    started: int
    promoted: int
    demoted: int
    rolled_back: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """One bad model, from its first request to its last: seconds of data time and of the calendar's."""

    at: float
    data_s: float
    machine_s: float


@dataclass(frozen=True, slots=True)
class Kpis:
    """The figures of the last ``WEEKS`` weeks, oldest week first; medians are None where there was nothing.

    ``per_week`` is promotions by week since the first decision (at least one week). ``model_since`` is when the model
    in service first became stable, None where the timeline does not reach back so far.
    """

    weeks: tuple[Week, ...]
    per_week: float
    recoveries: int
    recovery_s: float | None
    recovery_machine_s: float | None
    model_since: float | None
    model_age_s: float | None


def kpis(decisions: Sequence[Decision], stable: str, now: float) -> Kpis:
    """Work the figures out at data time ``now``; ``decisions`` oldest first, ``stable`` the generation that serves."""
    first = (now // WEEK_S - WEEKS + 1) * WEEK_S
    weeks = tuple(_week(decisions, first + number * WEEK_S) for number in range(WEEKS))
    begun = min((one.data_at for one in decisions if one.data_at > 0.0), default=now)
    lived = max(1.0, (now - max(first, begun)) / WEEK_S)
    healed = [one for one in recoveries(decisions) if one.at > first]
    since = _model_since(decisions, stable)
    return Kpis(
        weeks=weeks,
        per_week=sum(week.promoted for week in weeks) / lived,
        recoveries=len(healed),
        recovery_s=median(one.data_s for one in healed) if healed else None,
        recovery_machine_s=median(one.machine_s for one in healed) if healed else None,
        model_since=since,
        model_age_s=None if since is None else max(0.0, now - since),
    )


def recoveries(decisions: Iterable[Decision]) -> list[Recovery]:
    """Pair every demotion and rollback with the decision that let the bad model in; ``decisions`` oldest first.

    A candidate is let in when it is ready, a stable when it is promoted. One that never served anybody is no recovery.
    """
    ready: dict[str, Decision] = {}
    promoted: Decision | None = None
    found: list[Recovery] = []
    for one in decisions:
        if one.action == "ready" and one.candidate:
            ready[one.candidate] = one
        elif one.action == "promote":
            promoted = one
            ready.pop(one.candidate or "", None)
        elif one.action in ("demote", "rollback"):
            since = ready.pop(one.candidate or "", None) if one.action == "demote" else promoted
            promoted = None if one.action == "rollback" else promoted
            if since is not None:
                found.append(Recovery(one.data_at, one.data_at - since.data_at, one.machine_at - since.machine_at))
    return found


def _week(decisions: Iterable[Decision], after: float) -> Week:
    inside = [one.action for one in decisions if after < one.data_at <= after + WEEK_S]
    return Week(after, *(inside.count(action) for action in ("start", "promote", "demote", "rollback")))


def _model_since(decisions: Sequence[Decision], stable: str) -> float | None:
    """When the generation became stable: by its promotion, or at the first start.

    A replay's first start has no data time yet (0), and so its first model no age.
    """
    for one in decisions:
        if one.action == "promote" and one.generation == stable:
            return one.data_at
    founded = next((one for one in decisions if one.action == "found"), None)
    return None if founded is None or founded.data_at <= 0.0 else founded.data_at
