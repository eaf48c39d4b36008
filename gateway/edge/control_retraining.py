"""What the control plane says of training again: the words, and how core values become them. Nothing decided."""

from typing import Any

from gateway.core.retraining.runs import Retraining
from gateway.core.retraining.terms import RetrainingTerms
from gateway.edge.view import View


class RunView(View):
    """One run. ``at`` is data time; ``asked_at`` and ``ended_at`` are wall time, all in seconds."""

    id: str
    trigger: str
    cause: str
    phase: str
    actor: str
    attempt: int
    at: float
    asked_at: float
    ended_at: float | None
    said: str
    link: str


class RetrainingView(View):
    """Who trains a deployment's model again, on which causes, and the runs so far, the latest first."""

    deployment: str
    target: str | None
    """``command``, ``webhook``, ``airflow``, ``github``, ``gitlab``, or null where nobody does."""
    causes: tuple[str, ...]
    """``drift``, ``performance``, ``labels``, ``schedule``: those that ask for a run by themselves."""
    since: float | None
    """Data time since which they are looked for; null: not yet."""
    runs: tuple[RunView, ...]


def retraining_view(deployment: str, terms: RetrainingTerms, kept: Retraining) -> RetrainingView:
    """Turn what is declared and kept into its view."""
    declared = {
        "drift": terms.drift,
        "performance": terms.kpis,
        "labels": terms.labels,
        "schedule": terms.schedule,
    }
    return RetrainingView(
        deployment=deployment,
        target=None if terms.target is None else terms.target.kind.value,
        causes=tuple(name for name, said in declared.items() if said),
        since=kept.since,
        runs=tuple(map(RunView.model_validate, kept.runs)),
    )


_RUN: dict[str, Any] = {
    "id": "drift-b4b72ccd44ec884b",
    "trigger": "drift",
    "cause": "dest_arr_delay_min moved up by 0.52 standard deviations of its rank",
    "phase": "succeeded",
    "actor": "retraining",
    "attempt": 1,
    "at": 1373241600.0,
    "asked_at": 1796000000.0,
    "ended_at": 1796000031.5,
    "said": "flight-delay 4 trained on 41,203 flights is challenger",
    "link": "",
}
EXAMPLES: dict[str, Any] = {
    "RunView": _RUN,
    "RetrainingView": {
        "deployment": "flight-delay",
        "target": "command",
        "causes": ["drift"],
        "since": 1362096000.0,
        "runs": [_RUN],
    },
}
