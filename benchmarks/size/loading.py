"""Filling a store in bulk: the rows that drains would have written, with the indexes made at the end.

The tables, their columns and what is packed into them are those of the adapters; the books are added up here.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import psycopg

from benchmarks.size.population import PLACE, PROPENSITY, SPOOL, TAG, TOLD, Population
from gateway.adapters.store import postgresql_queries as queries
from gateway.adapters.store.joins import arm_latency, assigned_arm, day_of, pairable, stable_generation
from gateway.adapters.store.rows import PackedAnswer, pack
from gateway.core.events import PredictionRecord
from gateway.core.routing import STABLE

Row = tuple[Any, ...]
_PAGE = 20_000
_ADD_COUNT = "INSERT INTO counts VALUES (%s, %s, %s, %s)"
_ADD_DAY = "INSERT INTO days VALUES (%s, %s, %s)"


class Rows:
    """Rows of a page of predictions, and what they add to the books."""

    def __init__(self, people: Population) -> None:
        self.people = people
        self.days: Counter[int] = Counter()
        self.outcomes = 0

    def pages(self) -> Iterator[tuple[int, list[PredictionRecord]]]:
        """Page after page: the number of its first record, and its records."""
        for first in range(0, self.people.n, _PAGE):
            records = list(self.people.records(first, min(self.people.n, first + _PAGE)))
            self.days.update(day_of(record.at) for record in records)
            yield first, records

    def told(self, first: int, count: int, spool: int) -> list[Row]:
        """Rows of the outcomes of a page: both databases' columns are the same."""
        numbers = self.people.told_of(first, first + count)
        self.days.update(day_of(self.people.at(number)) for number in numbers)
        self.outcomes += len(numbers)
        return [
            (
                one.tag,
                one.body,
                one.metric,
                spool,
                number * PLACE,
                one.observed_at,
                one.received_at,
                pack(one.value),
                None,
            )
            for number, one in zip(numbers, self.people.outcomes(numbers), strict=True)
        ]

    def books(self) -> list[Row]:
        """Every count, so that the ledger balances."""
        n = self.people.n
        predictions = [(TAG, "predictions", "received", n), (TAG, "predictions", "stored", n)]
        outcomes = [(TAG, "outcomes", "accepted", self.outcomes), (TAG, "outcomes", "joined", self.outcomes)]
        return [*predictions, *outcomes]


def fill_sqlite(path: Path, people: Population, tell: Callable[[int], None]) -> None:
    """Fill a store that is closed and was made by the gateway."""
    connection, rows = apsw.Connection(str(path)), Rows(people)
    connection.execute("PRAGMA synchronous=OFF; PRAGMA cache_size=-262144; PRAGMA temp_store=MEMORY")
    indexes = _indexes(connection)
    with connection:
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        connection.execute(
            "INSERT INTO spools VALUES (1, ?, ?), (2, ?, ?)", (SPOOL, people.n * PLACE, TOLD, people.n * PLACE)
        )
        connection.execute("CREATE TEMP TABLE told AS SELECT * FROM outcomes")
    for first, records in rows.pages():
        with connection:
            connection.executemany(
                f"INSERT INTO predictions VALUES (?{', ?' * 16})",
                ((number + 1, *_prediction(one, number)) for number, one in enumerate(records, first)),
            )
            connection.executemany(
                f"INSERT INTO bets VALUES (?{', ?' * 8})",
                (_bet(one, number, number + 1) for number, one in enumerate(records, first)),
            )
            connection.executemany(f"INSERT INTO temp.told VALUES (?{', ?' * 8})", rows.told(first, len(records), 2))
        tell(first)
    with connection:
        connection.execute("INSERT INTO outcomes SELECT * FROM temp.told ORDER BY tag, body, metric, spool, offset")
        for _, statement in indexes:
            connection.execute(statement)
        connection.executemany(_ADD_COUNT.replace("%s", "?"), rows.books())
        connection.executemany(_ADD_DAY.replace("%s", "?"), [(TAG, *day) for day in rows.days.items()])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _indexes(connection: apsw.Connection) -> list[tuple[str, str]]:
    found = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'predictions' AND sql IS NOT NULL"
    return [(str(name), str(statement)) for name, statement in connection.execute(found)]


