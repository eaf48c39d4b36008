"""The port of the store's events, and what it answers with."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.events import (
    Event,
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


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """One prediction as the store knows it: the record that counts, its attempts, shadows and outcome history."""

    record: PredictionRecord
    attempts: int
    shadows: tuple[ShadowRecord, ...]
    outcomes: tuple[OutcomeRecord, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Which records a look takes: data time in (``after``, ``until``], drained no later than ``visible`` says.

    ``visible`` maps spool_id to the offset up to which records could be seen, so that a look can be made again later.
    """

    after: float
    until: float
    visible: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Books:
    """The ledger of one deployment (or of all): every count of what was received and what became of it."""

    predictions: dict[str, int]
    outcomes: dict[str, int]
    shadows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of a duration, in seconds: half of all, and all but a twentieth and a hundredth, took no longer."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class VariantPerformance:
    """How one variant's answers did in a window of data time, for people and gauges: no bet rests on it.

    A request belongs to the arm that was drawn for it (``name``, ``generation``, ``digest``). Forced requests and
    repeated request ids are left out. ``failed`` counts the arm's own failures; a labelled request that it failed
    at is labelled and not correct. ``brier_sum`` is over the ``scored`` ones: labelled, binary, with a score.
    ``latency_s`` is the machine time that the arm took for requests of their own, ``label_delay_s`` the data time from
    a request to its first label: None where there is none.
    """

    name: str
    generation: str
    digest: str
    n: int
    failed: int
    degraded: int
    labelled: int
    correct: int
    scored: int = 0
    brier_sum: float = 0.0
    latency_s: Spread | None = None
    label_delay_s: Spread | None = None


EXPIRED_AT_ONCE = 5_000
"""How many outcomes are given up in one transaction: some tens of milliseconds for which a drain may have to wait."""


class EventLog(Protocol):
    """The store's events. Called from the agent's store thread only, so it may block. Raises StoreUnavailable."""

    def append(self, spool_id: str, events: Sequence[tuple[int, Event]], end: int) -> None:
        """Store events by (spool_id, offset) and move the spool's cursor to ``end``, in one transaction; idempotent.

        A spool is drained in its own order: events below its cursor are known already and change nothing.
        """

    def close_writer(self, writer: str) -> None:
        """A worker is gone and all it wrote is stored: shadow scores it still owed are dropped (``worker_died``)."""

    def expire_outcomes(self, before: float, most: int = EXPIRED_AT_ONCE) -> int:
        """Give up outcomes received before ``before`` (data time) whose prediction never came; say how many.

        At most ``most`` in one transaction: a number below it says that none is left.
        """

    def cursors(self) -> Mapping[str, int]:
        """How far every spool has been drained (bytes)."""

    def evidence(self, deployment: str, generation: str, window: Window) -> list[EvidenceRow]:
        """Every bet of a candidate's generation in the window, both arms, in order of position, each request once.

        Left out, for reasons fixed before assignment: forced requests, degraded features, propensity 0 or 1 between
        the two arms, repeated request ids after the first record, and (sticky) keys already seen in this epoch.
        """

    def pairs(self, deployment: str, generation: str, stable: str, window: Window) -> list[PairRow]:
        """Every stable-served request in the window that the shadow of this generation scored or failed at.

        A pair stands where its prediction stands. Forced and degraded requests are left out, and repeated ids.
        """

    def performance(self, deployment: str, after: float, until: float) -> list[VariantPerformance]:
        """Count what each (name, generation, digest) answered with data time in (``after``, ``until``], by name.

        Labels are the outcomes of metric ``label`` that count now, whatever their age.
        """

    def degraded(self, deployment: str, generations: Collection[str], after: float, until: float) -> tuple[int, int]:
        """Count what :meth:`performance` counts of these generations, and how many of it met degraded features."""

    def replayable(self, deployment: str, limit: int, *, labelled: bool) -> list[Replayable]:
        """The latest ``limit`` randomised requests with whole features, oldest first; ``labelled``: with a label only.

        Their values are those that were read then, their label is the one that counts now.
        """

    def latest(self, deployment: str) -> float | None:
        """The greatest data time (seconds) of any prediction stored, None before the first."""

    def served(self, deployment: str, limit: int) -> list[ServedRow]:
        """The newest ``limit`` requests by data time, oldest first, with the outcomes that count now.

        As evidence leaves them out: forced requests, degraded features, repeated request ids after the first record.
        """

    def days(self, deployment: str) -> Mapping[int, int]:
        """How often each day has changed: days since the Unix epoch (data time, UTC), to a count that only grows.

        A prediction changes its day, and so does every outcome of it. Days that were closed are left out.
        """

    def joined(self, deployment: str, day: int, after: Position | None, limit: int) -> list[JoinedRow]:
        """At most ``limit`` predictions of a day, all attempts, in order of position, from behind ``after``."""

    def close_day(self, deployment: str, day: int, changes: int) -> bool:
        """Let a day go, unless it has changed more often than ``changes`` says; whether it was let go.

        From then on it is no day of :meth:`days`; its predictions go by :meth:`forget`.
        """

    def closed_days(self, deployment: str) -> list[int]:
        """Closed days that may hold predictions: those not emptied yet, and those into which something came late."""

    def forget(self, deployment: str, day: int, most: int) -> int:
        """Delete at most about ``most`` predictions of a closed day in one transaction; says how many, 0: none is left.

        With each go its bets and, unless another attempt of its id lies in a day that stays, its shadow scores, crashes
        and outcomes. The books count predictions and outcomes that are gone as ``expired``.
        """

    def forget_claims(self, deployment: str, generation: str, most: int) -> int:
        """Delete at most ``most`` of the sticky keys that a generation has drawn; says how many."""

    def prediction(self, tag: str, body: str) -> StoredPrediction | None:
        """One prediction with its shadows and outcomes."""

    def books(self, deployment: str | None = None) -> Books:
        """Count everything."""
