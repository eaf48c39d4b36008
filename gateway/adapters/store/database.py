"""One SQLite file, written by one process: opening it safely, its schema, its transactions, its errors.

A commit is on disk when it returns (``synchronous=FULL``, write-ahead log). The library has to be one that does not
corrupt the log, and a lock file keeps a second writer out. Nothing here knows what is stored.
"""

import fcntl
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import apsw

from gateway.core.errors import SettingsError, StoreUnavailable

Row = tuple[Any, ...]

OLDEST_SQLITE = (3, 51, 3)
"""Before it, two connections that write and checkpoint at once could corrupt a write-ahead log."""


class Database:
    """The connection. Safe to call from several threads: one transaction at a time.

    A read-only one stands beside the writer, whoever that is: it takes no lock, and its writes fail.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        require_sqlite(apsw.sqlite_lib_version())
        self._translated = _Translated(path)
        self._turn = threading.RLock()
        self._under_way = False  # a writing transaction of the thread whose turn it is
        self._lock: int | None = None
        if read_only:
            with self._translated:
                self._connection = _open_to_read(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _lock_out_others(path)
        try:
            with self._translated:
                self._connection = _open(path)
                _migrate(self._connection)
        except BaseException:
            os.close(self._lock)
            raise

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """Give the connection for queries that see one state of the store. Raises StoreUnavailable."""
        with self._turn, self._translated:
            if self._under_way:
                yield self._connection
                return
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                _rollback(self._connection)

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """Give the connection for one transaction: on disk when the block ends, undone when it raises.

        A block inside another one is part of it: on disk when the outermost ends.
        """
        with self._turn, self._translated:
            if self._under_way:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._under_way = True
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                _rollback(self._connection)
                raise
            finally:
                self._under_way = False

    def close(self) -> None:
        """Close the file and let the next writer in."""
        with self._turn, self._translated:
            self._connection.close()
            if self._lock is not None:
                os.close(self._lock)


class _Translated:
    """Says in the store's own words what SQLite could not do. Raises StoreUnavailable."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing to do before."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate."""
        if isinstance(error, apsw.Error):
            raise StoreUnavailable(f"The store {self._path} failed: {error}") from error


def rows(connection: apsw.Connection, query: str, parameters: Row = ()) -> list[Row]:
    """Fetch every row of a query."""
    return connection.execute(query, parameters).fetchall()


def value(connection: apsw.Connection, query: str, parameters: Row = ()) -> Any:  # noqa: ANN401
    """Fetch a query's one row: None, its only value, or a tuple of its values. The column decides the type."""
    return connection.execute(query, parameters).get


def require_sqlite(version: str) -> None:
    """Refuse a SQLite library that may corrupt the store. Raises SettingsError.

    >>> require_sqlite("3.51.3")
    """
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise SettingsError(f"SQLite {version} can corrupt a write-ahead log; the store needs {oldest} or later.")


def _lock_out_others(path: Path) -> int:
    lock = path.with_name(f"{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StoreUnavailable(f"Another process writes the store {path} (it holds {lock.name}).") from error
    return descriptor


def _open(path: Path) -> apsw.Connection:
    path.touch(0o600)  # it holds what people sent; SQLite gives its other files the same mode
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(1_000)  # somebody may be reading the file with the sqlite3 shell
    mode = value(connection, "PRAGMA journal_mode=WAL")
    if mode != "wal":
        raise StoreUnavailable(f"The store {path} cannot have a write-ahead log there (it is in {mode} mode).")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _open_to_read(path: Path) -> apsw.Connection:
    if not path.exists():
        raise StoreUnavailable(f"There is no store {path}.")
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(1_000)
    if missing := _unseen(connection, _schema_files()):
        raise SettingsError(f"The store {path} was written by an earlier gateway (it has no schema {missing[0]:04d}).")
    return connection


def _schema_files() -> dict[int, Traversable]:
    return {int(file.name[:4]): file for file in resources.files(__package__).joinpath("sql").iterdir()}


def _unseen(connection: apsw.Connection, files: Mapping[int, Traversable]) -> list[int]:
    """List the SQL files that this store has not seen, in order. Raises SettingsError for a later gateway's store."""
    applied: dict[int, str] = dict(rows(connection, "SELECT number, name FROM schema_files"))
    if newer := sorted(set(applied) - set(files)):
        raise SettingsError(f"The store was written by a later gateway (schema {applied[newer[-1]]}).")
    return sorted(set(files) - set(applied))


def _migrate(connection: apsw.Connection) -> None:
    """Apply the numbered SQL files that this store has not seen, in order, each in a transaction of its own."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_files (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT"
    )
    files = _schema_files()
    for number in _unseen(connection, files):
        with connection:
            connection.execute(files[number].read_text())
            connection.execute("INSERT INTO schema_files VALUES (?, ?)", (number, files[number].name))


def _rollback(connection: apsw.Connection) -> None:
    if connection.in_transaction:  # a full disk ends a transaction by itself
        connection.execute("ROLLBACK")
