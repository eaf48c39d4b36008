"""One drain into PostgreSQL: a batch of a spool's records, joined and counted as they are stored.

The rules are those of :mod:`gateway.adapters.store.sqlite_drain`, record by record in log order; only the traffic is
different. What the batch has to know of the log is asked for at once, everything it adds is copied in at the end. An
advisory lock per deployment tag makes hosts take turns, so nothing that is settled here can be settled twice.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
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
from gateway.adapters.store.postgresql import Connection, Row, row, rows
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
        connection.execute(queries.INSERT_SPOOL, (spool_id,))
        place = row(connection, queries.LOCK_SPOOL, (spool_id,))
        assert place is not None  # noqa: S101 - it was put there by the statement before
        self._spool, cursor = place
        self._fresh = [
            (offset, event) for offset, event in events if offset >= cursor and not isinstance(event, Punctuation)
        ]
        self._added = Added()
        self._counts = Counts()
        self._owed: Counter[str] = Counter()
        self._days: Counter[tuple[str, int]] = Counter()
        self._take_turn()
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
        if added.joined:
            connection.execute(queries.END_WAITS, columns(added.joined, 2))
        if added.waits:
            connection.execute(queries.BEGIN_WAITS, columns([(*key, at) for key, at in added.waits.items()], 4))
        self._counts.write(connection)
        postgresql_outbox.put(connection, self._entries())
        writer = writer_of(self._spool_id)
        if owed := [(writer, tag, n) for tag, n in sorted(self._owed.items()) if n]:
            connection.execute(queries.ADD_OWED, columns(owed, 3))
        if days := [(*key, n) for key, n in sorted(self._days.items())]:
            connection.execute(queries.ADD_CHANGES, columns(days, 3))
        connection.execute(queries.MOVE_CURSOR, (end, self._spool))

    def _entries(self) -> list[outbox.Entry]:
        found = (outbox.record_entry(event, self._spool_id, offset, self._tells) for offset, event in self._fresh)
        return [entry for entries in found for entry in entries]

    def _take_turn(self) -> None:
        """Wait until no other host settles records of the same deployments. In order, so that none waits in a ring."""
        if tags := sorted({event.tag for _, event in self._fresh if not isinstance(event, Punctuation)}):
            self._connection.execute(queries.TAKE_TURN, (tags,))

    def _learn(self) -> None:
        """Ask for everything that the log holds about the batch's ids, shadows, metrics and keys."""
        ids = sorted({(event.tag, event.body) for _, event in self._fresh if not isinstance(event, Punctuation)})
        self._known: dict[_Id, Known] = {key: Known() for key in ids}
        self._days_of: defaultdict[_Id, set[int]] = defaultdict(set)
        for tag, body, attempt, at in self._ask(queries.ATTEMPTS, ids):
            self._known[tag, body].attempts = max(self._known[tag, body].attempts, attempt)
            self._days_of[tag, body].add(day_of(at))
        for tag, body, crashes, first in self._ask(queries.CRASHES_BEFORE, ids):
            self._known[tag, body].crashes, self._known[tag, body].crashed_first = crashes, first
        for tag, body, metric in self._ask(queries.WAITING, ids):
            self._known[tag, body].waiting.add(metric)
        metrics = {(e.tag, e.body, e.metric) for _, e in self._fresh if isinstance(e, OutcomeRecord)}
        self._histories: defaultdict[_Metric, list[tuple[Rank, Scalar]]] = defaultdict(list)
        for tag, body, metric, *ranked, value in self._ask(queries.HISTORIES, sorted(metrics), 3):
            self._histories[tag, body, metric].append((Rank(*ranked), unpack_scalar(value)))
        for history in self._histories.values():
            history.sort(key=itemgetter(0))
        shadows = {(e.tag, e.body, e.generation) for _, e in self._fresh if isinstance(e, ShadowRecord)}
        self._shadows = Counter(dict.fromkeys(shadows, 0))
        for tag, body, generation, n in self._ask(queries.SHADOWS_BEFORE, sorted(shadows), 3):
            self._shadows[tag, body, generation] = n
        records = [e for _, e in self._fresh if isinstance(e, PredictionRecord)]
        wanted = {_claim(e, arm.generation) for e in records if e.sticky for arm, _ in draws(e)}
        self._open: set[_Claim] = {(t, g, e, k) for t, g, e, k in self._ask(queries.CLAIM, sorted(wanted), 4)}
        seen = row(self._connection, queries.WATERMARK) if records else None
        self._watermark: float | None = seen[0] if seen else None

    def _ask(self, query: LiteralString, about: Sequence[Row], width: int = 2) -> list[Row]:
        return rows(self._connection, query, columns(about, width)) if about else []

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
