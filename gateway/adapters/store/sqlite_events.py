"""The event log in SQLite: what a drain stored, as a look, a person and the books ask for it."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import inf
from operator import itemgetter

from gateway.adapters.store import sqlite_forget
from gateway.adapters.store import sqlite_queries as queries
from gateway.adapters.store.database import Database, rows
from gateway.adapters.store.joins import (
    DAY_S,
    OUTCOME_BOOKS,
    PIECE,
    PREDICTION_BOOKS,
    SHADOW_BOOKS,
    WORKER_DIED,
    Answer,
    dropped_for,
    performance,
    visible,
)
from gateway.adapters.store.rows import (
    CRASHED,
    counted,
    counting,
    counting_records,
    evidence_row,
    labelled_first,
    pair_row,
    replayable_row,
    served_row,
    unpack_prediction,
    unpack_scalar,
    unpack_shadow,
)
from gateway.adapters.store.sqlite_drain import Counts, Drain
from gateway.core.events import Event, EvidenceRow, JoinedRow, OutcomeRecord, PairRow, Position, ServedRow
from gateway.core.gates import Replayable
from gateway.core.ids import tag_of
from gateway.ports import EXPIRED_AT_ONCE, Books, StoredPrediction, VariantPerformance, Window


class SqliteEventLog:
    """The EventLog port on a :class:`Database`. Records of the kinds in ``tells`` wait in the outbox as well."""

    def __init__(self, database: Database, tells: Collection[str] = ()) -> None:
        self._database = database
        self._tells = tells

    def append(self, spool_id: str, events: Sequence[tuple[int, Event]], end: int) -> None:
        """Store what is not known yet, with its joins and counts, in one transaction."""
        with self._database.writing() as connection:
            drain = Drain(connection, spool_id, self._tells)
            drain.store(events)
            drain.finish(end)

    def close_writer(self, writer: str) -> None:
        """Turn what the writer still owed into scores dropped because it died."""
        with self._database.writing() as connection:
            counts = Counts()
            for tag, n in rows(connection, "DELETE FROM owed WHERE writer = ? RETURNING tag, n", (writer,)):
                counts.add(tag, "shadows", "dropped", n)
                counts.add(tag, "shadows", dropped_for(WORKER_DIED), n)
            counts.write(connection)

    def expire_outcomes(self, before: float, most: int = EXPIRED_AT_ONCE) -> int:
        """Forget outcomes that waited too long, a prediction's metric as a whole."""
        with self._database.writing() as connection:
            expired = rows(connection, queries.EXPIRE_WAITS, (before, most))
            connection.executemany("DELETE FROM outcomes WHERE tag = ? AND body = ? AND metric = ?", expired)
            counts = Counts()
            for tag, _, _ in expired:
                counts.add(tag, "outcomes", "waiting", -1)
                counts.add(tag, "outcomes", "expired", 1)
            counts.write(connection)
        return len(expired)

    def cursors(self) -> Mapping[str, int]:
        """How far every spool has been drained."""
        with self._database.reading() as connection:
            return dict(rows(connection, "SELECT spool_id, cursor FROM spools"))

    def evidence(self, deployment: str, generation: str, window: Window) -> list[EvidenceRow]:
        """The candidate's bets in the window."""
        about = (tag_of(deployment), window.after, window.until, generation)
        with self._database.reading() as connection:
            bets = sorted(rows(connection, queries.BETS, about), key=itemgetter(0, 1, 2))
            outcomes = counting(rows(connection, queries.OUTCOMES_OF_BETS, about), window.visible)
        return [evidence_row(bet, outcomes.get(bet[3], {})) for bet in bets if visible(bet[1], bet[2], window.visible)]

    def pairs(self, deployment: str, generation: str, stable: str, window: Window) -> list[PairRow]:
        """The pairs in the window."""
        about = (tag_of(deployment), window.after, window.until, generation, stable)
        seen = window.visible
        with self._database.reading() as connection:
            sides = rows(connection, queries.STABLE_SIDES, about)
            scored = rows(connection, queries.SHADOW_SIDES, about)
            crashed = rows(connection, queries.SHADOW_CRASHES, about)
            outcomes = counting(rows(connection, queries.OUTCOMES_OF_PAIRS, about), seen)
        shadows = {body: CRASHED for body, spool_id, offset in crashed if visible(spool_id, offset, seen)}
        shadows |= {row[0]: row[3:] for row in scored if visible(row[1], row[2], seen)}
        return [
            pair_row(side, *shadows[side[3]][1:], outcomes.get(side[3], {}))
            for side in sides
            if visible(side[1], side[2], seen) and side[3] in shadows and not shadows[side[3]][0]
        ]

    def performance(self, deployment: str, after: float, until: float) -> list[VariantPerformance]:
        """Counts by variant."""
        return performance(self._answers(tag_of(deployment), after, until))

    def _answers(self, tag: str, after: float, until: float) -> Iterator[Answer]:
        """Read a window piece by piece: it may hold a day of requests, and nobody is to wait for all of it."""
        while after < until:
            with self._database.reading() as connection:
                ends = rows(connection, queries.PIECE, (tag, after, until, PIECE - 1))
                piece = (tag, after, ends[0][0] if ends else until)
                answers = rows(connection, queries.COUNTED, piece)
                outcomes = rows(connection, queries.LABELS_OF_COUNTED, piece)
            labels, labelled_at = counting(outcomes, None), labelled_first(outcomes)
            yield from (counted(row, labels.get(row[0], {}), labelled_at.get(row[0])) for row in answers)
            after = piece[2]

    def degraded(self, deployment: str, generations: Collection[str], after: float, until: float) -> tuple[int, int]:
        """Counts, for all of them together."""
        about = (tag_of(deployment), after, until)
        with self._database.reading() as connection:
            found = [row for row in rows(connection, queries.DEGRADED, about) if row[0] in generations]
        return sum(n for _, n, _ in found), sum(degraded for _, _, degraded in found)

    def replayable(self, deployment: str, limit: int, *, labelled: bool) -> list[Replayable]:
        """The latest requests."""
        about = (tag_of(deployment), int(labelled), limit)
        with self._database.reading() as connection:
            records = rows(connection, queries.LATEST, about)
            labels = counting(rows(connection, queries.LABELS_OF_LATEST, about), None)
        return [replayable_row(body, packed, labels) for body, packed in reversed(records)]

    def latest(self, deployment: str) -> float | None:
        """The last entry of the index by time."""
        with self._database.reading() as connection:
            [(at,)] = rows(connection, "SELECT max(at) FROM predictions WHERE tag = ?", (tag_of(deployment),))
        return None if at is None else float(at)

    def served(self, deployment: str, limit: int) -> list[ServedRow]:
        """The newest requests, oldest first."""
        about = (tag_of(deployment), limit)
        with self._database.reading() as connection:
            newest = rows(connection, queries.NEWEST, about)
            outcomes = rows(connection, queries.OUTCOMES_OF_NEWEST, about)
        counts, labelled_at = counting(outcomes, None), labelled_first(outcomes)
        return [served_row(row, counts.get(row[3], {}), labelled_at.get(row[3])) for row in reversed(newest)]

    def days(self, deployment: str) -> Mapping[int, int]:
        """Read what the drains counted."""
        with self._database.reading() as connection:
            return dict(rows(connection, queries.DAYS, (tag_of(deployment),)))

    def joined(self, deployment: str, day: int, after: Position | None, limit: int) -> list[JoinedRow]:
        """A page of the index by time, and the outcomes of its bodies."""
        tag, start = tag_of(deployment), (-inf, "", 0) if after is None else (after.at, after.spool_id, after.offset)
        with self._database.reading() as connection:
            found = rows(connection, queries.JOINED, (tag, day * DAY_S, (day + 1) * DAY_S, *start, limit))
            told = rows(connection, queries.OUTCOMES_OF_BODIES, (tag, json.dumps([row[4] for row in found])))
        outcomes = counting_records(tag, told)
        return [
            JoinedRow(Position(*place), attempt, unpack_prediction(record), outcomes.get(body, {}))
            for *place, attempt, body, record in found
        ]

    def close_day(self, deployment: str, day: int, changes: int) -> bool:
        """Let it go."""
        with self._database.writing() as connection:
            return sqlite_forget.close_day(connection, tag_of(deployment), day, changes)

    def closed_days(self, deployment: str) -> list[int]:
        """Days on their way out."""
        with self._database.reading() as connection:
            return sqlite_forget.closed_days(connection, tag_of(deployment))

    def forget(self, deployment: str, day: int, most: int) -> int:
        """Delete some."""
        with self._database.writing() as connection:
            return sqlite_forget.forget(connection, tag_of(deployment), day, most)

    def forget_claims(self, deployment: str, generation: str, most: int) -> int:
        """Delete some."""
        with self._database.writing() as connection:
            return sqlite_forget.forget_claims(connection, tag_of(deployment), generation, most)

    def prediction(self, tag: str, body: str) -> StoredPrediction | None:
        """One prediction with all that is known of it."""
        with self._database.reading() as connection:
            records = rows(
                connection, "SELECT record FROM predictions WHERE tag = ? AND body = ? ORDER BY attempt", (tag, body)
            )
            shadows = rows(
                connection, "SELECT record FROM shadows WHERE tag = ? AND body = ? ORDER BY shadow", (tag, body)
            )
            outcomes = rows(connection, queries.HISTORY, (tag, body))
        if not records:
            return None
        return StoredPrediction(
            unpack_prediction(records[0][0]),
            len(records),
            tuple(unpack_shadow(record) for (record,) in shadows),
            tuple(OutcomeRecord(tag, body, metric, unpack_scalar(value), *rest) for metric, value, *rest in outcomes),
        )

    def books(self, deployment: str | None = None) -> Books:
        """Read the counts."""
        only = None if deployment is None else tag_of(deployment)
        with self._database.reading() as connection:
            counts = rows(connection, queries.BOOKS, (only,))
        books = {
            "predictions": dict.fromkeys(PREDICTION_BOOKS, 0),
            "outcomes": dict.fromkeys(OUTCOME_BOOKS, 0),
            "shadows": dict.fromkeys(SHADOW_BOOKS, 0),
        }
        for book, name, n in counts:
            books[book][name] = n
        shadows = books["shadows"]
        shadows["pending"] = shadows["eligible"] - shadows["done"] - shadows["dropped"]
        return Books(**books)