def _prediction(record: PredictionRecord, number: int, *late: bool) -> Row:
    """Columns in SQLite's order; PostgreSQL's has one more, ``late``."""
    arm = assigned_arm(record)
    assert arm is not None
    answer: PackedAnswer = (record.label, record.score, record.scores, arm_latency(record))
    place = (record.tag, record.body, 1, 1, number * PLACE, record.at)
    drawn = (record.assigned, arm.generation, arm.digest, stable_generation(record), True, pairable(record))
    return (*place, *drawn, *late, False, False, pack(answer), pack(record))


def _bet(record: PredictionRecord, number: int, *prediction: int, answer: tuple[object, ...] = ()) -> Row:
    """SQLite's bet names its prediction's row, PostgreSQL's ends with whether it failed and its answer."""
    place = (record.tag, record.arms[1].generation, record.at, 1, number * PLACE, record.body)
    return (*place, *prediction, record.assigned != STABLE, PROPENSITY, *answer)


def fill_postgresql(url: str, people: Population, tell: Callable[[int], None]) -> None:
    """Fill a store that was made by the gateway, each week in its partition."""
    rows = Rows(people)
    with psycopg.connect(url, autocommit=True) as connection:
        weeks = int((people.n / people.rate) // 604_800) + 2
        connection.execute("SELECT prepare_prediction_weeks(%s, %s)", (people.at(0), weeks))
        connection.execute(
            "INSERT INTO spools (spool_id, cursor) VALUES (%s, %s), (%s, %s)",
            (SPOOL, people.n * PLACE, TOLD, people.n * PLACE),
        )
        with _without_indexes(connection):
            for first, records in rows.pages():
                _copy_page(connection, rows, first, records)
                tell(first)
        with connection.cursor() as cursor:
            cursor.executemany(_ADD_COUNT, rows.books())
            cursor.executemany(_ADD_DAY, [(TAG, *day) for day in rows.days.items()])
        for table in ("predictions", "bets", "outcomes"):
            connection.execute(f"VACUUM (ANALYZE) {table}")  # as autovacuum would have, which sleeps here


def _copy_page(connection: psycopg.Connection, rows: Rows, first: int, records: list[PredictionRecord]) -> None:
    predictions = [_prediction(one, number, False) for number, one in enumerate(records, first)]
    placed = list(zip(range(first, first + len(records)), records, predictions, strict=True))
    told = [_bet(one, number, answer=(False, row[-2])) for number, one, row in placed]
    tables: tuple[tuple[Any, Any, list[Row]], ...] = (
        (queries.COPY_PREDICTIONS, queries.PREDICTION_TYPES, predictions),
        (queries.COPY_BETS, queries.BET_TYPES, told),
        (queries.COPY_OUTCOMES, queries.OUTCOME_TYPES, rows.told(first, len(records), 2)),
    )
    for statement, types, table in tables:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for line in table:
                copy.write_row(line)


@contextmanager
def _without_indexes(connection: psycopg.Connection) -> Iterator[None]:
    """Take away the indexes that random keys would make slow to fill, and make them again at the end."""
    connection.execute("DROP INDEX predictions_by_id, predictions_by_time")
    connection.execute("ALTER TABLE outcomes DROP CONSTRAINT outcomes_pkey")
    yield
    connection.execute("SET maintenance_work_mem = '512MB'")
    connection.execute("CREATE INDEX predictions_by_id ON predictions (tag, body) INCLUDE (attempt, at)")
    connection.execute("CREATE INDEX predictions_by_time ON predictions (tag, at)")
    connection.execute("ALTER TABLE outcomes ADD PRIMARY KEY (tag, body, metric, spool, place)")
