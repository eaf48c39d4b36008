"""What the gateway needs from the world, as protocols. One folder under ``adapters`` per port, a memory form in each.

Adapters translate foreign errors into :mod:`gateway.core.errors` where they enter.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from gateway.core.alerts import Alert
from gateway.core.audit import Head, Trail
from gateway.core.course import CoursePoint
from gateway.core.deployments import ModelCard, Scalar, Task
from gateway.core.drift.causes import DriftEvent
from gateway.core.drift.profiles import Profile
from gateway.core.drift.rows import LoggedRow
from gateway.core.envelopes import Envelope, Told
from gateway.core.events import (
    Decision,
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
from gateway.core.features import FeatureBatch, FeaturePlan
from gateway.core.gates import Replayable
from gateway.core.looks import Look, Opening
from gateway.core.policy import Ruling
from gateway.core.routing import Part, RoutingTable
from gateway.core.state import DeploymentState as DeploymentState  # the document that ControlState keeps


class Clock(Protocol):
    """The only way anything here learns the time."""

    def machine(self) -> float:
        """Monotonic seconds: deadlines, leases, looks, latency."""

    def data(self) -> float:
        """Data time now, seconds since the Unix epoch: ages, epochs, maturity. Under replay, the greatest seen."""

    def observe(self, at: float) -> None:
        """Take notice, under replay, that data time has come to ``at`` seconds. A wall clock takes none."""

    def wall(self) -> float:
        """The calendar's time, seconds since the Unix epoch, for people who read a timeline. Nothing decides by it."""


class FeatureSource(Protocol):
    """Reads a plan's features for some rows in one go."""

    async def read(self, plan: FeaturePlan, rows: Sequence[Mapping[str, Scalar]], budget_s: float) -> FeatureBatch:
        """Deliver what the store holds for each row's entity keys within ``budget_s`` machine seconds.

        Never raises for a store that is slow or down: those rows come back UNAVAILABLE.
        """

    async def close(self) -> None:
        """Let go of connections."""


class PlanCompiler(Protocol):
    """Knows the feature repository; used by the agent only."""

    def compile(self, services: Sequence[str]) -> FeaturePlan:
        """Compile the union of ``services``. Raises PlanImpossible. May be slow; never on a request path."""


@dataclass(frozen=True, slots=True)
class Output:
    """A model's answer for one row: a label or number, and for classifiers the probabilities."""

    label: Scalar
    score: float | None = None
    scores: dict[str, float] | None = None


class Model(Protocol):
    """A loaded model. ``predict`` may block and may raise anything; whoever calls it runs it in a pool."""

    @property
    def card(self) -> ModelCard:
        """What it is, takes and gives."""

    def predict(self, rows: Sequence[Sequence[Scalar]]) -> list[Output]:
        """Answer rows whose values stand in the order of ``card.inputs``. Raises ModelFailed for a non-answer."""


class Routing(Protocol):
    """A worker's view of who answers: tables that the agent pushed, and what may take traffic here and now."""

    def table(self, deployment: str | None) -> RoutingTable:
        """The table in force for a deployment (None: the default one). Raises UnknownDeployment, NoModelReady."""

    def table_by_tag(self, tag: str) -> RoutingTable | None:
        """The table whose deployment an id's tag stands for."""

    def able(self, table: RoutingTable) -> frozenset[str]:
        """Names of candidates that may take traffic: lease in force, model loaded, not refused on this worker."""


class Flags(Protocol):
    """Flags that may name who answers, evaluated in this process."""

    def variant(self, flag: str, key: str, attributes: Mapping[str, Scalar]) -> str | None:
        """The variant that a flag names for a routing key, or None. Never raises and never waits."""


class Runner(Protocol):
    """Runs loaded models in bounded pools, one per variant, so that none can hurt another or the event loop."""

    def loaded(self, digest: str) -> bool:
        """Whether a model is loaded and warm on this worker."""

    async def predict(self, part: Part, rows: Sequence[Sequence[Scalar]], deadline_s: float) -> list[Output]:
        """Answer rows within ``deadline_s`` machine seconds.

        Raises ModelFailed, DeadlinePassed, NoModelReady or Overloaded; the latter two before the model ran. The pool
        belongs to the part's name: ``stable`` has its own, so has each candidate and each shadow.
        """


