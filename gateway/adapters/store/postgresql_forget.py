"""Forgetting in PostgreSQL: a day of predictions, a bounded number in a transaction, with all that hangs on them.

Each transaction holds the advisory lock of the deployment's tag, as a drain does, so nothing is joined to what is on
its way out. What a day leaves behind is cleared by autovacuum, and a week of which nothing is left is dropped whole.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import LiteralString

from gateway.adapters.store import postgresql_queries as queries
from gateway.adapters.store.joins import DAY_S
from gateway.adapters.store.postgresql import EVENTS_S, Connection, PostgresDatabase, rows
from gateway.adapters.store.postgresql_drain import Counts
from gateway.core.errors import StoreUnavailable

_CLOSE: LiteralString = "DELETE FROM days WHERE tag = %s AND day = %s AND changes = %s RETURNING day"
_NOTE: LiteralString = """
    INSERT INTO forgotten VALUES (%s, %s, FALSE) ON CONFLICT (tag, day) DO UPDATE SET done = FALSE
"""
_CLOSED: LiteralString = """
    SELECT day FROM forgotten AS f
    WHERE tag = %s AND (NOT done OR EXISTS (SELECT FROM days AS d WHERE d.tag = f.tag AND d.day = f.day))
    ORDER BY day
"""
_PAGE: LiteralString = """
    SELECT body, at FROM predictions WHERE tag = %s AND at >= %s AND at < %s ORDER BY at LIMIT %s
"""
_FORGET: LiteralString = "DELETE FROM predictions WHERE tag = %s AND at >= %s AND at <= %s AND body = ANY(%s)"
_GONE: LiteralString = """
    SELECT body FROM unnest(%s::text[]) AS wanted (body)
    WHERE NOT EXISTS (SELECT FROM predictions AS p WHERE p.tag = %s AND p.body = wanted.body)
"""
_GENERATIONS: LiteralString = """
    WITH RECURSIVE found (generation) AS (
        SELECT min(generation) FROM bets WHERE tag = %(tag)s
        UNION ALL
        SELECT (SELECT min(generation) FROM bets WHERE tag = %(tag)s AND generation > found.generation)
        FROM found WHERE found.generation IS NOT NULL
    )
    SELECT generation FROM found WHERE generation IS NOT NULL
"""
_FORGET_BETS: LiteralString = """
    DELETE FROM bets WHERE tag = %s AND generation = ANY(%s) AND at >= %s AND at <= %s AND body = ANY(%s)
"""
_FORGET_TOLD: LiteralString = "DELETE FROM outcomes WHERE tag = %s AND body = ANY(%s) RETURNING body, metric"
_FORGET_SHADOWS: LiteralString = "DELETE FROM shadows WHERE tag = %s AND body = ANY(%s)"
_FORGET_CRASHES: LiteralString = "DELETE FROM crashes WHERE tag = %s AND body = ANY(%s)"
_LONE_CRASHES: LiteralString = """
    DELETE FROM crashes AS c WHERE tag = %s AND at >= %s AND at < %s
    AND NOT EXISTS (SELECT FROM predictions AS p WHERE p.tag = c.tag AND p.body = c.body)
"""
_LONE_BETS: LiteralString = "DELETE FROM bets WHERE tag = %s AND generation = ANY(%s) AND at >= %s AND at < %s"
_DONE: LiteralString = "UPDATE forgotten SET done = TRUE WHERE tag = %s AND day = %s"
_CLAIMS: LiteralString = """
    DELETE FROM claims WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM claims WHERE tag = %s AND generation = %s LIMIT %s
    ))
"""
_DROP_WEEKS: LiteralString = "SELECT drop_empty_prediction_weeks(extract(epoch FROM now())::float8)"


def close_day(connection: Connection, tag: str, day: int, changes: int) -> bool:
    """Let a day go, where it has changed just that often."""
    connection.execute(queries.TAKE_TURN, ([tag],))
    if not rows(connection, _CLOSE, (tag, day, changes)):
        return False
    connection.execute(_NOTE, (tag, day))
    return True


def closed_days(connection: Connection, tag: str) -> list[int]:
    """Closed days that may hold something."""
    return [day for (day,) in rows(connection, _CLOSED, (tag,))]


def forget(connection: Connection, tag: str, day: int, most: int) -> int:
    """Delete some predictions of a closed day; the last time, what is left of the day without any."""
    begins, ends = float(day * DAY_S), float((day + 1) * DAY_S)
    connection.execute(queries.TAKE_TURN, ([tag],))
    page = rows(connection, _PAGE, (tag, begins, ends, most))
    generations = [generation for (generation,) in rows(connection, _GENERATIONS, {"tag": tag})]
    if not page:
        connection.execute(_LONE_CRASHES, (tag, begins, ends))
        connection.execute(_LONE_BETS, (tag, generations, begins, ends))
        connection.execute("DELETE FROM days WHERE tag = %s AND day = %s", (tag, day))
        connection.execute(_DONE, (tag, day))
        return 0
    bodies, until = sorted({body for body, _ in page}), page[-1][1]
    forgotten = connection.execute(_FORGET, (tag, begins, until, bodies)).rowcount
    connection.execute(_FORGET_BETS, (tag, generations, begins, until, bodies))
    gone = [body for (body,) in rows(connection, _GONE, (bodies, tag))]
    _count(connection, tag, forgotten, len(gone), _forget_ids(connection, tag, gone))
    return forgotten


def drop_weeks(database: PostgresDatabase) -> None:
    """Drop weeks of which nothing is left; nobody is made to wait for it, so there may have to be another time."""
    with suppress(StoreUnavailable), database.writing(EVENTS_S) as connection:
        connection.execute("SET LOCAL lock_timeout = '200ms'")
        connection.execute(_DROP_WEEKS)


def forget_claims(connection: Connection, tag: str, generation: str, most: int) -> int:
    """Delete some of a generation's claims."""
    return connection.execute(_CLAIMS, (tag, generation, most)).rowcount


def _forget_ids(connection: Connection, tag: str, bodies: Sequence[str]) -> int:
    """Delete all that is known under these ids; how many (id, metric) had an outcome."""
    connection.execute(_FORGET_SHADOWS, (tag, bodies))
    connection.execute(_FORGET_CRASHES, (tag, bodies))
    return len(set(rows(connection, _FORGET_TOLD, (tag, bodies))))


def _count(connection: Connection, tag: str, predictions: int, ids: int, told: int) -> None:
    counts = Counts()
    counts.add(tag, "predictions", "stored", -ids)
    counts.add(tag, "predictions", "duplicates", ids - predictions)
    counts.add(tag, "predictions", "expired", predictions)
    counts.add(tag, "outcomes", "joined", -told)
    counts.add(tag, "outcomes", "expired", told)
    counts.write(connection)
