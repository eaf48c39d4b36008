"""One PostgreSQL around which many hosts work: connections, deadlines, transactions, the schema, and its errors.

Every thread that asks has a connection of its own. Each call has a patience, in machine seconds, that holds here and
not only in the server: one that has been stopped answers nothing, not even that it is too late. What failed is
forgotten and connected again, and for a moment after a failure nobody else waits for the same. Nothing here knows what
is stored.
"""

import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import Error, OperationalError

from gateway.adapters.clock import WallClock
from gateway.core.errors import SettingsError, StoreUnavailable

Row = tuple[Any, ...]
Parameters = Sequence[object] | Mapping[str, object]
_Result = TypeVar("_Result")

CONTROL_S = 0.7
"""Patience with control state: an operator hears within a second that the store is away."""
EVENTS_S = 15.0
"""Patience with the event log: a batch of a drain, a look at a long window."""
_FILE_S = 600.0
"""Patience with one file of the schema: an index over ten million rows takes a minute."""
_CONNECT_S = 0.7
_FAIL_FAST_S = 0.2
_INTERVAL_S = 0.1
_MIGRATION_LOCK = 0x6761_7465
_SERVER_SIDE = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "5s",  # a host that froze in the middle lets the others go on
    "client_connection_check_interval": "2s",
    "synchronous_commit": "on",
}

_machine = WallClock().machine


class Connection(psycopg.Connection[Row]):
    """A connection whose every wait ends at ``deadline`` (machine seconds), whatever the server does."""

    deadline: float = float("inf")
    under_way: bool = False
    """Whether a writing transaction has begun here that those inside it join."""

    def within(self, longest_s: float) -> "Connection":
        """The same, for ``longest_s`` seconds from now."""
        until = _machine() + longest_s
        self.deadline = max(self.deadline, until) if self.under_way else until
        return self

    def wait(self, gen: PQGen[_Result], interval: float = _INTERVAL_S, timeout: float | None = None) -> _Result:
        """Wait for the server, within the deadline."""
        left = max(0.0, self.deadline - _machine())
        longest = left if timeout is None else min(timeout, left)
        return super().wait(gen, interval, None if longest == float("inf") else longest)

    @classmethod
    def reach(cls, url: str, longest_s: float) -> "Connection":
        """Connect within ``longest_s`` seconds; ``connect_timeout`` is never less than two."""
        made = waiting.wait_conn(cls._connect_gen(make_conninfo(url)), interval=_INTERVAL_S, timeout=longest_s)
        made.autocommit = True  # transactions are begun and ended below, in so many words
        return made


