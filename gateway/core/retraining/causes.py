"""Which cause, of all that are found, asks for a run now.

Level, not edge: every cause is worked out from what stands, so one that was missed - no leader, a run under way, a
cool-down - is found again as long as it stands. What makes it happen once is its key (``runs``).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from gateway.core.drift.causes import Cause as DriftCause
from gateway.core.drift.causes import DriftAlarm, cause_of
from gateway.core.drift.profiles import LOST
from gateway.core.retraining.kpis import Shortfall
from gateway.core.retraining.runs import Cause, Retraining
from gateway.core.retraining.terms import OnDrift, OnLabels, OnSchedule, RetrainingTerms, Source, Trigger


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at data time ``now``: alarms that stand, floors that are broken, outcomes joined so far."""

    now: float
    alarms: Sequence[DriftAlarm] = ()
    shortfalls: Sequence[Shortfall] = ()
    joined: int = 0


def due(deployment: str, terms: RetrainingTerms, kept: Retraining, facts: Facts) -> Cause | None:
    """The cause that asks for a run now; None: none does, or a run is under way.

    Drift comes first, then performance, labels, the schedule. A cool-down counts from the last run, whatever asked
    for it and however it ended.
    """
    if not terms.by_itself or kept.since is None or kept.alive is not None:
        return None
    found = [
        terms.drift and _cooled(kept, facts.now, terms.drift.cooldown_s) and _of_drift(terms.drift, kept, facts),
        *(_of_shortfall(kept, facts.now, one) for one in facts.shortfalls if one.kpi in terms.kpis),
        terms.labels and _cooled(kept, facts.now, terms.labels.cooldown_s) and _of_labels(terms.labels, kept, facts),
        terms.schedule
        and _cooled(kept, facts.now, terms.schedule.cooldown_s)
        and _of_schedule(terms.schedule, kept, facts),
    ]
    new = [cause for cause in found if isinstance(cause, Cause) and kept.find(cause.run_id(deployment)) is None]
    return new[0] if new else None


def _cooled(kept: Retraining, now: float, cooldown_s: float) -> bool:
    return kept.last is None or now - kept.last.at >= cooldown_s


def _of_drift(terms: OnDrift, kept: Retraining, facts: Facts) -> Cause | None:
    """Data drift that no run has seen yet. A value that stopped coming is a broken pipe, and nothing to learn from."""
    if cause_of(facts.alarms) is not DriftCause.DATA:
        return None
    seen = -math.inf if kept.last is None else kept.last.at
    news = [
        alarm
        for alarm in facts.alarms
        if alarm.what not in LOST and alarm.at > seen and (not terms.features or alarm.feature in terms.features)
    ]
    if not news:
        return None
    first = min(news, key=lambda alarm: (alarm.at, alarm.key))
    more = f" ({len(news) - 1} more features drifted)" if len(news) > 1 else ""
    return Cause(Trigger.DRIFT, f"{first.key}@{first.at:.3f}", f"{first.sentence}{more}", {"alarm": asdict(first)})


def _of_shortfall(kept: Retraining, now: float, found: Shortfall) -> Cause | None:
    """A broken floor, unless the model was trained again since that window ended."""
    if not _cooled(kept, now, found.kpi.cooldown_s) or (kept.last is not None and kept.last.at >= found.until):
        return None
    source = "" if found.kpi.source is Source.MEASURED else f"{found.kpi.source.value} "
    key = f"{source}{found.kpi.metric}@{found.until:.0f}"
    return Cause(Trigger.PERFORMANCE, key, found.sentence, {"value": found.value, "n": found.n, "until": found.until})


def _of_labels(terms: OnLabels, kept: Retraining, facts: Facts) -> Cause | None:
    before = kept.joined if kept.last is None else kept.last.joined
    new = facts.joined - before
    if new < terms.count:
        return None
    after = "the beginning" if kept.last is None else kept.last.id
    sentence = f"{new:,} outcomes have come since {after}"
    return Cause(Trigger.LABELS, f"{terms.count} after {after}", sentence, {"joined": facts.joined, "before": before})


def _of_schedule(terms: OnSchedule, kept: Retraining, facts: Facts) -> Cause | None:
    """The latest time of the schedule that has gone by, unless the model was trained again since."""
    if facts.now < terms.first:
        return None
    slot = terms.first + math.floor((facts.now - terms.first) / terms.every_s) * terms.every_s
    watched = -math.inf if kept.since is None else kept.since
    if slot <= watched or (kept.last is not None and kept.last.at >= slot):
        return None
    return Cause(Trigger.SCHEDULE, f"{slot:.0f}", f"it is trained again every {_span(terms.every_s)}")


def _span(seconds: float) -> str:
    """Say a duration.

    >>> _span(7 * 86_400.0), _span(5_400.0)
    ('7 days', '1.5 hours')
    """
    size, word = next(((s, w) for s, w in _UNITS if seconds >= s), _UNITS[-1])
    count = seconds / size
    return f"{count:g} {word}{'' if count == 1.0 else 's'}"


_UNITS = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second"))
