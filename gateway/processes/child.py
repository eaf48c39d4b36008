"""What a worker and the agent have in common: how they begin, show that their loop turns, and end.

A child never outlives its supervisor: a parent-death signal ends it at once, for an orphan on the port or a second
writer of the store would be worse, and what was acknowledged is on disk or in the kernel.
"""

import argparse
import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from gateway.edge.turns import Turns
from gateway.processes.express import ExpressProtocol
from gateway.processes.logs import start_logs
from gateway.processes.patience import PatientProtocol
from gateway.settings import Settings, thaw

_PR_SET_PDEATHSIG = 1
_BEAT_EVERY_S = 0.25
_LAST_ANSWERS_S = 0.5


@dataclass(frozen=True, slots=True)
class Inherited:
    """What the supervisor gave this process: settings, its listening socket, the pipe it beats on, its number."""

    settings: Settings
    listener: socket.socket
    beat_fd: int
    index: int


def begin(name: str) -> Inherited:
    """Tie this process to its supervisor and take over what was inherited."""
    said = _arguments()
    _die_with(said.parent)
    os.set_inheritable(said.listen, False)
    os.set_inheritable(said.beat, False)
    os.set_blocking(said.beat, False)
    settings = thaw(said.settings.read_text())
    start_logs(settings.log_level, name, said.index)
    return Inherited(settings, socket.socket(fileno=said.listen), said.beat, said.index)


def serve(
    app: ASGIApp, inherited: Inherited, leaving: Callable[[], None] = lambda: None, turns: Turns | None = None
) -> None:
    """Serve ``app`` on the inherited socket until SIGTERM; then finish what is under way and return.

    ``leaving`` is told of the signal at once. With ``turns``, plain predictions go there and not through ``app``.
    """
    protocol: Any = PatientProtocol if turns is None else partial(ExpressProtocol, turns=turns)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=inherited.settings.tls_certificate,
        ssl_keyfile=inherited.settings.tls_key,
        timeout_graceful_shutdown=max(1, int(inherited.settings.drain_timeout)),
    )
    server = _Server(config, leaving)
    server.run(sockets=[inherited.listener])
    if not server.started:
        sys.exit(1)


async def beat(fd: int, sound: Callable[[], bool] = lambda: True) -> None:
    """Show the supervisor that the event loop turns: a byte each quarter of a second, written by the loop itself.

    While the process is not ``sound`` it keeps silent, and if that lasts it is replaced.
    """
    while True:
        with contextlib.suppress(BlockingIOError):  # a supervisor too busy to read is no reason to wait
            if sound():
                os.write(fd, b".")
        await asyncio.sleep(_BEAT_EVERY_S)


class _Server(uvicorn.Server):
    """Ends by returning, so that the exit code tells a clean end from a kill; uvicorn would raise the signal again."""

    def __init__(self, config: uvicorn.Config, leaving: Callable[[], None]) -> None:
        super().__init__(config)
        self._leaving = leaving

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leave)
        yield
        loop.remove_signal_handler(signal.SIGTERM)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, but give open connections one last answer that says so; then end as uvicorn does.

        Closing at once would cut off requests that are on their way, which a client may not send twice.
        """
        for server in self.servers:
            server.close()
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ANSWERS_S):
                while self.server_state.connections:  # noqa: ASYNC110 - uvicorn keeps a set, not an event
                    await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    def _leave(self) -> None:
        self.should_exit = True
        self._leaving()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Started by the supervisor; run `gateway serve` instead.")
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--beat", type=int, required=True)
    parser.add_argument("--index", type=int, required=True)
    return parser.parse_args()


def _die_with(parent: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it went before the tie was made
        sys.exit(1)
