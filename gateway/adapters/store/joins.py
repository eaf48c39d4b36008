"""The rules every store shares: which request is a bet, which outcome counts, and what the books call it.

Pure, so that two databases cannot disagree about them.
"""

import itertools
import math
from array import array
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from gateway.core.deployments import Scalar
from gateway.core.events import ArmRecord, OutcomeRecord, PredictionRecord
from gateway.core.routing import STABLE
from gateway.ports import Spread, VariantPerformance

LABEL = "label"
"""The metric of an outcome that is the truth about the prediction itself."""


PREDICTION_BOOKS = ("received", "stored", "duplicates", "crashed")
"""received = stored + duplicates, + ``expired`` once any are forgotten. ``crashed`` counts marks of dead workers."""
OUTCOME_BOOKS = ("accepted", "joined", "waiting", "corrected", "expired", "duplicate")
"""accepted = the sum of the others."""
SHADOW_BOOKS = ("eligible", "done", "dropped", "pending")
"""eligible = done + dropped + pending; the reasons are counted beside, see :func:`dropped_for`."""
WORKER_DIED = "worker_died"
DAY_S = 86_400
PIECE = 5_000
"""Requests of a window that are read at a time."""


def dropped_for(reason: str) -> str:
    """Name the count of shadow scores dropped for a reason.

    >>> dropped_for("queue_full")
    'dropped:queue_full'
    """
    return f"dropped:{reason}"