class ModelStore(Protocol):
    """A registry of model artifacts; used by the agent only."""

    def resolve(self, uri: str) -> str:
        """Pin ``uri`` (a version, an alias, a path) to one that cannot move. Raises ModelUnusable."""

    def fetch(self, pinned: str, into: str) -> "Artifact":
        """Download the artifact into the folder ``into`` and say what it is. Raises ModelUnusable."""


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version of a registered model, as people see it. ``created_at`` is wall time in seconds, where known."""

    version: str
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: float | None = None


class Registry(Protocol):
    """A registry's pointers and notes, apart from its artifacts; used by the agent and by commands only.

    Everything may block, raises RegistryUnavailable when the registry cannot be reached and ModelUnusable when it has
    no such model. Every change may be made again without harm.
    """

    def aliases(self, model: str) -> Mapping[str, str]:
        """The aliases of a registered model: which version each points at."""

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias at a version."""

    def clear_alias(self, model: str, alias: str) -> None:
        """Take an alias away; one that is not there is fine."""

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Write tags to a version, over those of the same names."""

    def versions(self, model: str) -> list[RegisteredVersion]:
        """Every version of a registered model, the latest first."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A fetched artifact before preparation: what the registry knows of it. ``path`` is relative to the folder."""

    name: str
    version: str
    uri: str
    flavour: str
    path: str
    feature_service: str | None = None
    task: Task | None = None


class Spool(Protocol):
    """A worker's own append-only log: what it says is there survives the worker."""

    def append(self, event: Event) -> None:
        """Hand ``event`` to the kernel before returning. Raises LogRefused."""

    def append_soon(self, event: Event) -> "asyncio.Future[None]":
        """Hand ``event`` to the kernel with whatever else this turn of the loop brings, in the order it came.

        The future is done once the kernel has it, or raises LogRefused; leaving it does not take the record back.
        """

    async def flush(self) -> None:
        """Return once everything appended before the call is on disk (fsync, group commit). Raises LogRefused."""

    def close(self) -> None:
        """Seal the segment: the agent drains and deletes it."""


class Marks(Protocol):
    """A worker's note of what it is about to run, kept where a crash cannot take it (a small mmap)."""

    def running(self, tag: str, bodies: Sequence[str], generation: str, at: float) -> AbstractContextManager[None]:
        """Note that these predictions run a model of ``generation``, which is not stable, while the context lasts.

        ``at`` is their data time. Never raises and never waits: with no room left the run goes unnoted.
        """


class Unmarked:
    """Marks for a process whose crash nobody charges to a model: it notes nothing."""

    def running(self, tag: str, bodies: Sequence[str], generation: str, at: float) -> AbstractContextManager[None]:
        """Note nothing."""
        del tag, bodies, generation, at
        return nullcontext()


class Observer(Protocol):
    """Somebody who counts what happened (metrics). Told after the fact; never raises, never waits."""

    def predicted(self, record: PredictionRecord, table: RoutingTable, logged: bool) -> None:
        """A routed request ended, well or not (``record.status``). ``logged`` False: the spool did not take it."""

    def shadowed(self, record: ShadowRecord, logged: bool) -> None:
        """A shadow scored, failed or was dropped. ``logged`` False: the spool did not take the record."""

    def outcome(self, record: OutcomeRecord, deployment: str) -> None:
        """An outcome is on disk. ``deployment`` is "" when this worker has no table for it."""

    def forged(self, count: int) -> None:
        """So many outcomes named ids that were never issued here."""


class Unobserved:
    """An observer who looks away."""

    def predicted(self, record: PredictionRecord, table: RoutingTable, logged: bool) -> None:
        """Count nothing."""

    def shadowed(self, record: ShadowRecord, logged: bool) -> None:
        """Count nothing."""

    def outcome(self, record: OutcomeRecord, deployment: str) -> None:
        """Count nothing."""

    def forged(self, count: int) -> None:
        """Count nothing."""


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
    latency_s: "Spread | None" = None
    label_delay_s: "Spread | None" = None


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of a duration, in seconds: half of all, and all but a twentieth and a hundredth, took no longer."""

    p50: float
    p95: float
    p99: float


class EventLog(Protocol):
    """The store's events. Called from the agent's store thread only, so it may block. Raises StoreUnavailable."""

    def append(self, spool_id: str, events: Sequence[tuple[int, Event]], end: int) -> None:
        """Store events by (spool_id, offset) and move the spool's cursor to ``end``, in one transaction; idempotent.

        A spool is drained in its own order: events below its cursor are known already and change nothing.
        """

    def close_writer(self, writer: str) -> None:
        """A worker is gone and all it wrote is stored: shadow scores it still owed are dropped (``worker_died``)."""

    def expire_outcomes(self, before: float) -> int:
        """Give up outcomes received before ``before`` (data time) whose prediction never came; say how many."""

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

        A prediction changes its day, and so does every outcome of it.
        """

    def joined(self, deployment: str, day: int, after: Position | None, limit: int) -> list[JoinedRow]:
        """At most ``limit`` predictions of a day, all attempts, in order of position, from behind ``after``."""

    def prediction(self, tag: str, body: str) -> StoredPrediction | None:
        """One prediction with its shadows and outcomes."""

    def books(self, deployment: str | None = None) -> Books:
        """Count everything."""


