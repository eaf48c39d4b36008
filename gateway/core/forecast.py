"""When a verdict would come if evidence went on growing as it has: a plain reckoning, not a promise.

Log evidence grows in proportion to observations while both arms stay as they are. What has grown from ``n`` of the
candidate's observations to ``log e`` needs ``n (log enough - log e) / log e`` more. Nothing is said where evidence
points nowhere, where too little was seen, or where the answer would lie a hundred times further on.
"""

import math
from dataclasses import dataclass

from gateway.core.deployments import Role
from gateway.core.judge_state import PAIRED
from gateway.core.judging import Finding, JudgeState, MetricFinding, Verdict
from gateway.core.rollout import Rollout

LEAST_SEEN = 20
"""Observations of the candidate before which nothing is said."""
LEAST_GROWN = 0.05
"""Log evidence below which it points nowhere."""
FURTHEST = 100.0
"""How many times as far as it has come a candidate is looked ahead."""

_UNITS = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second"))


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is still needed for a verdict: so many of the candidate's observations, in so many seconds of data time."""

    towards: Finding
    observations: int
    seconds: float
    sentence: str


def outlook(rollout: Rollout, case: JudgeState, verdict: Verdict, seen: int) -> Outlook | None:
    """Say what the verdict still needs at this pace; None when it is there already, or nothing can be said.

    ``seen`` counts the candidate's observations, as the plan does. Whichever end is nearer is named: one guardrail is
    enough to fail, every counted one is needed to pass.
    """
    if verdict.finding is not Finding.INCONCLUSIVE or verdict.paused_by:
        return None
    faster = _faster_now(rollout, case, verdict.at, seen)
    elapsed = verdict.at - case.opened_at
    if faster is None or elapsed <= 0.0:
        return None
    failing = [_away(one, one.evidence_now, one.threshold) for one in verdict.findings if _may_demote(one)]
    passing = [_away(one, one.promote_evidence, one.promote_threshold) for one in _open(rollout, verdict)]
    ends = []
    if known := [away for away in failing if away is not None]:
        ends.append((Finding.FAIL, min(known)))
    if passing and all(away is not None for away in passing):
        ends.append((Finding.PASS, max(away for away in passing if away is not None)))
    if not ends:
        return None
    towards, (times, observations) = min(ends, key=lambda end: end[1])
    seconds = times * elapsed / faster
    return Outlook(towards, observations, seconds, _sentence(towards, observations, seconds))


def about(seconds: float) -> str:
    """Say a length of time roughly.

    >>> about(2_400.0), about(86_400.0 * 1.5), about(90_000.0), about(0.2)
    ('40 minutes', '36 hours', '25 hours', '1 second')
    """
    for unit, name in _UNITS:
        if seconds >= 2.0 * unit or unit == 1.0:
            count = max(1, round(seconds / unit))
            return f"{count:,} {name}{'' if count == 1 else 's'}"
    return ""


def _away(found: MetricFinding, evidence: float | None, enough: float | None) -> tuple[float, int] | None:
    """How many times as far as it has come, and how many observations, a metric is away from enough."""
    if evidence is None or enough is None:
        return None
    grown, goal = math.log(max(evidence, 1e-300)), math.log(enough)
    if found.n_candidate < LEAST_SEEN or grown < LEAST_GROWN or grown >= goal:
        return None
    times = (goal - grown) / grown
    return None if times > FURTHEST else (times, math.ceil(times * found.n_candidate))


def _may_demote(found: MetricFinding) -> bool:
    return found.role is Role.GUARDRAIL and not found.dry_run


def _open(rollout: Rollout, verdict: Verdict) -> list[MetricFinding]:
    """Metrics that still have to pass: on the candidate's traffic, or on pairs where those are enough."""
    on_pairs = rollout.current.weight == 0.0 and rollout.terms.labels_independent
    counted = [one for one in verdict.findings if one.role is not Role.SIGNAL and not one.dry_run]
    of_kind = [one for one in counted if one.metric.startswith(PAIRED) is on_pairs]
    return [one for one in of_kind if one.finding is not Finding.PASS]


def _faster_now(rollout: Rollout, case: JudgeState, at: float, seen: int) -> float | None:
    """How many times faster observations come on this step than in the whole life; None where none come."""
    life, step = at - case.opened_at, at - max(rollout.since, case.opened_at)
    if life <= 0.0 or seen <= 0:
        return None
    overall, lately = seen / life, seen - rollout.seen
    return lately / step / overall if step > 0.0 and lately >= LEAST_SEEN else 1.0


def _sentence(towards: Finding, observations: int, seconds: float) -> str:
    end = "worse than tolerated" if towards is Finding.FAIL else "safe"
    return (
        f"At this pace it would be shown to be {end} in about {about(seconds)} "
        f"({observations:,} more of the candidate's observations)."
    )
