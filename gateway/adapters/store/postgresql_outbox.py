"""What waits to be told to the outside, in PostgreSQL.

Transactions of other hosts may commit a lower number after a higher one was told, so rows go one by one, by number, and
no cursor passes over any.
"""

from collections.abc import Collection, Sequence

from gateway.adapters.store import outbox
from gateway.adapters.store.postgresql import EVENTS_S, Connection, PostgresDatabase, row, rows
from gateway.ports import Untold


class PostgresOutbox:
    """The Outbox port on a :class:`PostgresDatabase`."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def untold(self, limit: int) -> list[Untold]:
        """The oldest."""
        with self._database.asking(EVENTS_S) as connection:
            found = rows(connection, "SELECT number, id, kind, event FROM outbox ORDER BY number LIMIT %s", (limit,))
        return [outbox.untold(*found_row) for found_row in found]

    def told(self, numbers: Collection[int]) -> None:
        """Delete them."""
        with self._database.asking(EVENTS_S) as connection:
            connection.execute("DELETE FROM outbox WHERE number = ANY(%s)", (list(numbers),))

    def waiting(self) -> int:
        """The span of their numbers: both ends of the table, and nothing between."""
        with self._database.asking(EVENTS_S) as connection:
            found = row(connection, "SELECT coalesce(max(number) + 1, 0) - coalesce(min(number), 0) FROM outbox")
        return int(found[0]) if found else 0

    def give_up(self, most: int) -> int:
        """Delete the oldest beyond ``most``."""
        with self._database.asking(EVENTS_S) as connection:
            said = "DELETE FROM outbox WHERE number <= (SELECT max(number) FROM outbox) - %s"
            return connection.execute(said, (most,)).rowcount


def put(connection: Connection, entries: Sequence[outbox.Entry]) -> None:
    """Add entries inside the caller's transaction."""
    if entries:
        connection.execute(
            "INSERT INTO outbox (id, kind, event) SELECT * FROM unnest(%s::text[], %s::text[], %s::bytea[])",
            [list(column) for column in zip(*entries, strict=True)],
        )
