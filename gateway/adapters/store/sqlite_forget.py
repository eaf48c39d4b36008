"""Forgetting in SQLite: a day of predictions, a bounded number in a transaction, with all that hangs on them.

Each transaction takes the turn of a drain for some milliseconds and leaves the books balanced.
"""

import json
from collections import Counter

import apsw

from gateway.adapters.store.database import Row, rows
from gateway.adapters.store.joins import DAY_S
from gateway.adapters.store.sqlite_drain import Counts

_CLOSE = "DELETE FROM days WHERE tag = ? AND day = ? AND changes = ? RETURNING day"
_CLOSED = """
    SELECT day FROM forgotten
    WHERE tag = ?1 AND (NOT done OR day IN (SELECT day FROM days WHERE tag = ?1)) ORDER BY day
"""
_PAGE = """
    SELECT prediction, body, at FROM predictions WHERE tag = ? AND at >= ? AND at < ? ORDER BY at LIMIT ?
"""
_GONE = """
    SELECT value FROM json_each(?2) AS wanted
    WHERE NOT EXISTS (SELECT 1 FROM predictions AS p WHERE p.tag = ?1 AND p.body = wanted.value)
"""
_GENERATIONS = """
    WITH RECURSIVE found (generation) AS (
        SELECT min(generation) FROM bets WHERE tag = ?1
        UNION ALL
        SELECT (SELECT min(generation) FROM bets WHERE tag = ?1 AND generation > found.generation)
        FROM found WHERE found.generation IS NOT NULL
    )
    SELECT generation FROM found WHERE generation IS NOT NULL
"""
_FORGET_BETS = """
    DELETE FROM bets WHERE tag = ? AND generation = ? AND at >= ? AND at <= ?
    AND body IN (SELECT value FROM json_each(?))
"""
_FORGET_TOLD = "DELETE FROM outcomes WHERE tag = ? AND body = ? RETURNING metric"
_LONE_CRASHES = """
    DELETE FROM crashes WHERE tag = ?1 AND at >= ?2 AND at < ?3
    AND NOT EXISTS (SELECT 1 FROM predictions AS p WHERE p.tag = ?1 AND p.body = crashes.body)
"""
_CLAIMS = """
    DELETE FROM claims WHERE tag = ?1 AND generation = ?2 AND (epoch, key_hash) IN (
        SELECT epoch, key_hash FROM claims WHERE tag = ?1 AND generation = ?2 LIMIT ?3
    )
"""


def close_day(connection: apsw.Connection, tag: str, day: int, changes: int) -> bool:
    """Let a day go, where it has changed just that often."""
    if not rows(connection, _CLOSE, (tag, day, changes)):
        return False
    connection.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?, 0)", (tag, day))
    return True


def closed_days(connection: apsw.Connection, tag: str) -> list[int]:
    """Closed days that may hold something."""
    return [day for (day,) in rows(connection, _CLOSED, (tag,))]


def forget(connection: apsw.Connection, tag: str, day: int, most: int) -> int:
    """Delete some predictions of a closed day; the last time, what is left of the day without any."""
    begins, ends = float(day * DAY_S), float((day + 1) * DAY_S)
    page = rows(connection, _PAGE, (tag, begins, ends, most))
    if not page:
        _finish(connection, tag, day, (begins, ends))
        return 0
    connection.executemany("DELETE FROM predictions WHERE prediction = ?", [(number,) for number, _, _ in page])
    bodies = Counter(body for _, body, _ in page)
    packed = json.dumps(list(bodies))
    for (generation,) in rows(connection, _GENERATIONS, (tag,)):
        connection.execute(_FORGET_BETS, (tag, generation, page[0][2], page[-1][2], packed))
    gone = [body for (body,) in rows(connection, _GONE, (tag, packed))]
    told = _forget_ids(connection, tag, gone)
    counts = Counts()
    counts.add(tag, "predictions", "stored", -len(gone))
    counts.add(tag, "predictions", "duplicates", len(gone) - len(page))
    counts.add(tag, "predictions", "expired", len(page))
    counts.add(tag, "outcomes", "joined", -told)
    counts.add(tag, "outcomes", "expired", told)
    counts.write(connection)
    return len(page)


def forget_claims(connection: apsw.Connection, tag: str, generation: str, most: int) -> int:
    """Delete some of a generation's claims."""
    connection.execute(_CLAIMS, (tag, generation, most))
    return int(connection.changes())


def _forget_ids(connection: apsw.Connection, tag: str, bodies: list[str]) -> int:
    """Delete all that is known under these ids; how many (id, metric) had an outcome."""
    ids: list[Row] = [(tag, body) for body in bodies]
    connection.executemany("DELETE FROM shadows WHERE tag = ? AND body = ?", ids)
    connection.executemany("DELETE FROM crashes WHERE tag = ? AND body = ?", ids)
    return sum(len({metric for (metric,) in rows(connection, _FORGET_TOLD, one)}) for one in ids)


def _finish(connection: apsw.Connection, tag: str, day: int, span: tuple[float, float]) -> None:
    """Let crashes that no prediction followed go, and their bets; nothing of the day is left then."""
    connection.execute(_LONE_CRASHES, (tag, *span))
    for (generation,) in rows(connection, _GENERATIONS, (tag,)):
        connection.execute(
            "DELETE FROM bets WHERE tag = ? AND generation = ? AND at >= ? AND at < ?", (tag, generation, *span)
        )
    connection.execute("DELETE FROM days WHERE tag = ? AND day = ?", (tag, day))
    connection.execute("UPDATE forgotten SET done = 1 WHERE tag = ? AND day = ?", (tag, day))
