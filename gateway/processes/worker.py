"""A worker: answers requests, and needs nothing but its state folder to do so.

It inherits its listening socket, takes tables from disk and then from the agent, loads prepared models aside, and
says on its spool how far its data time has come. No database, no registry, nothing slow on the event loop.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp

from gateway import compose
from gateway.adapters.clock import open_clock
from gateway.adapters.flags import open_flags
from gateway.adapters.models import PoolRunner
from gateway.core.deployments import Scalar, Type
from gateway.core.errors import LogRefused
from gateway.core.events import Punctuation
from gateway.edge.data_plane import DataPlane, create_app
from gateway.edge.lanes import AdaptiveLane, Pulse
from gateway.edge.metrics import WorkerMetrics, instrument
from gateway.edge.request_log import RequestLog
from gateway.edge.turns import Turns
from gateway.processes.channel import Hello, Lease, Status, Tables, ToWorker, WorkerEnd, socket_path
from gateway.processes.child import beat, begin, serve
from gateway.processes.duties import Duties
from gateway.processes.loader import Loader
from gateway.processes.tables import TableBook, find_on_disk
from gateway.processes.watchman import Watchman
from gateway.settings import Settings

log = structlog.get_logger(__name__)

_PUNCTUATE_EVERY_S = 0.2
_SHADOWS_S = 1.0
_PATIENCE_S = 20.0
_FEATURES_S = 2.0


class Worker:
    """One worker's parts and duties."""

    def __init__(self, settings: Settings, index: int, beat_fd: int) -> None:
        self._settings = settings
        self._beat_fd = beat_fd
        self._clock = open_clock(settings.clock)
        self._runner = PoolRunner()
        self._book = TableBook(self._clock, self._runner, settings.deployments)
        self._loader = Loader(self._book, compose.cache(settings), self._runner, self._clock, self._changed)
        hello = Hello(os.getpid(), index)
        self._line = WorkerEnd(socket_path(settings.state_dir), hello, self._status, self._heard)
        self._metrics = metrics = WorkerMetrics()
        self._pulse = Pulse()
        self._lane = AdaptiveLane(settings.max_concurrency, self._pulse)
        self._flags = open_flags(settings.flags)
        self._tracing = compose.open_traces(settings, index)
        self._log = self._request_log(metrics)
        self._serving = compose.serving(
            settings,
            routing=self._book,
            runner=self._runner,
            clock=self._clock,
            observer=self._log or metrics,
            read_error=metrics.read_error,
            crowded=lambda: self._lane.crowded,
            flags=self._flags,
            tracing=self._tracing,
        )
        refreshed = [] if self._flags is None else [self._flags.refresh]
        self._watchman = Watchman(settings, self._clock, refreshed)
        self._duties = Duties()
        self.turns: Turns | None = None
        """Where plain predictions go without ASGI, once there is an app: None where requests are traced."""
        self._leaving = False
        self._moved = asyncio.Event()

    def _request_log(self, metrics: WorkerMetrics) -> RequestLog | None:
        settings, tracing = self._settings, self._tracing
        if settings.log_requests == "none":
            return None
        signing = compose.keys(settings)
        trace_id = (lambda: None) if tracing is None else tracing.trace_id
        return RequestLog(metrics, settings.log_requests, settings.log_fields, lambda: signing, trace_id)

    def app(self) -> ASGIApp:
        """The data plane, which begins and ends this worker's duties."""
        settings = self._settings
        plane = DataPlane(
            predict=self._serving.predict,
            feedback=self._serving.feedback,
            clock=self._clock,
            ready=self._not_ready,
            replay=settings.clock == "replay",
            max_body=settings.max_body,
            max_feedback_body=settings.max_feedback_body,
            max_concurrency=settings.max_concurrency,
            lane=self._lane,
            locks=self._watchman.locks,
        )
        app = create_app(plane)
        app.router.lifespan_context = self._lifespan
        instrument(app)
        if self._tracing is None:
            self.turns = app.turns
            return app
        from gateway.edge.tracing import TracedApp  # an extra, which nobody pays for who does not ask for it

        return TracedApp(app, self._tracing)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self._book.adopt(find_on_disk(compose.tables_folder(self._settings)))
        self._changed()
        self._duties.start(beat(self._beat_fd, lambda: not self._book.stable_refused()), "beat")
        self._duties.start(self._pulse.run(), "pulse")
        self._duties.start(self._loader.run(), "load")
        self._duties.start(self._line.run(), "line")
        self._duties.start(self._punctuate(), "punctuate")
        self._duties.start(self._watchman.watch(), "watch")
        await self._until_ready()
        await self._warm_features()
        yield
        await self._duties.stop()
        await self._serving.close(_SHADOWS_S)
        for last_words in (self._log, self._tracing):
            if last_words is not None:
                await asyncio.to_thread(last_words.close)
        log.info("worker_left")

    async def _until_ready(self) -> None:
        """Accept no connection that another worker could answer: first load stable, within reason."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while not self._leaving and not self._book.ready():
                    await self._moved.wait()
                    self._moved.clear()

    async def _warm_features(self) -> None:
        """Open the way to the feature store before the first request, whose budget that would cost."""
        plans = {table.features.plan_id: table.features for table in self._book.tables() if table.features.views}
        for plan in plans.values():
            nobody: dict[str, Scalar] = {key.request: 0 if key.type is Type.INTEGER else "" for key in plan.join_keys()}
            first = asyncio.create_task(self._serving.features.read(plan, [nobody], _FEATURES_S))
            await asyncio.sleep(0.001)  # the first is under way, so the second opens a second connection
            await asyncio.gather(first, self._serving.features.read(plan, [nobody], _FEATURES_S))

    def leave(self) -> None:
        """Hear that the end has come: no more traffic is welcome."""
        self._leaving = True
        self._moved.set()

    def _not_ready(self) -> str | None:
        if self._leaving:
            return "This worker is on its way out."
        return None if self._book.ready() else "Stable is not loaded on this worker yet."

    def _heard(self, message: ToWorker) -> None:
        if isinstance(message, Tables):
            self._book.adopt(message.tables)
            self._changed()
            self._loader.wake()
        elif isinstance(message, Lease):
            self._book.extend_lease(message.until)
            self._clock.observe(message.data_at)

    def _changed(self) -> None:
        self._runner.watch(self._book.watching())
        self._line.tell()
        self._moved.set()

    def _status(self) -> Status:
        return Status(self._runner.digests(), dict(self._loader.failed), self._book.revisions())

    async def _punctuate(self) -> None:
        while True:
            with contextlib.suppress(LogRefused):  # a full spool is told to callers; the watermark waits
                self._serving.predictions.append(self._word())
            self._metrics.crowd(self._lane.under_way, self._lane.places)
            await asyncio.sleep(_PUNCTUATE_EVERY_S)

    def _word(self) -> Punctuation:
        """How far data time has come here: on the wall it passes while nothing is asked, under replay it does not."""
        now, low = self._clock.data(), self._serving.predict.low()
        if low is None and self._settings.clock == "wall":
            low = now
        return Punctuation(low, now)


def main() -> None:
    """Serve until SIGTERM."""
    inherited = begin("worker")
    worker = Worker(inherited.settings, inherited.index, inherited.beat_fd)
    app = worker.app()
    serve(app, inherited, worker.leave, worker.turns)


if __name__ == "__main__":
    main()