def day_of(at: float) -> int:
    """Which day (UTC, since the Unix epoch) a data time in seconds falls on.

    >>> day_of(86_400.0), day_of(86_399.9)
    (1, 0)
    """
    return int(at // DAY_S)


@dataclass(frozen=True, slots=True)
class Bet:
    """One request as evidence about one candidate: which side was drawn, and P(candidate) between the two."""

    generation: str
    candidate: bool
    propensity: float


def draws(record: PredictionRecord) -> list[tuple[ArmRecord, float]]:
    """List the candidates that were drawn against stable for this request, each with P(candidate) between the two.

    A candidate without a share, or one that left stable none, was not drawn: nothing was left to chance.
    """
    if not record.randomised:
        return []
    stable = sum(arm.propensity for arm in record.arms if arm.name == STABLE)
    candidates = [arm for arm in record.arms if arm.name != STABLE and arm.propensity > 0.0]
    return [(arm, arm.propensity / (arm.propensity + stable)) for arm in candidates] if stable > 0.0 else []


def bets(record: PredictionRecord) -> list[Bet]:
    """List what this request is evidence about, by its own fields: drawn, not degraded, not a third arm's.

    Whether it is the first of its id, and of its key, only the log can tell.
    """
    if record.degraded:
        return []
    return [
        Bet(arm.generation, record.assigned == arm.name, propensity)
        for arm, propensity in draws(record)
        if record.assigned in {STABLE, arm.name}
    ]


def arm_latency(record: PredictionRecord) -> float | None:
    """Machine seconds that the assigned arm took; the whole request's where no model ran.

    None for one of several asked for at once: they share a call, which is longer for the arm that drew more of them.
    """
    if record.instances > 1:
        return None
    return record.latency.get("model", record.latency.get("total", 0.0))


def assigned_arm(record: PredictionRecord) -> ArmRecord | None:
    """Find the arm that was drawn (None: the record does not list it)."""
    return next((arm for arm in record.arms if arm.name == record.assigned), None)


def stable_generation(record: PredictionRecord) -> str:
    """Name the stable generation that the request met ("" when the record does not say)."""
    return next((arm.generation for arm in record.arms if arm.name == STABLE), "")


def pairable(record: PredictionRecord) -> bool:
    """Whether a shadow's score beside this answer makes a pair."""
    return record.served == STABLE and record.randomised and not record.degraded


@dataclass(frozen=True, slots=True, order=True)
class Rank:
    """The order in which outcomes of one (prediction, metric) overrule each other; the greatest counts.

    ``observed_at`` is the caller's; what follows is the record's log position, which breaks ties the same way on
    every host and however the spools were interleaved.
    """

    observed_at: float
    received_at: float
    spool_id: str
    offset: int


def rank(record: OutcomeRecord, spool_id: str, offset: int) -> Rank:
    """Rank an outcome among those of its prediction and metric."""
    return Rank(record.observed_at, record.received_at, spool_id, offset)


def visible(spool_id: str, offset: int, seen: Mapping[str, int]) -> bool:
    """Whether a look that had drained the spools this far could see the record."""
    return offset < seen.get(spool_id, 0)


def overruled(history: Sequence[Scalar]) -> tuple[int, int]:
    """Count the corrected values and the mere repetitions in a history, given in order of rank, the last one counting.

    >>> overruled([1]), overruled([1, 1, 0]), overruled([1, 0, 1]), overruled([])
    ((0, 0), (1, 1), (2, 0), (0, 0))
    """
    changes = sum(before != after for before, after in itertools.pairwise(history))
    return changes, max(0, len(history) - 1 - changes)


def told(history: list[tuple[Rank, Scalar]], place: Rank, value: Scalar) -> dict[str, int]:
    """Put an outcome in its place among those told before (in order of rank); what it adds to the books, by name.

    >>> history = [(Rank(1.0, 1.0, "w", 0), 1)]
    >>> told(history, Rank(2.0, 2.0, "w", 100), 0), len(history)
    ({'corrected': 1, 'duplicate': 0}, 2)
    """
    if not history:  # as it nearly always is
        history.append((place, value))
        return {}
    at = bisect(history, place, key=itemgetter(0))
    first = max(0, at - 1)
    was = overruled([value for _, value in history[first : at + 1]])
    history.insert(at, (place, value))
    now = overruled([value for _, value in history[first : at + 2]])
    return {"corrected": now[0] - was[0], "duplicate": now[1] - was[1]}


@dataclass(frozen=True, slots=True)
class Answer:
    """One counted request for :func:`performance`. ``labelled``: an outcome of metric ``label`` is there.

    ``latency_s`` is None where it is not this request's alone. ``label_delay_s`` is the data time from the request to
    its first label, None while there is none.
    """

    name: str
    generation: str
    digest: str
    failed: bool
    degraded: bool
    prediction: Scalar
    score: float | None
    labelled: bool
    truth: Scalar
    latency_s: float | None
    label_delay_s: float | None


def performance(answers: Iterable[Answer]) -> list[VariantPerformance]:
    """Count answers by variant, generation and digest, in that order; of each only its two durations are kept."""
    groups: dict[tuple[str, str, str], _Tally] = {}
    for answer in answers:
        key = (answer.name, answer.generation, answer.digest)
        if key not in groups:
            groups[key] = _Tally()
        groups[key].add(answer)
    return [groups[key].told(key) for key in sorted(groups)]


@dataclass(slots=True)
class _Tally:
    """The answers of one variant so far; durations in seconds."""

    n: int = 0
    failed: int = 0
    degraded: int = 0
    labelled: int = 0
    correct: int = 0
    scored: int = 0
    brier_sum: float = 0.0
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    delays: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, answer: Answer) -> None:
        """Count one more."""
        self.n += 1
        self.failed += answer.failed
        self.degraded += answer.degraded
        if answer.latency_s is not None:
            self.latencies.append(answer.latency_s)
        if not answer.labelled:
            return
        self.labelled += 1
        self.correct += not answer.failed and answer.prediction == answer.truth
        if answer.score is not None and answer.truth in (0, 1):  # it is the probability of 1
            self.scored += 1
            self.brier_sum += (answer.score - float(answer.truth)) ** 2
        if answer.label_delay_s is not None:
            self.delays.append(answer.label_delay_s)

    def told(self, key: tuple[str, str, str]) -> VariantPerformance:
        """Everything that was counted."""
        return VariantPerformance(
            *key,
            n=self.n,
            failed=self.failed,
            degraded=self.degraded,
            labelled=self.labelled,
            correct=self.correct,
            scored=self.scored,
            brier_sum=self.brier_sum,
            latency_s=spread(self.latencies),
            label_delay_s=spread(self.delays),
        )


def spread(durations: Sequence[float]) -> Spread | None:
    """Return the quantiles of some durations: of each share the smallest that so many do not exceed.

    >>> spread([3.0, 1.0, 2.0, 4.0])
    Spread(p50=2.0, p95=4.0, p99=4.0)
    """
    if not durations:
        return None
    ordered = sorted(durations)
    return Spread(*(ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95, 0.99)))
