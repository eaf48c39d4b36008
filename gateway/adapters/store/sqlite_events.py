"""The event log in SQLite: what a drain stored, as a look, a person and the books ask for it."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import inf

import msgspec

from gateway.adapters.store import sqlite_queries as queries
from gateway.adapters.store.database import Database, Row, rows
from gateway.adapters.store.joins import (
    DAY_S,
    LABEL,
    OUTCOME_BOOKS,
    PREDICTION_BOOKS,
    SHADOW_BOOKS,
    WORKER_DIED,
    Answer,
    Rank,
    dropped_for,
    performance,
    visible,
)
from gateway.adapters.store.sqlite_drain import Answer as PackedAnswer
from gateway.adapters.store.sqlite_drain import Counts, Drain, pack, unpack_scalar
from gateway.core.deployments import Scalar
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
from gateway.core.ids import tag_of
from gateway.ports import Books, StoredPrediction, VariantPerformance, Window

_unpack_answer = msgspec.msgpack.Decoder(PackedAnswer).decode
_unpack_prediction = msgspec.msgpack.Decoder(PredictionRecord).decode
_unpack_shadow = msgspec.msgpack.Decoder(ShadowRecord).decode


class _Draw(msgspec.Struct):
    """The part of a prediction record that says whose draw it was."""

    epoch: int
    key_hash: str


_unpack_draw = msgspec.msgpack.Decoder(_Draw).decode

_NO_ANSWER: PackedAnswer = (None, None, None, 0.0)
_CRASHED = (False, True, pack(_NO_ANSWER))
"""What a shadow that took its worker along comes to: not dropped, failed, no answer."""


class SqliteEventLog:
    """The EventLog port on a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, spool_id: str, events: Sequence[tuple[int, Event]], end: int) -> None:
        """Store what is not known yet, with its joins and counts, in one transaction."""
        with self._database.writing() as connection:
            drain = Drain(connection, spool_id)
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

    def expire_outcomes(self, before: float) -> int:
        """Forget outcomes that waited too long, a prediction's metric as a whole."""
        with self._database.writing() as connection:
            expired = rows(
                connection, "DELETE FROM waiting WHERE received_at < ? RETURNING tag, body, metric", (before,)
            )
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
            bets = rows(connection, queries.BETS, about)
            outcomes = _counting(rows(connection, queries.OUTCOMES_OF_BETS, about), window.visible)
        return [_evidence_row(bet, outcomes.get(bet[3], {})) for bet in bets if visible(bet[1], bet[2], window.visible)]

    def pairs(self, deployment: str, generation: str, stable: str, window: Window) -> list[PairRow]:
        """The pairs in the window."""
        about = (tag_of(deployment), window.after, window.until, generation, stable)
        seen = window.visible
        with self._database.reading() as connection:
            sides = rows(connection, queries.STABLE_SIDES, about)
            scored = rows(connection, queries.SHADOW_SIDES, about)
            crashed = rows(connection, queries.SHADOW_CRASHES, about)
            outcomes = _counting(rows(connection, queries.OUTCOMES_OF_PAIRS, about), seen)
        shadows = {body: _CRASHED for body, spool_id, offset in crashed if visible(spool_id, offset, seen)}
        shadows |= {row[0]: row[3:] for row in scored if visible(row[1], row[2], seen)}
        return [
            _pair_row(side, *shadows[side[3]][1:], outcomes.get(side[3], {}))
            for side in sides
            if visible(side[1], side[2], seen) and side[3] in shadows and not shadows[side[3]][0]
        ]

    def performance(self, deployment: str, after: float, until: float) -> list[VariantPerformance]:
        """Counts by variant."""
        about = (tag_of(deployment), after, until)
        with self._database.reading() as connection:
            counted = rows(connection, queries.COUNTED, about)
            labels = _counting(rows(connection, queries.LABELS_OF_COUNTED, about), None)
        return performance(_counted(row, labels.get(row[0], {})) for row in counted)

    def replayable(self, deployment: str, limit: int, *, labelled: bool) -> list[Replayable]:
        """The latest requests."""
        about = (tag_of(deployment), int(labelled), limit)
        with self._database.reading() as connection:
            records = rows(connection, queries.LATEST, about)
            labels = _counting(rows(connection, queries.LABELS_OF_LATEST, about), None)
        found = []
        for body, packed in reversed(records):
            record = _unpack_prediction(packed)
            values = dict(zip(record.names, record.values, strict=False))
            found.append(Replayable(record.at, values, labels.get(body, {}).get(LABEL)))
        return found

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
        counting = _counting(outcomes, None)
        labelled_at: dict[str, float] = {}
        for body, metric, _, observed_at, *_ in outcomes:
            if metric == LABEL:
                labelled_at[body] = min(observed_at, labelled_at.get(body, observed_at))
        return [_served_row(row, counting.get(row[3], {}), labelled_at.get(row[3])) for row in reversed(newest)]

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
        outcomes = _counting_records(tag, told)
        return [
            JoinedRow(Position(*place), attempt, _unpack_prediction(record), outcomes.get(body, {}))
            for *place, attempt, body, record in found
        ]

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
            _unpack_prediction(records[0][0]),
            len(records),
            tuple(_unpack_shadow(record) for (record,) in shadows),
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


