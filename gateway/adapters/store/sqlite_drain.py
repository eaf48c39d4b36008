"""One drain into SQLite: a batch of a spool's records, joined and counted as they are stored.

A :class:`Drain` lives for one transaction. What only the log can tell - which record is the first of its id, which
request the first of its key, which outcome overrules which - is settled here and never again.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from operator import itemgetter

import apsw

from gateway.adapters.spool.names import writer_of
from gateway.adapters.store import outbox, sqlite_outbox
from gateway.adapters.store.database import Row, rows, value
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
from gateway.adapters.store.rows import PackedAnswer, pack, unpack_scalar
from gateway.core.deployments import Scalar
from gateway.core.events import CrashRecord, Event, OutcomeRecord, PredictionRecord, ShadowRecord

_Id = tuple[str, str]
"""Tag and body."""
_RANK = itemgetter(0)
_BEFORE = """
    SELECT (SELECT coalesce(max(attempt), 0) FROM predictions WHERE tag = ?1 AND body = ?2),
           (SELECT count(*) FROM crashes WHERE tag = ?1 AND body = ?2),
           (SELECT count(*) FROM crashes WHERE tag = ?1 AND body = ?2 AND first)
"""
_INSERT_PREDICTION = "INSERT INTO predictions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_SHADOW = "INSERT INTO shadows VALUES (NULL, ?1, ?2, ?3, 1 + ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
_SHADOWS_BEFORE = "SELECT count(*) FROM shadows WHERE tag = ? AND body = ? AND generation = ?"
_INSERT_BET = "INSERT INTO bets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_CLAIM = "INSERT INTO claims VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_HISTORIES = """
    SELECT o.tag, o.body, o.metric, o.observed_at, o.received_at, spool_id, o.offset, o.value
    FROM json_each(?) AS told
    CROSS JOIN outcomes AS o ON o.tag = told.value ->> 0 AND o.body = told.value ->> 1
    JOIN spools ON spools.spool = o.spool
"""
_INSERT_OUTCOME = "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_WAIT = """
    INSERT INTO waiting VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET received_at = max(received_at, excluded.received_at)
"""
_LATEST_PROPENSITY = """
    SELECT propensity FROM bets JOIN spools USING (spool) WHERE tag = ? AND generation = ? AND at <= ?
    ORDER BY at DESC, spool_id DESC, offset DESC LIMIT 1
"""
_ADD_COUNT = "INSERT INTO counts VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n"
_ADD_CHANGES = "INSERT INTO days VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET changes = changes + excluded.changes"
_TIMES = """
    SELECT p.tag, p.body, p.at
    FROM json_each(?) AS told CROSS JOIN predictions AS p ON p.tag = told.value ->> 0 AND p.body = told.value ->> 1