class PostgresDatabase:
    """Connections to one database, one for each thread. Nothing is connected before it is needed.

    A read-only one makes no schema, and its writes fail.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        try:
            known = conninfo_to_dict(url)
        except Error as error:
            raise SettingsError("The store's URL is no PostgreSQL URL (it is not repeated here).") from error
        self.where = f"{known.get('host') or 'localhost'}/{known.get('dbname') or known.get('user') or ''}"
        said = str(known.get("options") or "")
        server_side = _SERVER_SIDE | ({"default_transaction_read_only": "on"} if read_only else {})
        options = " ".join(f"-c {name}={value}" for name, value in server_side.items())
        self._ready = require_schema if read_only else migrate
        self._url = make_conninfo(url, options=f"{options} {said}".strip(), application_name="gateway")
        self._mine = threading.local()
        self._all: set[Connection] = set()
        self._turn = threading.Lock()
        self._migrated = False
        self._closed = False
        self._away_until = float("-inf")
        self._trouble = ""

    @contextmanager
    def asking(self, patience_s: float) -> Iterator[Connection]:
        """Give the connection for single statements, each its own transaction. Raises StoreUnavailable."""
        with self.translated():
            yield self._connected().within(patience_s)

    @contextmanager
    def reading(self, patience_s: float = EVENTS_S) -> Iterator[Connection]:
        """Give the connection for queries that see one state of the store. Raises StoreUnavailable.

        Inside a writing block they see what has been written there, and what others have committed in between.
        """
        with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", patience_s) as connection:
            yield connection

    @contextmanager
    def writing(self, patience_s: float = EVENTS_S) -> Iterator[Connection]:
        """Give the connection for one transaction: on disk when the block ends, undone when it raises.

        Each statement sees what others have committed before it began, so a lock taken first makes turns. A block
        inside another one of the same thread is part of it: on disk when the outermost ends.
        """
        with self._transaction("BEGIN", patience_s, joins=True) as connection:
            yield connection

    def listener(self) -> Connection:
        """A connection of its own for a thread that only listens. Raises StoreUnavailable. The caller closes it."""
        with self.translated():
            return Connection.reach(make_conninfo(self._url, application_name="gateway-listener"), _CONNECT_S)

    def close(self) -> None:
        """Hang up, in every thread."""
        with self._turn:
            self._closed = True
            for connection in self._all:
                connection.close()
            self._all.clear()

    @contextmanager
    def _transaction(self, begin: LiteralString, patience_s: float, *, joins: bool = False) -> Iterator[Connection]:
        with self.asking(patience_s) as connection:
            if connection.under_way:
                yield connection
                return
            connection.execute(begin)
            connection.under_way = joins
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(Error):  # what broke the connection has undone everything as well
                    connection.execute("ROLLBACK")
                raise
            finally:
                connection.under_way = False

    def _connected(self) -> Connection:
        known: Connection | None = getattr(self._mine, "connection", None)
        if known is not None and (known.under_way or not known.closed):
            return known
        if self._closed:
            raise OperationalError("it has been closed")
        if _machine() < self._away_until:
            raise OperationalError(self._trouble)
        connection = Connection.reach(self._url, _CONNECT_S)
        self._mine.connection = connection
        with self._turn:
            self._all.add(connection)
            if not self._migrated:
                self._ready(connection.within(EVENTS_S))
                self._migrated = True
        return connection

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the client library's errors into StoreUnavailable."""
        try:
            yield
        except Error as error:
            self._forget(error)
            raise StoreUnavailable(f"The store {self.where} failed: {str(error).strip()}") from error

    def _forget(self, error: Error) -> None:
        """Let a connection go that may be in the middle of something; whatever it was, the next one begins anew."""
        connection: Connection | None = getattr(self._mine, "connection", None)
        if isinstance(error, OperationalError):
            if _machine() >= self._away_until:
                self._away_until, self._trouble = _machine() + _FAIL_FAST_S, str(error)
            if connection is not None:
                connection.close()
        if connection is not None and connection.closed:
            with self._turn:
                self._all.discard(connection)
            self._mine.connection = None


def rows(connection: Connection, query: LiteralString, parameters: Parameters = ()) -> list[Row]:
    """Fetch every row of a query."""
    return connection.execute(query, parameters).fetchall()


def row(connection: Connection, query: LiteralString, parameters: Parameters = ()) -> Row | None:
    """Fetch a query's first row, or None."""
    return connection.execute(query, parameters).fetchone()


def migrate(connection: Connection) -> None:
    """Apply the numbered SQL files that this store has not seen, in order: all of them or none.

    An advisory lock makes hosts that start at once take turns, so each file runs once. Raises SettingsError for a store
    that a later gateway has written.
    """
    files = _schema_files()
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        connection.execute("CREATE TABLE IF NOT EXISTS schema_files (number INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        applied: dict[int, str] = dict(rows(connection, "SELECT number, name FROM schema_files"))
        _refuse_later(applied, files)
        for number in sorted(set(files) - set(applied)):
            connection.within(_FILE_S).execute("SET LOCAL statement_timeout = 0")
            connection.execute(files[number].read_text().encode())
            connection.execute("INSERT INTO schema_files VALUES (%s, %s)", (number, files[number].name))
        connection.execute("COMMIT")
    except BaseException:
        with suppress(Error):
            connection.execute("ROLLBACK")
        raise


def require_schema(connection: Connection) -> None:
    """Hold a store that is only read to have every SQL file. Raises SettingsError."""
    files = _schema_files()
    there = row(connection, "SELECT to_regclass('schema_files') IS NOT NULL")
    stored = rows(connection, "SELECT number, name FROM schema_files") if there and there[0] else []
    applied: dict[int, str] = dict(stored)
    _refuse_later(applied, files)
    if missing := sorted(set(files) - set(applied)):
        raise SettingsError(f"The store was written by an earlier gateway (it has no schema {missing[0]:04d}).")


def _schema_files() -> dict[int, Traversable]:
    return {int(file.name[:4]): file for file in resources.files(__package__).joinpath("postgresql_sql").iterdir()}


def _refuse_later(applied: Mapping[int, str], known: Container[int]) -> None:
    if later := [name for number, name in sorted(applied.items()) if number not in known]:
        raise SettingsError(f"The store was written by a later gateway (schema {later[-1]}).")
