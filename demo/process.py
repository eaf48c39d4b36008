"""The gateway itself, started as anybody would start it: ``gateway serve``."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from demo.client import Gateway

START_WITHIN_S = 120.0
STOP_WITHIN_S = 30.0


def somebody_serves(*urls: str) -> str | None:
    """Name the first address that takes connections already, if any: the story must not be told to a stranger."""
    for url in urls:
        where = urlsplit(url)
        with socket.socket() as trial:
            if trial.connect_ex((where.hostname, where.port)) == 0:
                return url
    return None


class Serving:
    """``gateway serve`` as a child process; its log goes to a file. What it runs in turn finds this ``python``."""

    def __init__(self, config: Path, log: Path) -> None:
        self._config, self._log = config, log

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--config", str(self._config)],
                stdout=log,
                stderr=log,
                env=os.environ
                | {"TZ": "UTC", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
                start_new_session=True,
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()

    async def until_ready(self, gateway: Gateway) -> float:
        """Return how many seconds it took until both doors were open."""
        started = time.monotonic()
        while not await gateway.ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"The gateway ended with {self._process.returncode}; see {self._log}.")
            if time.monotonic() - started > START_WITHIN_S:
                raise RuntimeError(f"The gateway was not ready within {START_WITHIN_S:.0f} s; see {self._log}.")
            await asyncio.sleep(0.2)
        return time.monotonic() - started

    def wait(self) -> None:
        """Wait until somebody stops it."""
        self._process.wait()
