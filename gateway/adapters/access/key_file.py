"""API keys in one file, by digest. The command writes it; workers and the agent look now and then whether it changed.

Once a process has seen keys it never opens its doors again: a file that vanishes or cannot be read leaves the keys it
held in force, and says so.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import structlog

from gateway.adapters.files import write_whole
from gateway.core.access import Key, Principal, by_digest
from gateway.core.errors import SettingsError

log = structlog.get_logger(__name__)


class _Document(msgspec.Struct):
    keys: tuple[Key, ...] = ()
    version: int = 1


class KeyFile:
    """The keys of one file. ``known`` is None as long as there has never been one."""

    def __init__(self, path: Path, *, must_exist: bool = False) -> None:
        """Read what is there. Raises SettingsError for a file that is no key file, or that must exist and does not."""
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self.known: Mapping[bytes, tuple[Key, Principal]] | None = None
        if path.exists():
            self.known = by_digest(self._load())
        elif must_exist:
            raise SettingsError(f"{path} is not there; `gateway keys new` makes the first key.")

    def refresh(self) -> None:
        """Take over what has changed. Never raises; blocks for a moment, so not for an event loop."""
        try:
            if self._stamp() != self._seen:
                self.known = by_digest(self._load())
                log.info("keys_read", keys=len(self.known))
        except SettingsError as error:
            log.error("keys_unreadable", reason=str(error))  # noqa: TRY400 - the sentence says it all
            self.known = {} if self.known is None else self.known  # somebody meant to lock the doors
        except FileNotFoundError:
            if self.known is not None and self._seen is not None:
                log.error("keys_vanished", reason="the keys that were read last stay in force")  # noqa: TRY400
            self._seen = None

    def list(self) -> tuple[Key, ...]:
        """Every key there ever was, oldest first."""
        return self._load() if self._path.exists() else ()

    def change(self, how: Callable[[Sequence[Key]], tuple[Key, ...]]) -> None:
        """Write the list that ``how`` makes of the present one; two that do so at once take turns."""
        with self._turn():
            keys = how(self.list())
            write_whole(self._path, msgspec.json.format(msgspec.json.encode(_Document(keys))))

    def _stamp(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _load(self) -> tuple[Key, ...]:
        try:
            if self._path.stat().st_mode & 0o022:
                raise SettingsError(f"{self._path} says who may come in and others may write it; make its mode 0600.")
            self._seen = self._stamp()
            return msgspec.json.decode(self._path.read_bytes(), type=_Document).keys
        except FileNotFoundError:
            raise
        except (OSError, msgspec.DecodeError, ValueError) as error:
            raise SettingsError(f"{self._path} does not hold keys ({error}).") from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
