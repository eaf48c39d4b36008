"""The store: the event log, the control state and the hosts around them, named by one URL."""

import secrets
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from gateway.adapters.store.database import Database
from gateway.adapters.store.memory import MemoryEventLog
from gateway.adapters.store.memory_control import MemoryControlState
from gateway.adapters.store.memory_drift import MemoryDriftLog
from gateway.adapters.store.memory_outbox import MemoryOutbox
from gateway.adapters.store.solo import SoloHosts, SoloLeadership
from gateway.adapters.store.sqlite_control import SqliteControlState
from gateway.adapters.store.sqlite_drift import SqliteDriftLog
from gateway.adapters.store.sqlite_events import SqliteEventLog
from gateway.adapters.store.sqlite_outbox import SqliteOutbox
from gateway.core.errors import SettingsError
from gateway.ports import ControlState, DriftLog, EventLog, Hosts, Leadership, Outbox

SHARED = ("postgresql", "postgres")
"""Schemes of stores that many hosts share."""

Hush = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Store:
    """An opened store. Its parts may block, so they belong in a thread that nothing else waits for.

    ``leading`` is the control state as the leader writes it: a write by one that leads no more raises NotLeading.
    ``listen`` calls back, from a thread of its own, when another host may have changed a document; what it returns
    ends that. ``keys`` gives the keys that all hosts share, or, where there are none yet, makes them those that it is
    handed; None: every host has its own.
    """

    events: EventLog
    control: ControlState
    drift: DriftLog
    close: Callable[[], None]
    leading: ControlState
    outbox: Outbox
    leadership: Leadership = field(default_factory=SoloLeadership)
    hosts: Hosts = field(default_factory=SoloHosts)
    listen: Callable[[Callable[[], None]], Hush] = lambda _: lambda: None
    keys: Callable[[Callable[[], bytes]], bytes] | None = None


def open_store(url: str, host: str | None = None, *, read_only: bool = False, tells: Collection[str] = ()) -> Store:
    """Open the store at ``sqlite:PATH``, ``postgresql://...`` or ``memory:``, and make it if there is none.

    ``host`` names this host among those that share the store. PostgreSQL is connected when it is first asked.
    ``read_only`` opens one that is there, beside its writer, and cannot change it. ``tells`` are the kinds of events
    (``core.envelopes``) that wait in the outbox from now on. Raises SettingsError for a URL that
    names no store, and StoreUnavailable for one that cannot be had.
    """
    scheme, _, path = url.partition(":")
    if scheme == "memory":
        outbox = MemoryOutbox()
        events, control = MemoryEventLog(outbox, tells), MemoryControlState(outbox, tells)
        return Store(events, control, MemoryDriftLog(events), close=lambda: None, leading=control, outbox=outbox)
    if scheme == "sqlite" and path:
        database = Database(Path(path), read_only=read_only)
        log, documents = SqliteEventLog(database, tells), SqliteControlState(database, tells)
        drift, waiting = SqliteDriftLog(database), SqliteOutbox(database)
        return Store(log, documents, drift, database.close, leading=documents, outbox=waiting)
    if scheme in SHARED and path:
        return _open_postgresql(
            url, host or f"{socket.gethostname()}-{secrets.token_hex(4)}", read_only=read_only, tells=tells
        )
    raise SettingsError(f"{url!r} names no store; the words are: sqlite:PATH, memory:, postgresql://HOST/DATABASE.")


def _open_postgresql(url: str, host: str, *, read_only: bool, tells: Collection[str]) -> Store:
    try:
        from gateway.adapters.store import (
            postgresql,
            postgresql_control,
            postgresql_drift,
            postgresql_events,
            postgresql_fleet,
            postgresql_outbox,
        )
    except ImportError as error:
        raise SettingsError("A PostgreSQL store needs psycopg: install gateway[postgresql].") from error
    database = postgresql.PostgresDatabase(url, read_only=read_only)
    leadership = postgresql_fleet.PostgresLeadership(database, host)
    return Store(
        events=postgresql_events.PostgresEventLog(database, tells),
        control=postgresql_control.PostgresControlState(database, tells=tells),
        drift=postgresql_drift.PostgresDriftLog(database),
        close=database.close,
        leading=postgresql_control.PostgresControlState(database, leadership.epoch, tells),
        outbox=postgresql_outbox.PostgresOutbox(database),
        leadership=leadership,
        hosts=postgresql_fleet.PostgresHosts(database),
        listen=lambda changed: postgresql_fleet.PostgresNotices(database, changed).close,
        keys=lambda mine: postgresql_fleet.shared_keys(database, mine),
    )