class Lake(Protocol):
    """Where exported predictions go, by deployment and day. Raises LakeUnavailable."""

    def days(self, deployment: str) -> Mapping[int, int]:
        """Which days are written, and the count of changes that each was written with."""

    def write(
        self, deployment: str, day: int, changes: int, batches: Callable[[], Iterable[Sequence[JoinedRow]]]
    ) -> int:
        """Replace a day, whole or not at all, and say how many rows it has. ``batches`` may be asked more than once."""


@dataclass(frozen=True, slots=True)
class Untold:
    """An event that the outside has yet to be told of. ``number`` orders it, ``id`` is its own for ever."""

    number: int
    id: str
    event: Told


class Outbox(Protocol):
    """Events that wait to be told to the outside, put there by the transaction that stores them.

    They stay until they are said to be told, so each is told at least once. May block. Raises StoreUnavailable.
    """

    def untold(self, limit: int) -> list[Untold]:
        """At most ``limit`` of them, oldest first."""

    def told(self, numbers: Collection[int]) -> None:
        """Let go of these; those that are gone are fine."""

    def waiting(self) -> int:
        """How many wait, within a few."""

    def give_up(self, most: int) -> int:
        """Let go of the oldest beyond about ``most``; says how many."""


class Delivery(Enum):
    """What became of an event that was sent."""

    TOLD = "told"
    """The broker has it, on as many replicas as it was asked for."""
    FAILED = "failed"
    """Nobody knows that it has; to be sent again."""
    REFUSED = "refused"
    """It never will, however often it is asked: too large, or not to its mind."""


class EventSink(Protocol):
    """Somebody outside who is told of events."""

    def send(self, envelopes: Sequence[Envelope]) -> list[Delivery]:
        """Send these and wait for word of each, in their order. Never raises; may block for seconds."""

    def close(self) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that may tell outcomes, as it came: ``place`` is its topic, partition and offset."""

    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    place: tuple[str, int, int] = ("", 0, 0)


class OutcomeSource(Protocol):
    """Somebody outside who tells outcomes. May block; what is not said to be done is delivered again."""

    def take(self, most: int, within_s: float) -> list[Incoming]:
        """At most ``most`` messages, those that come within ``within_s`` machine seconds. Never raises."""

    def put_aside(self, refused: Sequence[tuple[Incoming, str]]) -> bool:
        """Keep messages that cannot be taken, each with the reason, where people find them. True: all are kept."""

    def done(self, messages: Sequence[Incoming]) -> None:
        """These need not come again. Never raises: what cannot be said is only delivered once more."""

    def again(self, messages: Sequence[Incoming]) -> None:
        """Deliver these again, and what comes behind them. Never raises."""

    def close(self) -> None:
        """Leave; others take what is not done."""


class ControlState(Protocol):
    """The store's control documents. Raises StoreUnavailable."""

    def read(self, deployment: str) -> DeploymentState | None:
        """The document as it stands, or None."""

    def all(self) -> list[DeploymentState]:
        """Every deployment's document, by name."""

    def write(self, state: DeploymentState, expected: int, decisions: Sequence[Decision]) -> None:
        """Replace revision ``expected`` (0: there was none) and append the decisions, in one transaction.

        Raises RevisionConflict, and then nothing has changed.
        """

    def timeline(self, deployment: str, limit: int = 100) -> list[Decision]:
        """Decisions, newest first."""

    def judge_state(self, deployment: str, generation: str) -> bytes | None:
        """What the judge of this generation remembered at its last look."""

    def together(self) -> AbstractContextManager[None]:
        """Make one transaction of everything that is written inside: all of it holds, or, if it raises, nothing."""

    def save_look(
        self, deployment: str, generation: str, state: bytes, look: Look, opening: Opening | None = None
    ) -> None:
        """Remember what the judge knows after a look, and the look itself, in one transaction. Moves no revision.

        The first look of a generation comes with its opening; looks of one whose opening was never kept are not
        kept either, since they could not be made again.
        """

    def opening(self, deployment: str, generation: str) -> Opening | None:
        """How a generation's evidence began."""

    def openings(self, deployment: str) -> list[Opening]:
        """The openings of every generation, oldest first."""

    def trail(self) -> Trail:
        """Every timeline with its seals (``core.audit``), which :meth:`write` makes, and the documents' digests."""

    def head(self, deployment: str) -> Head:
        """How long a timeline is, and its last seal."""

    def looks(self, deployment: str, generation: str) -> list[Look]:
        """Every look of a generation, in order."""

    def save_point(self, deployment: str, generation: str, point: CoursePoint) -> None:
        """Keep a point of how a generation's evidence has gone; one of the same look replaces it."""

    def course(self, deployment: str, generation: str) -> list[CoursePoint]:
        """The points kept of a generation, in order."""


