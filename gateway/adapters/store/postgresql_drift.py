"""The drift watches' side of the store in PostgreSQL: logged requests as they were asked, and what watches remember."""

from typing import LiteralString

from gateway.adapters.store.postgresql import CONTROL_S, PostgresDatabase, row, rows
from gateway.adapters.store.rows import counting_labels, logged_row
from gateway.core.drift.rows import LoggedRow
from gateway.core.ids import tag_of

_SAMPLED: LiteralString = """
    FROM predictions AS p
    WHERE p.tag = %(tag)s AND p.at > %(after)s AND p.at <= %(until)s AND p.attempt = 1 AND p.counted
    ORDER BY p.body COLLATE "C" LIMIT %(most)s
"""
_SAMPLE: LiteralString = f"SELECT p.body, p.at, p.generation, p.failed, p.answer, p.record {_SAMPLED}"
_TRUTHS: LiteralString = f"""
    SELECT o.body, o.value, o.observed_at, o.received_at, spool_id, o.place
    FROM (SELECT p.body {_SAMPLED}) AS sample
    JOIN outcomes AS o ON o.tag = %(tag)s AND o.body = sample.body AND o.metric = 'label'
    JOIN spools ON spools.spool = o.spool
"""
_REMEMBER: LiteralString = """
    INSERT INTO drift (deployment, watch, memory) VALUES (%s, %s, %s)
    ON CONFLICT (deployment, watch) DO UPDATE SET memory = excluded.memory
"""


class PostgresDriftLog:
    """The DriftLog port on a :class:`PostgresDatabase`."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def logged(self, deployment: str, after: float, until: float, most: int) -> list[LoggedRow]:
        """A sample by id, in order of time."""
        about = {"tag": tag_of(deployment), "after": after, "until": until, "most": most}
        with self._database.reading() as connection:
            sample = rows(connection, _SAMPLE, about)
            truths = counting_labels(rows(connection, _TRUTHS, about))
        found = [logged_row(one, truths.get(one[0])) for one in sample]
        return sorted(found, key=lambda one: (one.at, one.body))

    def remembered(self, deployment: str, watch: str) -> bytes | None:
        """What was saved last."""
        with self._database.asking(CONTROL_S) as connection:
            found = row(
                connection, "SELECT memory FROM drift WHERE deployment = %s AND watch = %s", (deployment, watch)
            )
        return None if found is None else bytes(found[0])

    def remember(self, deployment: str, watch: str, memory: bytes) -> None:
        """Save it in the place of what was there."""
        with self._database.writing(CONTROL_S) as connection:
            connection.execute(_REMEMBER, (deployment, watch, memory))
