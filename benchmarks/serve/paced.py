"""Open-loop load: requests are due at constant times, whether or not earlier ones were answered.

A latency counts from when a request was *due*, so a pause is seen by everybody who would have come in it. Connections
speak HTTP by hand over uvloop; one that is busy is passed over, and if all are, the request waits, and its time runs.
"""

import asyncio
import re
import time
from collections import deque
from dataclasses import dataclass

import uvloop

from benchmarks.serve.load import body

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_KINDS = 512
"""So many bodies are written beforehand; ids differ by a number that is put in."""


@dataclass(frozen=True)
class Paced:
    """What came of it: how many were asked per second, latencies in milliseconds, and how many ended otherwise."""

    rate: float
    answered: int
    p50: float
    p99: float
    p999: float
    worst: float
    errors: int


class _Connection(asyncio.Protocol):
    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._due = 0.0
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._load.idle.append(self)

    def ask(self, content: bytes, due: float) -> None:
        self._due, self._got = due, b""
        self.transport.write(content)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, rest = self._got.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and length is not None and len(rest) >= int(length[1]):
            self._load.taken.append(time.perf_counter() - self._due)
            self._load.errors += b" 200 " not in head[:16]
            self._load.freed(self)


class _Load:
    def __init__(self, contents: list[bytes]) -> None:
        self.idle: deque[_Connection] = deque()
        self.waiting: deque[tuple[bytes, float]] = deque()
        self.taken: list[float] = []
        self.errors = 0
        self.contents = contents

    def due(self, number: int, at: float) -> None:
        content = self.contents[number % len(self.contents)].replace(b"@@@@@@@@", b"%08d" % (number % 10**8))
        if self.idle:
            self.idle.popleft().ask(content, at)
        else:
            self.waiting.append((content, at))

    def freed(self, connection: _Connection) -> None:
        if self.waiting:
            connection.ask(*self.waiting.popleft())
        else:
            self.idle.append(connection)


def run(url: str, kind: str, rate: float, seconds: float, connections: int = 64) -> Paced:
    """Ask ``rate`` times a second for ``seconds``; the first half second warms up and is not counted."""
    paced: Paced = uvloop.run(_run(url, kind, rate, seconds, connections))
    return paced


async def _run(url: str, kind: str, rate: float, seconds: float, connections: int) -> Paced:
    host, port, path = re.fullmatch(r"http://([^:/]+):(\d+)(/.*)", url).groups()  # type: ignore[union-attr]
    load = _Load([_request(host, path, body(kind, n, "@@@@@@@@")) for n in range(_KINDS)])
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(load), host, int(port))
    began, sent, total = time.perf_counter(), 0, int(rate * seconds)
    skipped = int(rate * 0.5)
    while sent < total:
        now = time.perf_counter()
        while sent < total and began + sent / rate <= now:
            load.due(sent, began + sent / rate)
            sent += 1
        await asyncio.sleep(max(0.0, min(0.001, began + sent / rate - time.perf_counter())))
    async with asyncio.timeout(30.0):
        while len(load.taken) < total:  # noqa: ASYNC110 - the answers come to protocols
            await asyncio.sleep(0.01)
    taken = sorted(load.taken[skipped:])
    p50, p99, p999 = (1000.0 * taken[int(len(taken) * share)] for share in (0.5, 0.99, 0.999))
    return Paced(rate, len(taken), p50, p99, p999, 1000.0 * taken[-1], load.errors)


def _request(host: str, path: str, content: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n{content}"
    ).encode()
