"""The drift watches' side of the store in SQLite: logged requests as they were asked, and what watches remember."""

from gateway.adapters.store.database import Database, rows, value
from gateway.adapters.store.rows import counting_labels, logged_row
from gateway.core.drift.rows import LoggedRow
from gateway.core.ids import tag_of

# + and CROSS: SQLite is to walk the window by time and look its labels up, not to walk every request or every outcome.
SAMPLE = """
    SELECT p.body, p.at, p.generation, p.failed, p.answer, p.record
    FROM predictions AS p
    WHERE p.tag = ?1 AND p.at > ?2 AND p.at <= ?3 AND p.attempt = 1 AND p.counted
    ORDER BY +p.body LIMIT ?4
"""
TRUTHS = """
    SELECT o.body, o.value, o.observed_at, o.received_at, spool_id, o.offset
    FROM (
        SELECT p.body FROM predictions AS p
        WHERE p.tag = ?1 AND p.at > ?2 AND p.at <= ?3 AND p.attempt = 1 AND p.counted
        ORDER BY +p.body LIMIT ?4
    ) AS sample
    CROSS JOIN outcomes AS o ON o.tag = ?1 AND o.body = sample.body AND o.metric = 'label'
    JOIN spools ON spools.spool = o.spool
"""


class SqliteDriftLog:
    """The DriftLog port on a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def logged(self, deployment: str, after: float, until: float, most: int) -> list[LoggedRow]:
        """A sample by id, in order of time."""
        about = (tag_of(deployment), after, until, most)
        with self._database.reading() as connection:
            sample = rows(connection, SAMPLE, about)
            truths = counting_labels(rows(connection, TRUTHS, about))
        found = [logged_row(row, truths.get(row[0])) for row in sample]
        return sorted(found, key=lambda row: (row.at, row.body))

    def remembered(self, deployment: str, watch: str) -> bytes | None:
        """What was saved last."""
        with self._database.reading() as connection:
            found = value(
                connection, "SELECT memory FROM drift WHERE deployment = ? AND watch = ?", (deployment, watch)
            )
        return None if found is None else bytes(found)

    def remember(self, deployment: str, watch: str, memory: bytes) -> None:
        """Save it in the place of what was there."""
        with self._database.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO drift VALUES (?, ?, ?)", (deployment, watch, memory))
