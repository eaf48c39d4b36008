"""How a candidate's evidence has gone so far: a point now and then, for people who watch. No verdict rests on it.

Looks come twice a second for weeks, and an interval narrows with the root of what was seen. So a point is kept when a
finding changes, or when what was seen has grown by a twentieth: every request at first, some 300 points in a million.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter

from gateway.core.findings import Finding, MetricFinding, Verdict

GROWTH = 0.05
"""By what share a metric has to have seen more before another point is worth keeping."""


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One metric at one look, in the words of :class:`gateway.core.findings.MetricFinding`."""

    metric: str
    finding: Finding
    stable: float | None
    stable_low: float
    stable_high: float
    candidate: float | None
    candidate_low: float
    candidate_high: float
    difference: float | None
    low: float
    high: float
    evidence: float
    evidence_now: float
    promote_evidence: float | None
    n_stable: int
    n_candidate: int


@dataclass(frozen=True, slots=True)
class CoursePoint:
    """Every metric at one look; ``at`` is its watermark, data time in seconds."""

    at: float
    finding: Finding
    metrics: tuple[MetricPoint, ...]


def point_of(verdict: Verdict) -> CoursePoint:
    """Take from a verdict what is drawn: numbers, no sentences."""
    points = tuple(MetricPoint(*_drawn(found)) for found in verdict.findings)
    return CoursePoint(verdict.at, verdict.finding, points)


_drawn = attrgetter(*(field.name for field in fields(MetricPoint)))


def worth_keeping(last: CoursePoint | None, now: Verdict) -> bool:
    """Whether ``now``, with its intervals or without, shows something that the point kept before it does not."""
    if not any(_seen(one) for one in now.findings):
        return False
    if last is None:
        return True
    if now.at <= last.at:
        return False
    before = {one.metric: one for one in last.metrics}
    return now.finding is not last.finding or any(_moved(before, one) for one in now.findings)


def _moved(before: Mapping[str, MetricPoint], now: MetricFinding) -> bool:
    last = before.get(now.metric)
    if last is None or last.finding is not now.finding:
        return True
    return _seen(now) > _seen(last) and _seen(now) >= (1.0 + GROWTH) * _seen(last)


def _seen(one: MetricPoint | MetricFinding) -> int:
    """Count what the metric rests on: the candidate's, or stable's while the candidate has none."""
    return one.n_candidate or (1 if one.n_stable else 0)
