"""What waits to be told to the outside, in SQLite."""

from collections.abc import Collection, Sequence

import apsw

from gateway.adapters.store import outbox
from gateway.adapters.store.database import Database, rows, value
from gateway.ports import Untold


class SqliteOutbox:
    """The Outbox port on a :class:`Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def untold(self, limit: int) -> list[Untold]:
        """The oldest."""
        with self._database.reading() as connection:
            found = rows(connection, "SELECT number, id, kind, event FROM outbox ORDER BY number LIMIT ?", (limit,))
        return [outbox.untold(*row) for row in found]

    def told(self, numbers: Collection[int]) -> None:
        """Delete them."""
        with self._database.writing() as connection:
            connection.executemany("DELETE FROM outbox WHERE number = ?", [(number,) for number in numbers])

    def waiting(self) -> int:
        """The span of their numbers: both ends of the table, and nothing between."""
        with self._database.reading() as connection:
            return int(value(connection, "SELECT coalesce(max(number) + 1, 0) - coalesce(min(number), 0) FROM outbox"))

    def give_up(self, most: int) -> int:
        """Delete the oldest beyond ``most``."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM outbox WHERE number <= (SELECT max(number) FROM outbox) - ?", (most,))
            return int(connection.changes())


def put(connection: apsw.Connection, entries: Sequence[outbox.Entry]) -> None:
    """Add entries inside the caller's transaction."""
    connection.executemany("INSERT INTO outbox (id, kind, event) VALUES (?, ?, ?)", entries)
