"""What a worker and the agent have in common: how they begin, show that their loop turns, and end.

A child never outlives its supervisor: a parent-death signal ends it at once, for an orphan on the port or a second
writer of the store would be worse, and what was acknowledged is on disk or in the kernel.
"""

import argparse
import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI

from gateway.settings import Settings, thaw

_PR_SET_PDEATHSIG = 1
_BEAT_EVERY_S = 0.25
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


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


def start_logs(level: str, process: str, index: int = 0) -> None:
    """Write JSON lines to standard error, each with the process that says it."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _naming(process, index),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")


def serve(app: FastAPI, inherited: Inherited) -> None:
    """Serve ``app`` on the inherited socket until SIGTERM; then finish what is under way and return."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, int(inherited.settings.drain_timeout)),
    )
    server = _Server(config)
    server.run(sockets=[inherited.listener])
    if not server.started:
        sys.exit(1)


async def beat(fd: int) -> None:
    """Show the supervisor that the event loop turns: a byte each quarter of a second, written by the loop itself."""
    while True:
        with contextlib.suppress(BlockingIOError):  # a supervisor too busy to read is no reason to wait
            os.write(fd, b".")
        await asyncio.sleep(_BEAT_EVERY_S)


class _Server(uvicorn.Server):
    """Ends by returning, so that the exit code tells a clean end from a kill; uvicorn would raise the signal again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leave)
        yield
        loop.remove_signal_handler(signal.SIGTERM)

    def _leave(self) -> None:
        self.should_exit = True


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


def _naming(process: str, index: int) -> structlog.typing.Processor:
    def name(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = f"{process}-{index}" if process == "worker" else process
        event["pid"] = os.getpid()
        return event

    return name