"""
_ADD_OWED = "INSERT INTO owed VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n"


class Counts:
    """Changes to the books, added up in memory and written once."""

    def __init__(self) -> None:
        self._changes: Counter[tuple[str, str, str]] = Counter()

    def add(self, tag: str, book: str, name: str, n: int = 1) -> None:
        """Change one count by ``n``."""
        self._changes[tag, book, name] += n

    def write(self, connection: apsw.Connection) -> None:
        """Add the changes to the books."""
        connection.executemany(_ADD_COUNT, [(*key, n) for key, n in self._changes.items() if n])


class Drain:
    """Stores records of one spool inside the caller's transaction; ``finish`` writes the counts and the cursor.

    What was known of the predictions that outcomes are about is read once for all of them, so that a batch of late ones
    costs a few statements. Records of the kinds in ``tells`` are put into the outbox too.
    """

    def __init__(self, connection: apsw.Connection, spool_id: str, tells: Collection[str] = ()) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._spool_id = spool_id
        self._execute("INSERT INTO spools VALUES (NULL, ?, 0) ON CONFLICT DO NOTHING", (spool_id,))
        place = value(connection, "SELECT spool, cursor FROM spools WHERE spool_id = ?", (spool_id,))
        self._spool, self._cursor = place
        self._tells = tells
        self._entries: list[outbox.Entry] = []
        self._counts = Counts()
        self._owed: Counter[str] = Counter()
        self._days: Counter[tuple[str, int]] = Counter()
        self._outcomes: list[Row] = []
        self._times: dict[_Id, list[float]] = {}
        """Data times of a prediction and its repetitions, of those that outcomes of this batch are about."""
        self._histories: defaultdict[tuple[str, str, str], list[tuple[Rank, Scalar]]] = defaultdict(list)
        """What was told of them before, in order of rank: a flood on one id stays affordable."""

    def store(self, events: Sequence[tuple[int, Event]]) -> None:
        """Store what is not known yet."""
        fresh = [(offset, event) for offset, event in events if offset >= self._cursor]
        self._learn({(event.tag, event.body) for _, event in fresh if isinstance(event, OutcomeRecord)})
        for offset, event in fresh:
            self._entries += outbox.record_entry(event, self._spool_id, offset, self._tells)
            if isinstance(event, PredictionRecord):
                self._store_prediction(event, offset)
            elif isinstance(event, OutcomeRecord):
                self._store_outcome(event, offset)
            elif isinstance(event, ShadowRecord):
                self._store_shadow(event, offset)
            elif isinstance(event, CrashRecord):
                self._store_crash(event, offset)

    def finish(self, end: int) -> None:
        """Write what was counted and move the cursor."""
        self._connection.executemany(_INSERT_OUTCOME, self._outcomes)
        self._counts.write(self._connection)
        sqlite_outbox.put(self._connection, self._entries)
        writer = writer_of(self._spool_id)
        self._connection.executemany(_ADD_OWED, [(writer, tag, n) for tag, n in self._owed.items() if n])
        self._connection.executemany(_ADD_CHANGES, [(*key, n) for key, n in self._days.items()])
        self._execute("UPDATE spools SET cursor = max(cursor, ?) WHERE spool = ?", (end, self._spool))

    def _store_prediction(self, record: PredictionRecord, offset: int) -> None:
        earlier, _, crashed_first = value(self._connection, _BEFORE, (record.tag, record.body))
        attempt = 1 + max(earlier, crashed_first)
        self._execute(_INSERT_PREDICTION, self._prediction_row(record, offset, attempt))
        self._settle_bets(record, offset, self._connection.last_insert_rowid(), judged=attempt == 1)
        self._counts.add(record.tag, "predictions", "received")
        self._counts.add(record.tag, "predictions", "duplicates" if earlier else "stored")
        self._counts.add(record.tag, "shadows", "eligible", len(record.shadows))
        self._owed[record.tag] += len(record.shadows)
        self._days[record.tag, day_of(record.at)] += 1
        if (record.tag, record.body) in self._times:
            self._times[record.tag, record.body].append(record.at)
        if not earlier:
            self._join_waiting(record)

    def _prediction_row(self, record: PredictionRecord, offset: int, attempt: int) -> tuple[object, ...]:
        arm = assigned_arm(record)
        answer: PackedAnswer = (record.label, record.score, record.scores, arm_latency(record))
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
            pairable(record),
            record.degraded,
            record.error is not None,
            pack(answer),
            pack(record),
        )

    def _settle_bets(self, record: PredictionRecord, offset: int, prediction: int, *, judged: bool) -> None:
        drawn = draws(record)
        if not drawn:
            return
        open_to = {arm.generation for arm, _ in drawn if not record.sticky or self._claim(record, arm.generation)}
        for bet in bets(record) if judged else []:
            if bet.generation in open_to:
                place = (record.tag, bet.generation, record.at, self._spool, offset, record.body)
                self._execute(_INSERT_BET, (*place, prediction, bet.candidate, bet.propensity))

    def _claim(self, record: PredictionRecord, generation: str) -> bool:
        """Whether this is the key's first draw of the epoch: even an unusable first one rules out the later ones."""
        self._execute(_INSERT_CLAIM, (record.tag, generation, record.epoch, record.key_hash))
        return bool(self._connection.changes())

    def _join_waiting(self, record: PredictionRecord) -> None:
        self._execute("DELETE FROM waiting WHERE tag = ? AND body = ?", (record.tag, record.body))
        joined = self._connection.changes()
        self._counts.add(record.tag, "outcomes", "waiting", -joined)
        self._counts.add(record.tag, "outcomes", "joined", joined)

    def _learn(self, ids: Collection[_Id]) -> None:
        if not ids:
            return
        self._times = {one: [] for one in ids}
        told = (json.dumps(sorted(ids)),)
        for tag, body, at in rows(self._connection, _TIMES, told):
            self._times[tag, body].append(at)
        for tag, body, metric, *place, packed in rows(self._connection, _HISTORIES, told):
            self._histories[tag, body, metric].append((Rank(*place), unpack_scalar(packed)))
        for history in self._histories.values():
            history.sort(key=_RANK)

    def _store_outcome(self, record: OutcomeRecord, offset: int) -> None:
        tag, body, metric = record.tag, record.body, record.metric
        history, times = self._histories[tag, body, metric], self._times[tag, body]
        row = (tag, body, metric, self._spool, offset, record.observed_at, record.received_at)
        self._outcomes.append((*row, pack(record.value), record.source))
        self._counts.add(tag, "outcomes", "accepted")
        self._days.update({(tag, day_of(at)) for at in times})
        if not times:
            self._execute(_WAIT, (tag, body, metric, record.received_at))
        if not history:
            self._counts.add(tag, "outcomes", "joined" if times else "waiting")
        for name, n in told(history, rank(record, self._spool_id, offset), record.value).items():
            self._counts.add(tag, "outcomes", name, n)

    def _store_shadow(self, record: ShadowRecord, offset: int) -> None:
        earlier = value(self._connection, _SHADOWS_BEFORE, (record.tag, record.body, record.generation))
        place = (record.tag, record.body, record.generation, earlier, self._spool, offset)
        answer: PackedAnswer = (record.label, record.score, record.scores, record.latency_s)
        state = (record.dropped is not None, record.error is not None)
        self._execute(_INSERT_SHADOW, (*place, *state, pack(answer), pack(record)))
        self._owed[record.tag] -= 1
        if record.dropped is None:
            self._counts.add(record.tag, "shadows", "done")
        else:
            self._counts.add(record.tag, "shadows", "dropped")
            self._counts.add(record.tag, "shadows", dropped_for(record.dropped))

    def _store_crash(self, record: CrashRecord, offset: int) -> None:
        """Store a crash; where no record came before it, it is the request's first attempt, and the candidate's fault.

        The propensity is that of the candidate's latest bet before it: weights change seldom, and a crashed request
        left nothing else behind. Without any bet there is no share to be judged at.
        """
        predictions, crashes, _ = value(self._connection, _BEFORE, (record.tag, record.body))
        first = not predictions and not crashes
        row = (record.tag, record.body, record.generation, record.at, self._spool, offset, first)
        self._execute("INSERT INTO crashes VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", row)
        self._counts.add(record.tag, "predictions", "crashed")
        propensity = value(self._connection, _LATEST_PROPENSITY, (record.tag, record.generation, record.at))
        if first and propensity is not None:
            place = (record.tag, record.generation, record.at, self._spool, offset, record.body)
            self._execute(_INSERT_BET, (*place, None, True, propensity))
