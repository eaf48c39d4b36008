"""What happens, as records: predictions, shadow scores, outcomes, decisions.

Events are the one truth. A record is written once by the process that saw it happen, identified by its place
(``spool_id``, ``offset``), and never changed. Readers skip fields they do not know; schemas grow only by addition.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from gateway.core.deployments import Scalar

PREDICTION_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class ArmRecord:
    """One arm of the draw as it stood for this request; ``propensity`` is the effective one."""

    name: str
    generation: str
    propensity: float
    digest: str


@dataclass(slots=True)
class PredictionRecord:
    """One routed request and its answer, also when the answer was an error. Times in seconds.

    Nobody changes a record; it is not frozen because that alone would cost every request 3 us, and a shadow's 2.

    ``assigned`` is the arm that was drawn, ``served`` the arm whose answer the caller got ("" when none did).
    ``error`` is the *assigned* arm's failure (a class name, or "timeout"), whatever stable answered afterwards.
    ``values``, ``statuses`` and ``event_times`` follow ``names``, the union of what all variants read.
    """

    tag: str
    body: str
    deployment: str
    revision: int
    epoch: int
    key_hash: str
    at: float
    assigned: str
    served: str
    arms: tuple[ArmRecord, ...]
    randomised: bool = True
    request_hash: str | None = None
    status: int = 200
    error: str | None = None
    label: Scalar = None
    score: float | None = None
    scores: dict[str, float] | None = None
    latency: dict[str, float] = field(default_factory=dict)
    """Machine seconds by part: ``features``, ``model`` (the assigned arm's), ``total``."""
    plan_id: str = ""
    names: tuple[str, ...] = ()
    values: tuple[Scalar, ...] = ()
    statuses: bytes = b""
    event_times: tuple[float | None, ...] = ()
    degraded: bool = False
    shadows: tuple[str, ...] = ()
    """Names of the shadows that were to watch, each of which owes one :class:`ShadowRecord`."""
    sticky: bool = False
    """The deployment's unit is the key: only a key's first request in (generation, epoch) is a bet."""
    instances: int = 1
    """How many predictions the caller asked for at once; a model call for several says nothing about one's latency."""
    schema: int = PREDICTION_SCHEMA


@dataclass(slots=True)
class ShadowRecord:
    """What a shadow would have answered, or why it was not asked (``dropped``: ``queue_full``, ``not_loaded`` ...)."""

    tag: str
    body: str
    deployment: str
    at: float
    name: str
    generation: str
    digest: str
    stable_generation: str
    stable_served: bool
    label: Scalar = None
    score: float | None = None
    scores: dict[str, float] | None = None
    error: str | None = None
    dropped: str | None = None
    latency_s: float = 0.0
    schema: int = 1


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """The truth about one prediction on one metric. The greatest (``observed_at``, log position) counts."""

    tag: str
    body: str
    metric: str
    value: Scalar
    observed_at: float
    received_at: float
    source: str | None = None
    schema: int = 1


@dataclass(frozen=True, slots=True)
class CrashRecord:
    """A worker died while it ran a model that is not stable; the model is charged with it."""

    tag: str
    body: str
    generation: str
    at: float
    schema: int = 1


@dataclass(frozen=True, slots=True)
class Punctuation:
    """A worker's word on data time: every record of this spool before ``low`` has been written.

    ``low`` is the smallest data time still under way, None when nothing is; ``high`` the greatest seen.
    """

    low: float | None
    high: float
    schema: int = 1


Event: TypeAlias = PredictionRecord | ShadowRecord | OutcomeRecord | CrashRecord | Punctuation


class Position(NamedTuple):
    """Where a record stands: its identity, and the order inside a look."""

    at: float
    spool_id: str
    offset: int


class EvidenceRow(NamedTuple):
    """One randomised request of a candidate's life as the judge sees it: candidate or stable, and what came of it.

    ``propensity`` is P(candidate) between the two arms, ``pi_c / (pi_c + pi_s)``. ``failed`` charges the assigned
    arm whatever was served. ``outcomes`` holds, by metric, the outcome that counts at the look ("label" is the label).
    ``latency_s`` is None where it is not this request's alone.
    """

    position: Position
    candidate: bool
    propensity: float
    failed: bool
    label: Scalar
    score: float | None
    scores: dict[str, float] | None
    latency_s: float | None
    outcomes: dict[str, Scalar]


class PairRow(NamedTuple):
    """One stable-served request that a shadow scored too, with the outcomes that count at the look."""

    position: Position
    stable_label: Scalar
    stable_score: float | None
    shadow_label: Scalar
    shadow_score: float | None
    shadow_failed: bool
    outcomes: dict[str, Scalar]
    stable_scores: dict[str, float] | None = None
    shadow_scores: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class ServedRow:
    """One randomised request as plans are made from it, whatever arm was drawn; of ``row`` arm and share say nothing.

    ``generation`` is the drawn arm's. ``label_delay_s`` is the data time from the request to its first label.
    """

    row: EvidenceRow
    generation: str
    epoch: int
    key_hash: str
    label_delay_s: float | None


@dataclass(frozen=True, slots=True)
class JoinedRow:
    """One prediction as it is exported: its record, which attempt of its id it was, and the outcomes that count now.

    ``attempt`` 1 is the one that is judged. ``outcomes`` are by metric.
    """

    position: Position
    attempt: int
    record: PredictionRecord
    outcomes: dict[str, OutcomeRecord]


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the timeline: who or which rule did what, why, and from what evidence.

    ``data_at`` and ``machine_at`` are data time and wall time in seconds. ``evidence`` holds the verdict, the cursor
    vector and the judge's version, enough to compute the decision again from the log.
    """

    deployment: str
    revision: int
    action: str
    actor: str
    reason: str
    data_at: float
    machine_at: float
    candidate: str | None = None
    generation: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    schema: int = 1