@dataclass(frozen=True, slots=True)
class HostWord:
    """What a host says of itself several times a second. Data times in seconds; ``as_of`` is wall time.

    ``low`` and ``high`` are a Punctuation's, over all its spools, each drained up to there; ``high`` None: no spool of
    its has anything to say. ``loaded`` are the digests that every worker there has warm, ``failed`` those that none can
    load, and why. ``spooled`` counts what it has acknowledged and not drained, by kind.
    """

    host: str
    low: float | None = None
    high: float | None = None
    workers: int = 0
    loaded: frozenset[str] = frozenset()
    failed: dict[str, str] = field(default_factory=dict)
    spooled: dict[str, int] = field(default_factory=dict)
    as_of: float = 0.0
    schema: int = 1


class Hosts(Protocol):
    """The hosts around one store. Raises StoreUnavailable."""

    def beat(self, word: HostWord) -> None:
        """Say that this host lives, and how it is."""

    def live(self) -> list[HostWord]:
        """The last word of every host heard within ``SILENT_AFTER_S`` seconds, by name."""

    def leave(self, host: str) -> None:
        """Forget a host that ends, so that nobody waits for it."""


class Leadership(Protocol):
    """Which of the hosts around one store looks at rollouts: one at a time, its epoch checked at each write."""

    def acquire(self) -> int | None:
        """Take the lead or renew it, for a few seconds; the epoch, or None while another host leads. Never raises."""

    def epoch(self) -> int:
        """The epoch in which this process leads, as it last heard. Raises NotLeading."""

    def reach(self, watermark: float | None) -> float | None:
        """Move the store's watermark (data time; never back) and say where it stands: the next leader goes on there.

        What is drained below it later is reported and never bet on. Raises NotLeading, StoreUnavailable.
        """

    def resign(self) -> None:
        """Let another host lead at once. Raises StoreUnavailable."""


class PolicyGate(Protocol):
    """A policy that is asked before a rollout or a promotion."""

    def rule(self, question: Mapping[str, Any]) -> Ruling:
        """What it says of plain data. Raises PolicyPending rather than wait, OutboundRefused without an answer."""


class AlertSink(Protocol):
    """Somebody who wants to be told of every decision."""

    def tell(self, decision: Decision) -> None:
        """Pass the decision on. Never raises, never waits."""


class Announcer(Protocol):
    """The way to people: told of what they want to hear, whatever it came from."""

    def announce(self, alert: Alert) -> None:
        """Put an alert on its way. Never raises, never waits; a dead target costs nothing but a counter."""

    def close(self, longest_s: float = 5.0) -> None:
        """Send what waits, within ``longest_s`` machine seconds."""


class DriftLog(Protocol):
    """What drift watches read of the log and keep in the store. May block. Raises StoreUnavailable."""

    def logged(self, deployment: str, after: float, until: float, most: int) -> list[LoggedRow]:
        """At most ``most`` requests with data time in (``after``, ``until``], in order of time.

        They are those with the smallest ids, which are random: a sample without regard to arm or content. Forced
        requests and repeated request ids after the first record are left out; degraded ones are not.
        """

    def remembered(self, deployment: str, watch: str) -> bytes | None:
        """What a watch saved last, or None."""

    def remember(self, deployment: str, watch: str, memory: bytes) -> None:
        """Keep what a watch knows, in the place of what it knew."""


class Profiles(Protocol):
    """Where the reference profile of a prepared model is found."""

    def __call__(self, digest: str, /) -> Profile | None:
        """The profile that lies beside the model, None where it carries none. Raises ModelUnusable."""


class DriftSink(Protocol):
    """Somebody who wants to know of drift and of its cause: alerts, retraining."""

    def drifted(self, event: DriftEvent) -> None:
        """An alarm rose, or ended. Told at least once, so the same event twice must do nothing. Never raises."""