def _counting(outcomes: Iterable[Row], seen: Mapping[str, int] | None) -> dict[str, dict[str, Scalar]]:
    """Pick, by body and metric, the outcome that counts among those that could be seen (None: all)."""
    best: dict[tuple[str, str], tuple[Rank, bytes]] = {}
    for body, metric, value, observed_at, received_at, spool_id, offset in outcomes:
        if seen is not None and not visible(spool_id, offset, seen):
            continue
        found = Rank(observed_at, received_at, spool_id, offset)
        if (body, metric) not in best or best[body, metric][0] < found:
            best[body, metric] = (found, value)
    counting: defaultdict[str, dict[str, Scalar]] = defaultdict(dict)
    for (body, metric), (_, value) in best.items():
        counting[body][metric] = unpack_scalar(value)
    return counting


def _counting_records(tag: str, told: Iterable[Row]) -> dict[str, dict[str, OutcomeRecord]]:
    """Pick, by body and metric, the outcome that counts now."""
    best: dict[tuple[str, str], tuple[Rank, OutcomeRecord]] = {}
    for body, metric, value, observed_at, received_at, spool_id, offset, source in told:
        found = Rank(observed_at, received_at, spool_id, offset)
        if (body, metric) not in best or best[body, metric][0] < found:
            record = OutcomeRecord(tag, body, metric, unpack_scalar(value), observed_at, received_at, source)
            best[body, metric] = (found, record)
    counting: defaultdict[str, dict[str, OutcomeRecord]] = defaultdict(dict)
    for (body, metric), (_, record) in best.items():
        counting[body][metric] = record
    return counting


def _evidence_row(bet: Row, outcomes: dict[str, Scalar]) -> EvidenceRow:
    at, spool_id, offset, _, candidate, propensity, failed, packed = bet
    label, score, scores, latency_s = _unpack_answer(packed) if packed else _NO_ANSWER
    return EvidenceRow(
        Position(at, spool_id, offset),
        bool(candidate),
        propensity,
        failed=failed is None or bool(failed),
        label=label,
        score=score,
        scores=scores,
        latency_s=latency_s,
        outcomes=outcomes,
    )


def _pair_row(side: Row, failed: bool, packed: bytes, outcomes: dict[str, Scalar]) -> PairRow:
    at, spool_id, offset, _, answer = side
    stable_label, stable_score, stable_scores, _ = _unpack_answer(answer)
    shadow_label, shadow_score, shadow_scores, _ = _unpack_answer(packed)
    return PairRow(
        Position(at, spool_id, offset),
        stable_label,
        stable_score,
        shadow_label,
        shadow_score,
        shadow_failed=bool(failed),
        outcomes=outcomes,
        stable_scores=stable_scores,
        shadow_scores=shadow_scores,
    )


def _served_row(row: Row, outcomes: dict[str, Scalar], labelled_at: float | None) -> ServedRow:
    at, spool_id, offset, body, generation, failed, packed, record = row
    bet = (at, spool_id, offset, body, False, 0.0, failed, packed)
    draw = _unpack_draw(record)
    delay = None if labelled_at is None else labelled_at - at
    return ServedRow(_evidence_row(bet, outcomes), generation, draw.epoch, draw.key_hash, delay)


def _counted(row: Row, outcomes: Mapping[str, Scalar]) -> Answer:
    _, name, generation, digest, failed, degraded, packed = row
    label, score, _, _ = _unpack_answer(packed)
    return Answer(
        name, generation, digest, bool(failed), bool(degraded), label, score, LABEL in outcomes, outcomes.get(LABEL)
    )
