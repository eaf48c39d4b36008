"""The store: the event log and the control state, named by one URL."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.store.database import Database
from gateway.adapters.store.memory import MemoryControlState, MemoryEventLog
from gateway.adapters.store.memory_drift import MemoryDriftLog
from gateway.adapters.store.sqlite_control import SqliteControlState
from gateway.adapters.store.sqlite_drift import SqliteDriftLog
from gateway.adapters.store.sqlite_events import SqliteEventLog
from gateway.core.errors import SettingsError
from gateway.ports import ControlState, DriftLog, EventLog


@dataclass(frozen=True, slots=True)
class Store:
    """An opened store. Its parts may block, so they belong in a thread that nothing else waits for."""

    events: EventLog
    control: ControlState
    drift: DriftLog
    close: Callable[[], None]


def open_store(url: str, *, read_only: bool = False) -> Store:
    """Open the store at ``sqlite:PATH`` or ``memory:``, and make it if there is none.

    ``read_only`` opens one that is there, beside its writer, and cannot change it. Raises SettingsError for a URL that
    names no store, and StoreUnavailable for one that cannot be had.
    """
    scheme, _, path = url.partition(":")
    if scheme == "memory":
        events = MemoryEventLog()
        return Store(events, MemoryControlState(), MemoryDriftLog(events), close=lambda: None)
    if scheme == "sqlite" and path:
        database = Database(Path(path), read_only=read_only)
        return Store(SqliteEventLog(database), SqliteControlState(database), SqliteDriftLog(database), database.close)
    if scheme in {"postgresql", "postgres"}:
        raise SettingsError("A PostgreSQL store is not built yet; use sqlite:PATH.")
    raise SettingsError(f"{url!r} names no store; the words are: sqlite:PATH, memory:.")
