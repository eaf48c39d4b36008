"""What the memory log keeps under one prediction id, and the rows and counts that are worked out from it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gateway.adapters.spool.names import writer_of
from gateway.adapters.store.joins import (
    LABEL,
    SHADOW_BOOKS,
    WORKER_DIED,
    Answer,
    arm_latency,
    assigned_arm,
    day_of,
    dropped_for,
    overruled,
    pairable,
    rank,
    stable_generation,
    visible,
)
from gateway.core.deployments import Scalar
from gateway.core.events import (
    CrashRecord,
    EvidenceRow,
    JoinedRow,
    OutcomeRecord,
    PairRow,
    Position,
    PredictionRecord,
    ServedRow,
    ShadowRecord,
)
from gateway.core.gates import Replayable
from gateway.ports import Window

Id = tuple[str, str]
Record = TypeVar("Record", PredictionRecord, ShadowRecord, OutcomeRecord, CrashRecord)


@dataclass(frozen=True, slots=True)
class Kept(Generic[Record]):
    """A record and its place in the log; of a prediction also which attempt of its id it is."""

    record: Record
    spool_id: str
    offset: int
    attempt: int = 0

    @property
    def id(self) -> Id:
        """Tag and body."""
        return self.record.tag, self.record.body

    def seen(self, by: Mapping[str, int]) -> bool:
        """Whether a look could see it."""
        return visible(self.spool_id, self.offset, by)

    def position(self, at: float) -> Position:
        """Its place in the order of data time."""
        return Position(at, self.spool_id, self.offset)


@dataclass(slots=True)
class Request:
    """Everything the log holds under one prediction id, each list in log order."""

    predictions: list[Kept[PredictionRecord]] = field(default_factory=list)
    crashes: list[Kept[CrashRecord]] = field(default_factory=list)
    shadows: list[Kept[ShadowRecord]] = field(default_factory=list)
    outcomes: list[Kept[OutcomeRecord]] = field(default_factory=list)
    crashed_first: bool = False
    """No prediction record was there when the first crash was drained: the crash is what is judged."""

    @property
    def judged(self) -> Kept[PredictionRecord] | None:
        """The prediction record that counts, if one does."""
        return next((kept for kept in self.predictions if kept.attempt == 1), None)

    def history(self, metric: str) -> list[Kept[OutcomeRecord]]:
        """Outcomes of a metric, the one that counts last."""
        of_metric = [kept for kept in self.outcomes if kept.record.metric == metric]
        return sorted(of_metric, key=lambda kept: rank(kept.record, kept.spool_id, kept.offset))

    def metrics(self) -> set[str]:
        """Metrics of which there is any outcome."""
        return {kept.record.metric for kept in self.outcomes}

    def counting(self, seen: Mapping[str, int] | None = None) -> dict[str, Scalar]:
        """The value that counts, by metric, among the outcomes that a look could see (None: all)."""
        values: dict[str, Scalar] = {}
        for metric in sorted(self.metrics()):
            for kept in self.history(metric):
                if seen is None or kept.seen(seen):
                    values[metric] = kept.record.value
        return values

    def forget_crashes(self, day: int) -> list[Kept[CrashRecord]]:
        """Let go of a day's crashes; without its first one a request begins anew."""
        gone = [kept for kept in self.crashes if day_of(kept.record.at) == day]
        self.crashed_first = self.crashed_first and self.crashes[0] not in gone
        self.crashes = [kept for kept in self.crashes if kept not in gone]
        return gone

    def joined(self) -> list[JoinedRow]:
        """Every attempt, each with the outcomes that count."""
        outcomes = {metric: self.history(metric)[-1].record for metric in self.metrics()}
        return [
            JoinedRow(kept.position(kept.record.at), kept.attempt, kept.record, outcomes) for kept in self.predictions
        ]


@dataclass(frozen=True, slots=True)
class Bet:
    """A bet as the drain settled it; ``record`` None: the candidate crashed and nothing else is known."""

    id: tuple[str, str]
    generation: str
    position: Position
    candidate: bool
    propensity: float
    record: PredictionRecord | None


def pair_row(request: Request, generation: str, stable: str, window: Window) -> PairRow | None:
    """Stable's answer beside a shadow's, as a look sees them; None: they are no pair."""
    judged, seen = request.judged, window.visible
    if judged is None or not judged.seen(seen) or not window.after < judged.record.at <= window.until:
        return None
    record = judged.record
    if not pairable(record) or stable_generation(record) != stable:
        return None
    scored = [kept for kept in request.shadows if kept.record.generation == generation]
    crashed = [kept for kept in request.crashes if kept.record.generation == generation]
    shadow = scored[0].record if scored and scored[0].seen(seen) else None
    if shadow is None and not any(kept.seen(seen) for kept in crashed):
        return None
    if shadow is not None and shadow.dropped is not None:
        return None
    return PairRow(
        judged.position(record.at),
        record.label,
        record.score,
        shadow.label if shadow else None,
        shadow.score if shadow else None,
        shadow_failed=shadow is None or shadow.error is not None,
        outcomes=request.counting(seen),
        stable_scores=record.scores,
        shadow_scores=shadow.scores if shadow else None,
    )


