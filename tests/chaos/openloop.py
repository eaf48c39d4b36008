"""A caller that costs little: constant arrival, latency from the intended start, kept connections, its own loop.

Where a row needs a connection per request, :mod:`tests.chaos.clients` has it. Here a connection that has answered
serves again, so that one machine can offer several times what the gateway on it can do.
"""

import asyncio
import gc
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import uvloop

from tests.e2e.harness import Gateway

_LONGEST_S = 20.0
_KEPT_S = 3.0


@dataclass(frozen=True)
class Ask:
    """One request to send."""

    path: str
    body: Any
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Said:
    """One answer. ``due`` is wall time, ``took`` seconds from then; status 0: none came."""

    ask: Ask
    due: float
    took: float
    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Answers:
    """Everything that was answered."""

    said: list[Said] = field(default_factory=list)

    def of(self, *statuses: int, after: float = 0.0, before: float = float("inf")) -> list[Said]:
        """Those with one of the statuses (none named: all) that were due in between."""
        return [one for one in self.said if after <= one.due < before and (not statuses or one.status in statuses)]


def quantile(said: list[Said], q: float) -> float:
    """A quantile of latency, in seconds."""
    return float(np.quantile([one.took for one in said], q)) if said else float("nan")


@contextmanager
def calling(gateway: Gateway, rate: float, make: Callable[[int], Ask], answers: Answers) -> Iterator[None]:
    """Send ``rate`` requests a second until the block ends, then wait for the last answers."""
    gc.freeze()  # a collection of all that a row has imported would hold the callers up for tenths of a second
    stop = threading.Event()
    host, port = str(gateway.data.base_url.host), int(gateway.data.base_url.port or 0)
    caller = _Caller(host, port, rate, make, answers, stop)
    thread = threading.Thread(target=lambda: uvloop.run(caller.run()))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def knocking(gateway: Gateway) -> httpx.Client:
    """A client for a few requests beside, each on a connection of its own.

    It is made once: making one costs tens of milliseconds, in which no caller of this process gets a turn.
    """
    return httpx.Client(base_url=gateway.data.base_url, timeout=5.0, headers={"Connection": "close"})


class _Caller:
    def __init__(
        self, host: str, port: int, rate: float, make: Callable[[int], Ask], answers: Answers, stop: threading.Event
    ) -> None:
        self._place, self._rate, self._make = (host, port), rate, make
        self._answers, self._stop = answers, stop
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []

    async def run(self) -> None:
        due, number, tasks = time.time(), 0, set[asyncio.Task[None]]()
        while not self._stop.is_set():
            task = asyncio.create_task(self._one(self._make(number), due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            due += 1.0 / self._rate
            ahead = due - time.time()
            await asyncio.sleep(ahead if ahead > 0.0 else 0.0)
        if tasks:
            await asyncio.wait(tasks, timeout=_LONGEST_S)
        for _, writer, _ in self._idle:
            writer.close()

    async def _one(self, ask: Ask, due: float) -> None:
        status, headers, body = 0, dict[str, str](), None
        try:
            async with asyncio.timeout(_LONGEST_S):
                status, headers, body = await self._exchange(ask)
        except (OSError, EOFError, TimeoutError, ValueError):
            status = 0
        self._answers.said.append(Said(ask, due, time.time() - due, status, headers, body))

    async def _exchange(self, ask: Ask) -> tuple[int, dict[str, str], Any]:
        reader, writer = self._kept() or await asyncio.open_connection(*self._place)
        try:
            writer.write(_encode(ask))
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        except BaseException:
            writer.close()
            raise
        if headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            self._idle.append((reader, writer, time.monotonic()))
        return int(head[0].split()[1]), headers, json.loads(body) if body else None

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """The connection used last, unless the server may be about to close it."""
        while self._idle:
            reader, writer, since = self._idle.pop()
            if time.monotonic() - since < _KEPT_S:
                return reader, writer
            writer.close()
        return None


def _encode(ask: Ask) -> bytes:
    body = json.dumps(ask.body).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in ask.headers)
    head = f"POST {ask.path} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
