"""What the control room draws that operators' commands do not need: courses of evidence, and the figures of change."""

from typing import Any

from pydantic import ConfigDict

from gateway.edge.view import View

_COURSE: dict[str, Any] = {
    "deployment": "flight-delay",
    "candidate": "canary",
    "generation": "a1f08c6e4d22",
    "points": [
        {
            "at": 1795467600.0,
            "finding": "inconclusive",
            "metrics": [
                {
                    "metric": "accuracy",
                    "finding": "inconclusive",
                    "stable": 0.199,
                    "stable_low": 0.15,
                    "stable_high": 0.26,
                    "candidate": 0.214,
                    "candidate_low": 0.04,
                    "candidate_high": 0.5,
                    "difference": 0.015,
                    "low": -0.24,
                    "high": 0.31,
                    "evidence": 1.4,
                    "evidence_now": 0.91,
                    "promote_evidence": 0.84,
                    "n_stable": 568,
                    "n_candidate": 28,
                }
            ],
        }
    ],
}
_KPIS: dict[str, Any] = {
    "deployment": "flight-delay",
    "weeks": [{"after": 1795046400.0, "started": 2, "promoted": 1, "demoted": 1, "rolled_back": 0}],
    "per_week": 1.0,
    "recoveries": 1,
    "recovery_s": 5_400.0,
    "recovery_machine_s": 5_400.0,
    "model_since": 1795381200.0,
    "model_age_s": 86_400.0,
}


class MetricPointView(View):
    """One guardrail at one look, in the words of ``GuardrailView``."""

    metric: str
    finding: str
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


class CoursePointView(View):
    """Every guardrail at one look; ``at`` is data time, seconds since the epoch."""

    at: float
    finding: str
    metrics: tuple[MetricPointView, ...]


class CourseView(View):
    """How a candidate's evidence has gone, oldest point first. ``generation`` is the life that was judged."""

    model_config = ConfigDict(json_schema_extra={"examples": [_COURSE]})

    deployment: str
    candidate: str
    generation: str
    points: tuple[CoursePointView, ...]


class WeekView(View):
    """What was decided in one week of data time after ``after`` (seconds since the epoch)."""

    after: float
    started: int
    promoted: int
    demoted: int
    rolled_back: int


class KpisView(View):
    """How often the deployment changes, how fast it recovers and how old its model is. Times in seconds."""

    model_config = ConfigDict(json_schema_extra={"examples": [_KPIS]})

    deployment: str
    weeks: tuple[WeekView, ...]
    per_week: float
    """Promotions by week, since the first decision or over the weeks shown."""
    recoveries: int
    recovery_s: float | None
    """Median data time from a bad model's first request to its last; null where there was none."""
    recovery_machine_s: float | None
    """The same by the calendar's clock."""
    model_since: float | None
    """Data time at which the model in service first became stable."""
    model_age_s: float | None
