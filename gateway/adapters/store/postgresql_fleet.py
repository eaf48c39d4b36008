"""The hosts around one PostgreSQL: who is alive, who leads, which keys all of them sign with, and what has changed.

All times are the server's, so no two hosts have to agree on the hour.
"""

import threading
from collections.abc import Callable
from typing import LiteralString

import msgspec
import structlog

from gateway.adapters.store.postgresql import CONTROL_S, Connection, PostgresDatabase, row, rows
from gateway.adapters.store.postgresql_control import CHANNEL
from gateway.core.errors import NotLeading, StoreUnavailable
from gateway.core.watermark import SILENT_AFTER_S
from gateway.ports import HostWord

log = structlog.get_logger(__name__)

LEAD_S = 3.0
"""How long a lead lasts without being renewed, seconds of the server's time."""
_LONGEST_PAUSE_S = 0.5
_LISTEN_S = 1.0
_WORDS = msgspec.json.Decoder(HostWord)

_BEAT: LiteralString = """
    INSERT INTO hosts (host, heard_at, word) VALUES (%s, clock_timestamp(), %s)
    ON CONFLICT (host) DO UPDATE SET heard_at = excluded.heard_at, word = excluded.word
"""
_LIVE: LiteralString = """
    SELECT word FROM hosts WHERE heard_at > clock_timestamp() - make_interval(secs => %s) ORDER BY host COLLATE "C"
"""
_ACQUIRE: LiteralString = """
    UPDATE leadership
    SET holder = %(host)s,
        epoch = CASE WHEN holder = %(host)s AND epoch = %(epoch)s THEN epoch ELSE epoch + 1 END,
        until = clock_timestamp() + make_interval(secs => %(lead_s)s)
    WHERE holder = %(host)s OR until < clock_timestamp()
    RETURNING epoch
"""
_RESIGN: LiteralString = "UPDATE leadership SET until = '-infinity' WHERE holder = %s AND epoch = %s"
_REACH: LiteralString = """
    UPDATE leadership SET watermark = greatest(watermark, %s) WHERE epoch = %s RETURNING watermark
"""
_KEYS: LiteralString = "SELECT document FROM signing_keys"
_FIRST_KEYS: LiteralString = "INSERT INTO signing_keys (document) VALUES (%s) ON CONFLICT DO NOTHING"


class PostgresLeadership:
    """The Leadership port: one row, a lease by the server's clock, an epoch that grows at each change.

    A process that begins anew takes a new epoch, even where its host led before: what it did not write itself it
    cannot vouch for.
    """

    def __init__(self, database: PostgresDatabase, host: str) -> None:
        self._database = database
        self._host = host
        self._epoch: int | None = None

    def acquire(self) -> int | None:
        """Take the lead or renew it; the epoch, or None while another host leads."""
        values = {"host": self._host, "epoch": self._epoch, "lead_s": LEAD_S}
        try:
            with self._database.asking(CONTROL_S) as connection:
                found = row(connection, _ACQUIRE, values)
        except StoreUnavailable:
            found = None  # perhaps it was renewed, but nobody here knows
        epoch: int | None = None if found is None else found[0]
        if epoch != self._epoch:
            log.info("leading" if epoch else "lead_lost", epoch=epoch or self._epoch)
        self._epoch = epoch
        return epoch

    def epoch(self) -> int:
        """The epoch this process leads in. Raises NotLeading."""
        epoch = self._epoch
        if epoch is None:
            raise NotLeading
        return epoch

    def reach(self, watermark: float | None) -> float | None:
        """Move the store's watermark (never back); says where it stands. Raises NotLeading."""
        with self._database.asking(CONTROL_S) as connection:
            found = row(connection, _REACH, (watermark, self.epoch()))
        if found is None:
            raise NotLeading
        reached: float | None = found[0]
        return reached

    def resign(self) -> None:
        """Let another host lead at once."""
        if self._epoch is not None:
            with self._database.asking(CONTROL_S) as connection:
                connection.execute(_RESIGN, (self._host, self._epoch))
        self._epoch = None


class PostgresHosts:
    """The Hosts port: one row per host."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def beat(self, word: HostWord) -> None:
        """Say it."""
        with self._database.asking(CONTROL_S) as connection:
            connection.execute(_BEAT, (word.host, msgspec.json.encode(word).decode()))

    def live(self) -> list[HostWord]:
        """The last word of every host that was heard lately."""
        with self._database.asking(CONTROL_S) as connection:
            found = rows(connection, _LIVE, (SILENT_AFTER_S,))
        return [_WORDS.decode(word) for (word,) in found]

    def leave(self, host: str) -> None:
        """Forget a host that ends: nobody waits for it."""
        with self._database.asking(CONTROL_S) as connection:
            connection.execute("DELETE FROM hosts WHERE host = %s", (host,))


def shared_keys(database: PostgresDatabase, mine: Callable[[], bytes]) -> bytes:
    """The keys document that every host signs with: that of whoever came first."""
    with database.asking(CONTROL_S) as connection:
        found = row(connection, _KEYS)
        if found is None:
            connection.execute(_FIRST_KEYS, (mine(),))
            found = row(connection, _KEYS)
    if found is None:
        raise StoreUnavailable("The store has lost the signing keys it was just given.")
    return bytes(found[0])


class PostgresNotices:
    """A thread that hears of every change of control state, on any host, as soon as it is committed.

    Polling goes on beside it, so what it misses while it connects again is only later.
    """

    def __init__(self, database: PostgresDatabase, changed: Callable[[], None]) -> None:
        self._database = database
        self._changed = changed
        self._ended = threading.Event()
        self._pause_s = 0.0
        self._thread = threading.Thread(target=self._listen, name="notices", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._ended.set()
        self._thread.join(2.0 * _LISTEN_S)

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                with self._database.listener() as connection, self._database.translated():
                    self._hear(connection)
            except StoreUnavailable as error:
                log.debug("not_listening", reason=str(error))
                self._ended.wait(self._pause_s)  # at once the first time: a line that was cut is missed least then
                self._pause_s = min(_LONGEST_PAUSE_S, 2.0 * self._pause_s + 0.02)

    def _hear(self, connection: Connection) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        self._pause_s = 0.0
        self._changed()  # whatever was said before the connection stood
        while not self._ended.is_set():
            for _ in connection.notifies(timeout=_LISTEN_S, stop_after=1):
                self._changed()
            connection.within(CONTROL_S).execute("SELECT 1")  # a line that is dead says nothing for ever
            connection.within(float("inf"))
