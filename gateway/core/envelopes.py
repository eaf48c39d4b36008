"""Events as the outside is told of them: what CloudEvents calls attributes, and a body that stands for itself.

Pure. An envelope is worked out from its record alone, so an event that is told twice is told the same both times.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from gateway.core.events import Decision, OutcomeRecord, PredictionRecord
from gateway.core.features import Status

Told: TypeAlias = PredictionRecord | OutcomeRecord | Decision
"""What the outside can be told of."""

PREDICTION, OUTCOME, DECISION = "prediction", "outcome", "decision"
KINDS = (PREDICTION, OUTCOME, DECISION)

_SERVED = frozenset({Status.PRESENT, Status.REQUEST})


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event on its way out. ``id`` is the same however often it is told, and no other event's of its ``source``.

    ``key`` keeps what belongs together in order: a prediction and its outcomes, the decisions of a deployment. ``at``
    is data time in seconds.
    """

    kind: str
    id: str
    type: str
    source: str
    subject: str
    at: float
    key: str
    data: dict[str, Any]


def place_id(spool_id: str, offset: int) -> str:
    """Name a record of the log: its place is its identity.

    >>> place_id("web1-3f2a9c01-47-881-p000003", 512)
    'web1-3f2a9c01-47-881-p000003/512'
    """
    return f"{spool_id}/{offset}"


def decision_id(deployment: str, revision: int, number: int) -> str:
    """Name the ``number``-th decision that made a revision.

    >>> decision_id("churn", 7, 0)
    'churn/7/0'
    """
    return f"{deployment}/{revision}/{number}"


def kind_of(event: Told) -> str:
    """Name an event's kind."""
    if isinstance(event, PredictionRecord):
        return PREDICTION
    return OUTCOME if isinstance(event, OutcomeRecord) else DECISION


def envelope(event: Told, event_id: str, deployment: str, prediction_id: str) -> Envelope:
    """Put an event into its envelope.

    ``deployment`` names where it belongs; ``prediction_id`` is the id that callers know a prediction by, "" for a
    decision.
    """
    kind = kind_of(event)
    source, version = f"/deployments/{deployment}", f"gateway.{kind}.v1"
    if isinstance(event, Decision):
        data = {name: value for name, value in asdict(event).items() if name != "schema"}
        return Envelope(kind, event_id, version, source, event.action, event.data_at, deployment, data)
    body = _prediction(event) if isinstance(event, PredictionRecord) else _outcome(event)
    at = event.at if isinstance(event, PredictionRecord) else event.observed_at
    data = {"prediction_id": prediction_id, "deployment": deployment, **body}
    return Envelope(kind, event_id, version, source, prediction_id, at, event.body, data)


def _prediction(record: PredictionRecord) -> dict[str, Any]:
    same = ("at", "assigned", "served", "randomised", "sticky", "revision", "epoch", "key_hash", "request_hash")
    answer = ("status", "error", "score", "scores", "latency", "degraded", "instances")
    lost = [name for name, status in zip(record.names, record.statuses, strict=False) if status not in _SERVED]
    features: Mapping[str, Any] = dict(zip(record.names, record.values, strict=False))
    return {
        **{name: getattr(record, name) for name in same},
        "arms": [asdict(arm) for arm in record.arms],
        "prediction": record.label,
        **{name: getattr(record, name) for name in answer},
        "features": features,
        "not_served": lost,
    }


def _outcome(record: OutcomeRecord) -> dict[str, Any]:
    return {
        "metric": record.metric,
        "outcome": record.value,
        "observed_at": record.observed_at,
        "received_at": record.received_at,
        "source": record.source,
    }