def served_row(request: Request) -> ServedRow | None:
    """What ``gateway backtest`` plays again of a request; None: nothing of it is judged."""
    judged = request.judged
    arm = assigned_arm(judged.record) if judged else None
    if judged is None or arm is None or not judged.record.randomised or judged.record.degraded:
        return None
    record, labels = judged.record, [kept.record.observed_at for kept in request.history(LABEL)]
    row = EvidenceRow(
        judged.position(record.at),
        candidate=False,
        propensity=0.0,
        failed=record.error is not None,
        label=record.label,
        score=record.score,
        scores=record.scores,
        latency_s=arm_latency(record),
        outcomes=request.counting(),
    )
    delay = min(labels) - record.at if labels else None
    return ServedRow(row, arm.generation, record.epoch, record.key_hash, delay)


def replayable_row(request: Request) -> Replayable | None:
    """A request that a hold-out may ask again; None: it was forced, or its features were degraded."""
    if request.judged is None or not request.judged.record.randomised or request.judged.record.degraded:
        return None
    record = request.judged.record
    values = dict(zip(record.names, record.values, strict=False))
    return Replayable(record.at, values, request.counting().get(LABEL))


def answer_of(request: Request) -> tuple[float, Answer] | None:
    """When a request was served, and what came of it, for performance by variant; None: nothing is judged."""
    judged = request.judged
    arm = assigned_arm(judged.record) if judged else None
    if judged is None or arm is None or not judged.record.randomised:
        return None
    record, outcomes = judged.record, request.counting()
    labels = [kept.record.observed_at for kept in request.history(LABEL)]
    return record.at, Answer(
        arm.name,
        arm.generation,
        arm.digest,
        record.error is not None,
        record.degraded,
        record.label,
        record.score,
        LABEL in outcomes,
        outcomes.get(LABEL),
        arm_latency(record),
        min(labels) - record.at if labels else None,
    )


def prediction_counts(requests: Sequence[Request], let_go: Sequence[Request]) -> dict[str, int]:
    """The books of predictions, those that were let go among them."""
    held = sum(len(request.predictions) for request in requests)
    stored = sum(bool(request.predictions) for request in requests)
    expired = sum(len(request.predictions) for request in let_go)
    crashed = sum(len(request.crashes) for request in (*requests, *let_go))
    books = {"received": held + expired, "stored": stored, "duplicates": held - stored, "crashed": crashed}
    return books | ({"expired": expired} if expired else {})


def outcome_counts(requests: Sequence[Request], expired: Sequence[list[Scalar]]) -> dict[str, int]:
    """The books of outcomes; ``expired`` holds the values that were given up, in log order."""
    joined, waiting = 0, 0
    histories = list(expired)
    for request in requests:
        metrics = request.metrics()
        joined += len(metrics) if request.predictions else 0
        waiting += 0 if request.predictions else len(metrics)
        histories += [[kept.record.value for kept in request.history(metric)] for metric in metrics]
    counts = [overruled(history) for history in histories]
    return {
        "accepted": sum(len(history) for history in histories),
        "joined": joined,
        "waiting": waiting,
        "corrected": sum(corrected for corrected, _ in counts),
        "expired": len(expired),
        "duplicate": sum(duplicate for _, duplicate in counts),
    }


def shadow_counts(requests: Sequence[Request], gone: set[str]) -> dict[str, int]:
    """The books of shadows; what writers that are ``gone`` still owed was dropped."""
    owed: Counter[str] = Counter()
    books = Counter(dict.fromkeys(SHADOW_BOOKS, 0))
    for request in requests:
        for prediction in request.predictions:
            owed[writer_of(prediction.spool_id)] += len(prediction.record.shadows)
        for shadow in request.shadows:
            owed[writer_of(shadow.spool_id)] -= 1
            reason = shadow.record.dropped
            books.update(["done"] if reason is None else ["dropped", dropped_for(reason)])
    for writer, pending in owed.items():
        if writer not in gone:
            books["pending"] += pending
        elif pending:
            books["dropped"] += pending
            books[dropped_for(WORKER_DIED)] += pending
    books["eligible"] = books["done"] + books["dropped"] + books["pending"]
    return dict(books)
