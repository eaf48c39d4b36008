"""One drain into PostgreSQL: a batch of a spool's records, joined and counted as they are stored.

The rules are those of :mod:`gateway.adapters.store.sqlite_drain`, record by record in log order; only the traffic is
different. What the batch has to know of the log is asked for at once, everything it adds is copied in at the end. An
advisory lock per deployment tag makes hosts take turns, so nothing that is settled here can be settled twice.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import LiteralString

from gateway.adapters.spool.names import writer_of
from gateway.adapters.store import outbox, postgresql_outbox
from gateway.adapters.store import postgresql_queries as queries
from gateway.adapters.store.joins import (
    Rank,
    arm_latency,
    assigned_arm,
    bets,
    day_of,
    draws,
    dropped_for,
    pairable,
    rank,
    stable_generation,
    told,
)
from gateway.adapters.store.postgresql import Connection, Row, row
from gateway.adapters.store.rows import PackedAnswer, pack, unpack_scalar
from gateway.core.deployments import Scalar
from gateway.core.events import CrashRecord, Event, OutcomeRecord, PredictionRecord, Punctuation, ShadowRecord

_Id = tuple[str, str]
_Metric = tuple[str, str, str]
_Claim = tuple[str, str, int, str]


class Counts:
    """Changes to the books, added up in memory and written once."""

    def __init__(self) -> None:
        self._changes: Counter[tuple[str, str, str]] = Counter()

    def add(self, tag: str, book: str, name: str, n: int = 1) -> None:
        """Change one count by ``n``."""
        self._changes[tag, book, name] += n

    def write(self, connection: Connection) -> None:
        """Add the changes to the books."""
        changes = [(*key, n) for key, n in sorted(self._changes.items()) if n]
        if changes:
            connection.execute(queries.ADD_COUNTS, columns(changes, 4))


@dataclass(slots=True)
class Known:
    """What the log holds under one prediction id."""

    attempts: int = 0
    """The number of the last one, 0 where there is none; some before it may be forgotten."""
    crashes: int = 0
    crashed_first: int = 0
    waiting: set[str] = field(default_factory=set)
    """Metrics of which outcomes wait for the prediction."""


@dataclass(slots=True)
class Added:
    """Rows to copy in, by table."""

    predictions: list[Row] = field(default_factory=list)
    bets: list[Row] = field(default_factory=list)
    shadows: list[Row] = field(default_factory=list)
    outcomes: list[Row] = field(default_factory=list)
    crashes: list[Row] = field(default_factory=list)
    waits: dict[_Metric, float] = field(default_factory=dict)
    joined: list[_Id] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class About:
    """What a batch asks the log about; sorted, so that no two batches touch the same rows in another order."""

    ids: list[_Id]
    """Of predictions, crashes and outcomes: all that depends on the attempts before them."""
    numbered: list[_Id]
    """Predictions and crashes: how they are counted depends on the crashes before them."""
    predicted: list[_Id]
    """Predictions, for which outcomes may wait."""
    metrics: list[_Metric]
    shadows: list[_Metric]
    claims: list[_Claim]

    @classmethod
    def of(cls, events: Sequence[Event]) -> "About":
        """Look through a batch without punctuation."""
        predictions = [event for event in events if isinstance(event, PredictionRecord)]
        predicted = {(event.tag, event.body) for event in predictions}
        numbered = predicted | {(event.tag, event.body) for event in events if isinstance(event, CrashRecord)}
        metrics = {(e.tag, e.body, e.metric) for e in events if isinstance(e, OutcomeRecord)}
        return cls(
            ids=sorted(numbered | {(tag, body) for tag, body, _ in metrics}),
            numbered=sorted(numbered),
            predicted=sorted(predicted),
            metrics=sorted(metrics),
            shadows=sorted({(e.tag, e.body, e.generation) for e in events if isinstance(e, ShadowRecord)}),
            claims=sorted({_claim(e, arm.generation) for e in predictions if e.sticky for arm, _ in draws(e)}),
        )


class Drain:
    """Stores records of one spool inside the caller's transaction; ``finish`` copies them in and moves the cursor.

    Records of the kinds in ``tells`` are put into the outbox too.
    """

    def __init__(
        self,
        connection: Connection,
        spool_id: str,
        events: Sequence[tuple[int, Event]],
        tells: Collection[str] = (),
    ) -> None:
        self._connection = connection
        self._tells = tells
        self._spool_id = spool_id
        records = [(offset, event) for offset, event in events if not isinstance(event, Punctuation)]
        self._spool, cursor = self._take_turn(sorted({event.tag for _, event in records}))
        self._fresh = [(offset, event) for offset, event in records if offset >= cursor]
        self._added = Added()
        self._counts = Counts()
        self._owed: Counter[str] = Counter()
        self._days: Counter[tuple[str, int]] = Counter()
        self._learn()

    def store(self) -> None:
        """Settle what is not known yet, in log order."""
        for offset, event in self._fresh:
            if isinstance(event, PredictionRecord):
                self._store_prediction(event, offset)
            elif isinstance(event, OutcomeRecord):
                self._store_outcome(event, offset)
            elif isinstance(event, ShadowRecord):
                self._store_shadow(event, offset)
            elif isinstance(event, CrashRecord):
                self._store_crash(event, offset)

    def finish(self, end: int) -> None:
        """Copy everything in, write what was counted, and move the cursor."""
        connection, added = self._connection, self._added
        for statement, types, table in (
            (queries.COPY_PREDICTIONS, queries.PREDICTION_TYPES, added.predictions),
            (queries.COPY_BETS, queries.BET_TYPES, added.bets),
            (queries.COPY_SHADOWS, queries.SHADOW_TYPES, added.shadows),
            (queries.COPY_OUTCOMES, queries.OUTCOME_TYPES, added.outcomes),
            (queries.COPY_CRASHES, queries.CRASH_TYPES, added.crashes),
        ):
            _copy(connection, statement, types, table)
        writer = writer_of(self._spool_id)
        with connection.pipeline():
            self._ask(queries.END_WAITS, added.joined)
            self._ask(queries.BEGIN_WAITS, [(*key, at) for key, at in added.waits.items()], 4)
            self._counts.write(connection)
            postgresql_outbox.put(connection, self._entries())
            self._ask(queries.ADD_OWED, [(writer, tag, n) for tag, n in sorted(self._owed.items()) if n], 3)
            self._ask(queries.ADD_CHANGES, [(*key, n) for key, n in sorted(self._days.items())], 3)
            connection.execute(queries.MOVE_CURSOR, (end, self._spool))

    def _entries(self) -> list[outbox.Entry]:
        found = (outbox.record_entry(event, self._spool_id, offset, self._tells) for offset, event in self._fresh)
        return [entry for entries in found for entry in entries]

    def _take_turn(self, tags: list[str]) -> tuple[int, int]:
        """Wait until no other host settles records of the same deployments; the spool's number and its cursor.

        Tags come in order, so that no two hosts wait for each other in a ring.
        """
        connection = self._connection
        with connection.pipeline():
            connection.execute(queries.INSERT_SPOOL, (self._spool_id,))
            found = connection.execute(queries.LOCK_SPOOL, (self._spool_id,))
            connection.execute(queries.TAKE_TURN, (tags,))
        place = found.fetchone()
        assert place is not None  # noqa: S101 - it was put there by the statement before
        spool, cursor = place
        return spool, cursor

    def _learn(self) -> None:
        """Ask for what the log holds that this batch may meet: everything in one journey to the server."""
        about = About.of([event for _, event in self._fresh])
        with self._connection.pipeline():
            attempts = self._ask(queries.ATTEMPTS, about.ids)
            crashes = self._ask(queries.CRASHES_BEFORE, about.numbered)
            waiting = self._ask(queries.WAITING, about.predicted)
            histories = self._ask(queries.HISTORIES, about.metrics, 3)
            shadows = self._ask(queries.SHADOWS_BEFORE, about.shadows, 3)
            claims = self._ask(queries.CLAIM, about.claims, 4)
            watermark = self._connection.execute(queries.WATERMARK) if about.predicted else ()
        self._known: dict[_Id, Known] = {key: Known() for key in about.ids}
        self._days_of: defaultdict[_Id, set[int]] = defaultdict(set)
        for tag, body, attempt, at in attempts:
            self._known[tag, body].attempts = max(self._known[tag, body].attempts, attempt)
            self._days_of[tag, body].add(day_of(at))
        for tag, body, count, first in crashes:
            self._known[tag, body].crashes, self._known[tag, body].crashed_first = count, first
        for tag, body, metric in waiting:
            self._known[tag, body].waiting.add(metric)
        self._histories: defaultdict[_Metric, list[tuple[Rank, Scalar]]] = defaultdict(list)
        for tag, body, metric, *ranked, value in histories:
            self._histories[tag, body, metric].append((Rank(*ranked), unpack_scalar(value)))
        for history in self._histories.values():
            history.sort(key=itemgetter(0))
        self._shadows = Counter(dict.fromkeys(about.shadows, 0))
        for tag, body, generation, n in shadows:
            self._shadows[tag, body, generation] = n
        self._open: set[_Claim] = {(t, g, e, k) for t, g, e, k in claims}
        self._watermark: float | None = next((at for (at,) in watermark), None)

    def _ask(self, query: LiteralString, about: Sequence[Row], width: int = 2) -> Iterable[Row]:
        """Put a statement about rows on its way, if there are any; what it finds is there when the pipeline ends."""
        return self._connection.execute(query, columns(about, width)) if about else ()

    def _store_prediction(self, record: PredictionRecord, offset: int) -> None:
        known = self._known[record.tag, record.body]
        attempt = 1 + max(known.attempts, known.crashed_first)
        late = self._watermark is not None and record.at <= self._watermark
        answer: PackedAnswer = (record.label, record.score, record.scores, arm_latency(record))
        packed = pack(answer)
        self._added.predictions.append(self._prediction_row(record, offset, attempt, packed, late=late))
        self._settle_bets(record, offset, packed, judged=attempt == 1 and not late)
        self._counts.add(record.tag, "predictions", "received")
        self._counts.add(record.tag, "predictions", "duplicates" if known.attempts else "stored")
        self._counts.add(record.tag, "predictions", "late", int(late))
        self._counts.add(record.tag, "shadows", "eligible", len(record.shadows))
        self._owed[record.tag] += len(record.shadows)
        self._days[record.tag, day_of(record.at)] += 1
        self._days_of[record.tag, record.body].add(day_of(record.at))
        known.attempts = attempt
        if known.waiting:
            self._join_waiting(record, known)

    def _prediction_row(self, record: PredictionRecord, offset: int, attempt: int, packed: bytes, *, late: bool) -> Row:
        arm = assigned_arm(record)
        return (
            record.tag,
            record.body,
            attempt,
            self._spool,
            offset,
            record.at,
            record.assigned,
            arm.generation if arm else "",
            arm.digest if arm else "",
            stable_generation(record),
            arm is not None and record.randomised,
            pairable(record) and not late,
            late,
            record.degraded,
            record.error is not None,
            packed,
            pack(record),
        )

    def _settle_bets(self, record: PredictionRecord, offset: int, packed: bytes, *, judged: bool) -> None:
        drawn = draws(record)
        if not drawn:
            return
        open_to = {arm.generation for arm, _ in drawn if not record.sticky or self._claim(record, arm.generation)}
        failed = record.error is not None
        for bet in bets(record) if judged else []:
            if bet.generation in open_to:
                place = (record.tag, bet.generation, record.at, self._spool, offset, record.body)
                self._added.bets.append((*place, bet.candidate, bet.propensity, failed, packed))

    def _claim(self, record: PredictionRecord, generation: str) -> bool:
        """Whether this is the key's first draw of the epoch: even an unusable first one rules out the later ones."""
        claim = _claim(record, generation)
        if claim not in self._open:
            return False
        self._open.remove(claim)
        return True

    def _join_waiting(self, record: PredictionRecord, known: Known) -> None:
        joined = len(known.waiting)
        for metric in known.waiting:
            self._added.waits.pop((record.tag, record.body, metric), None)
        self._added.joined.append((record.tag, record.body))
        known.waiting.clear()
        self._counts.add(record.tag, "outcomes", "waiting", -joined)
        self._counts.add(record.tag, "outcomes", "joined", joined)

    def _store_outcome(self, record: OutcomeRecord, offset: int) -> None:
        tag, body, metric = key = (record.tag, record.body, record.metric)
        place = (tag, body, metric, self._spool, offset, record.observed_at, record.received_at)
        source = None if record.source is None else record.source.encode()
        self._added.outcomes.append((*place, pack(record.value), source))
        self._counts.add(tag, "outcomes", "accepted")
        self._days.update((tag, day) for day in self._days_of[tag, body])
        known = self._known[tag, body]
        if not known.attempts:
            known.waiting.add(metric)
            self._added.waits[key] = max(self._added.waits.get(key, record.received_at), record.received_at)
        history = self._histories[key]
        if not history:
            self._counts.add(tag, "outcomes", "joined" if known.attempts else "waiting")
        for name, n in told(history, rank(record, self._spool_id, offset), record.value).items():
            self._counts.add(tag, "outcomes", name, n)

    def _store_shadow(self, record: ShadowRecord, offset: int) -> None:
        key = (record.tag, record.body, record.generation)
        self._shadows[key] += 1
        answer: PackedAnswer = (record.label, record.score, record.scores, record.latency_s)
        state = (record.dropped is not None, record.error is not None)
        place = (*key, self._shadows[key], self._spool, offset)
        self._added.shadows.append((*place, *state, pack(answer), pack(record)))
        self._owed[record.tag] -= 1
        if record.dropped is None:
            self._counts.add(record.tag, "shadows", "done")
        else:
            self._counts.add(record.tag, "shadows", "dropped")
            self._counts.add(record.tag, "shadows", dropped_for(record.dropped))

    def _store_crash(self, record: CrashRecord, offset: int) -> None:
        """Store a crash; where no record came before it, it is the request's first attempt, and the candidate's fault.

        The propensity is that of the candidate's latest bet before it. Without any bet there is no share to be judged
        at.
        """
        known = self._known[record.tag, record.body]
        first = not known.attempts and not known.crashes
        place = (record.at, self._spool, offset)
        self._added.crashes.append((record.tag, record.body, record.generation, *place, first))
        known.crashes += 1
        known.crashed_first += int(first)
        self._counts.add(record.tag, "predictions", "crashed")
        propensity = self._latest_propensity(record) if first else None
        if propensity is not None:
            bet = (record.tag, record.generation, *place, record.body, True, propensity, None, None)
            self._added.bets.append(bet)

    def _latest_propensity(self, record: CrashRecord) -> float | None:
        stored = row(self._connection, queries.LATEST_PROPENSITY, (record.tag, record.generation, record.at))
        found = [] if stored is None else [stored]
        found += [
            (at, self._spool_id, place, propensity)
            for tag, generation, at, _, place, _, _, propensity, *_ in self._added.bets
            if (tag, generation) == (record.tag, record.generation) and at <= record.at
        ]
        latest: Row | None = max(found, default=None)
        return None if latest is None else latest[3]


def columns(table: Sequence[Row], width: int) -> list[list[object]]:
    """Turn rows into one array per column, as ``unnest`` takes them.

    >>> columns([("a", 1), ("b", 2)], 2)
    [['a', 'b'], [1, 2]]
    """
    return [[line[column] for line in table] for column in range(width)]


def _copy(connection: Connection, statement: LiteralString, types: Sequence[str], table: Sequence[Row]) -> None:
    if not table:
        return
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for line in table:
            copy.write_row(line)


def _claim(record: PredictionRecord, generation: str) -> _Claim:
    return record.tag, generation, record.epoch, record.key_hash
