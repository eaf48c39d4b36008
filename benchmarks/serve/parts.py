"""Where a lone request's time goes inside the worker: the real stories between a parser and a transport that is none.

Every part ends where the next port is entered, so the parts add up to the whole. Nothing is on a network but Redis.
"""

import asyncio
import os
import shutil
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from uvicorn.server import ServerState

from benchmarks.serve.house import House
from benchmarks.serve.load import body
from gateway import compose
from gateway.adapters.clock import open_clock
from gateway.adapters.models import PoolRunner
from gateway.edge.data_plane import DataPlane, create_app
from gateway.edge.lanes import AdaptiveLane
from gateway.edge.metrics import WorkerMetrics, instrument
from gateway.processes.express import ExpressProtocol
from gateway.processes.tables import TableBook, find_on_disk
from gateway.settings import Settings

PARTS = (
    "HTTP, JSON, checks, draw",
    "features, over the loopback",
    "resolve",
    "model",
    "record",
    "spool",
    "metrics",
    "encode, write",
)


class _Nowhere:
    """A transport whose peer reads at once and says nothing."""

    def __init__(self) -> None:
        self.heard: asyncio.Future[float] | None = None

    def write(self, data: bytes) -> None:  # noqa: ARG002 - as a transport is told
        if self.heard is not None and not self.heard.done():
            self.heard.set_result(time.perf_counter())

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: object = None) -> object:  # noqa: ARG002 - as a transport has it
        return default

    def close(self) -> None:
        """Nothing to close."""


def measure(house: House, deployment: str, kind: str, requests: int) -> dict[str, float]:
    """Median microseconds of each part."""
    with tempfile.TemporaryDirectory(prefix="parts-") as scratch:
        folder = Path(scratch, "state")
        shutil.copytree(house.folder, folder, ignore=shutil.ignore_patterns("spool", "run"))
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = scratch
        try:
            found: dict[str, float] = uvloop.run(_measure(folder, deployment, kind, requests))
        finally:
            del os.environ[
                "PROMETHEUS_MULTIPROC_DIR"
            ]  # or whoever is started next would count in a folder that is gone
        return found


async def _measure(folder: Path, deployment: str, kind: str, requests: int) -> dict[str, float]:
    marks: list[float] = []
    serving, lane, clock = _serving(folder, marks)
    app = create_app(DataPlane(predict=serving.predict, feedback=serving.feedback, clock=clock, lane=lane))
    instrument(app)
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, server_header=False)
    config.load()
    loop, nowhere = asyncio.get_running_loop(), _Nowhere()
    assert app.turns is not None
    protocol = ExpressProtocol(config, ServerState(), {}, turns=app.turns, _loop=loop)
    protocol.connection_made(nowhere)  # type: ignore[arg-type]
    taken: list[list[float]] = [[] for _ in PARTS]
    for n in range(requests):
        content = body(kind, n, "parts").encode()
        head = f"POST /predict/{deployment} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        marks.clear()
        nowhere.heard = loop.create_future()
        marks.append(time.perf_counter())
        protocol.data_received(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        marks.append(await nowhere.heard)
        await serving.shadows.drain(1.0)
        if len(marks) == len(PARTS) + 1 and n >= requests // 10:
            for part, before, after in zip(taken, marks, marks[1:], strict=False):
                part.append(1e6 * (after - before))
    await serving.close(0.0)
    return {name: statistics.median(part) for name, part in zip(PARTS, taken, strict=True)}


def _serving(folder: Path, marks: list[float]) -> Any:
    """The worker's stories, with a mark where a port is entered and left."""
    settings = Settings(state_dir=folder, max_spool=2**36, log_level="warning")
    clock, runner, metrics = open_clock("wall"), PoolRunner(), WorkerMetrics()
    book, cache = TableBook(clock, runner, settings.deployments), compose.cache(settings)
    book.adopt(find_on_disk(compose.tables_folder(settings)))
    for card in book.wanted():
        runner.install(cache.load(card))
    book.settle()
    serving = compose.serving(
        settings, routing=book, runner=runner, clock=clock, observer=metrics, read_error=metrics.read_error
    )
    mark = partial(_mark, marks)
    _around(serving.features, "read", mark, mark)
    _around(runner, "predict", mark, mark, once=True)
    _around_call(serving.predictions, "append_all", mark, mark)
    _around_call(metrics, "predicted", None, mark)
    return serving, AdaptiveLane(1_024), clock


def _mark(marks: list[float]) -> None:
    if len(marks) < len(PARTS):
        marks.append(time.perf_counter())


def _around(port: Any, name: str, before: Any, after: Any, *, once: bool = False) -> None:
    inner = getattr(port, name)

    async def wrapped(*arguments: Any) -> Any:
        if once and arguments[0].name != "stable":  # the shadow's run comes after the answer
            return await inner(*arguments)
        before()
        found = await inner(*arguments)
        after()
        return found

    setattr(port, name, wrapped)


def _around_call(port: Any, name: str, before: Any, after: Any) -> None:
    inner = getattr(port, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if before is not None:
            before()
        found = inner(*arguments, **options)
        after()
        return found

    setattr(port, name, wrapped)
