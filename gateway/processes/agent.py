"""The agent: everything slow or stateful on this host. Drains the log, judges, tells workers, serves operators.

One thread talks to the store; registry and feature repository are asked aside. If anything here cannot go on, the
process ends and is started again: workers answer meanwhile, with stable once their lease has run out.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

import structlog
from fastapi import FastAPI
from starlette.responses import Response

from gateway import compose
from gateway.adapters.alerts import DecisionSink, LogSink
from gateway.adapters.drift import Comparer, DriftAlerts
from gateway.adapters.retraining import open_target
from gateway.compose import Controlling
from gateway.core.actors import AGENT
from gateway.core.errors import GatewayError, NotLeading, StoreUnavailable
from gateway.core.events import Decision
from gateway.core.rollout import Phase, Rollout, Signal
from gateway.core.tables import looked_at
from gateway.edge.control_parts import ControlPlane, Spooled
from gateway.edge.control_plane import create_app
from gateway.edge.metrics import (
    CONTENT_TYPE,
    AgentMetrics,
    ControlCollector,
    Exposition,
    instrument,
    multiprocess_folder,
)
from gateway.hearing import Hearing
from gateway.ports import AlertSink
from gateway.processes.channel import AgentEnd, socket_path
from gateway.processes.child import beat, begin, serve
from gateway.processes.drainer import Drainer
from gateway.processes.drift_duty import DriftDuty
from gateway.processes.duties import Duties
from gateway.processes.fleet import Fleet
from gateway.processes.forgetting import Forgetting
from gateway.processes.gatekeeper import Gatekeeper
from gateway.processes.gauges import Gauges
from gateway.processes.plans import Plans
from gateway.processes.provider import Provider
from gateway.processes.publisher import Publisher
from gateway.processes.registry_watch import Reach, RegistryWatch
from gateway.processes.report_desk import ReportDesk
from gateway.processes.retraining_duty import RetrainingDuty, Stirred
from gateway.processes.streams import Streams
from gateway.processes.sweeping import Sweeping
from gateway.processes.tables import find_on_disk
from gateway.processes.thread import Thread
from gateway.processes.watchman import Watchman
from gateway.registry import Following
from gateway.settings import Settings

log = structlog.get_logger(__name__)

_RENEW_EVERY_S = 0.5
_DRAIN_EVERY_S = 0.05
_STORE_AGAIN_S = 1.0
_REAP_EVERY_S = 1.0
_LOOKS_AT_ONCE = 100
"""Deployments whose looks share a transaction: many enough to pay for it, few enough not to keep operators waiting."""
_COUNT_EVERY_S = 1.0
SOMETHING_LEFT = 3
"""Exit code: the drain timeout came before the spool was empty."""

_Result = TypeVar("_Result")


class Agent:
    """The agent's parts and duties."""

    def __init__(self, settings: Settings, beat_fd: int) -> None:
        self._settings = settings
        self._beat_fd = beat_fd
        self._run = Thread("store")
        self._ask = Thread("control")  # a change never waits for a drain
        self._serve = Thread("desk")  # nor does an operator
        self._among_hosts = Thread("hosts")
        self._count = Thread("count")
        metrics, stirred = AgentMetrics(), Stirred()
        self._announcer = compose.announcer(settings, metrics.alert)
        told: list[AlertSink] = [LogSink(), DecisionSink(self._announcer), metrics, self]
        self._parts = parts = compose.controlling(settings, told, [DriftAlerts(self._announcer), stirred])
        self._clock = parts.clock
        self._drainer = Drainer(parts.spool, parts.store.events, parts.clock)
        self._fleet = Fleet(parts.store, parts.host, self._drainer, parts.clock)
        self._hush: Callable[[], None] = lambda: None
        self._plans = Plans(parts.compiler)
        self._line = AgentEnd(socket_path(settings.state_dir), lambda: self._publisher.greeting(), self._wake)
        self._publisher = Publisher(
            parts.store.control, self._plans, parts.clock, self._ask, self._line.send, compose.tables_folder(settings)
        )
        specs = settings.specs()
        self._provider = Provider(parts, specs, self._plans, self._publisher, self._run, self._wake)
        self._gatekeeper = Gatekeeper(parts.control, parts.store.events, compose.models_folder(settings), self._run)
        self._registry = self._follows(parts)
        self._gauges = Gauges(parts.store.events, self._publisher, self._drainer, self._line, settings.live_window)
        self._watchman = Watchman(settings, parts.clock)
        self._forgetting = self._forgets(parts)
        self._sweeping = self._sweeps(parts)
        self._streams = Streams(settings, parts, metrics, lambda: self._publisher.tables, self._run)
        self._drift = self._watches(parts)
        self._retraining = self._retrains(parts, stirred)
        self._exposition = Exposition(
            multiprocess_folder(), ControlCollector(self._gauges.look, lambda: self._drift.reports)
        )
        self._duties = Duties()
        self._changed = asyncio.Event()
        self._stirred = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looked_at: float | None = None
        self._marked: float | None = None
        """How far the logs of all live hosts are drained, as the last look had it (data time)."""
        self._counted_at = float("-inf")
        self.left_behind = False

    def _named_models(self) -> set[str]:
        """Digests that a table names or a worker holds."""
        named = {card.digest for table in self._publisher.tables.values() for card in table.models()}
        return named | {digest for peer in self._line.peers.values() for digest in peer.status.loaded}

    def _forgets(self, parts: Controlling) -> Forgetting:
        keeping, lake = self._settings.retention.keeping(), compose.open_lake(self._settings)
        return Forgetting(keeping, parts.store.events, parts.store.control, parts.clock, self._run, lake)

    def _sweeps(self, parts: Controlling) -> Sweeping:
        ttl_s = self._settings.outcome_ttl
        return Sweeping(parts.cache, parts.store.events, parts.clock, self._run, self._named_models, ttl_s)

    def _follows(self, parts: Controlling) -> RegistryWatch:
        reach = Reach(parts.registry, self._provider.prepare, self._gatekeeper.results, self._run)
        following = Following(parts.judge)
        return RegistryWatch(reach, following, lambda: self._publisher.states, self._settings.registry_every)

    def _watches(self, parts: Controlling) -> DriftDuty:
        comparer = None if self._settings.features is None else Comparer(self._settings.features)
        hearing = Hearing(parts.store.events, parts.judge)
        return DriftDuty(parts.drifting, hearing, self._publisher, lambda: self._marked, self._plans.in_force, comparer)

    def _retrains(self, parts: Controlling, stirred: Stirred) -> RetrainingDuty:
        return RetrainingDuty(
            parts.triggers,
            parts.leading_runs,
            parts.clock,
            lambda: self._publisher.states,
            lambda: self._marked,
            stirred,
            partial(open_target, folder=compose.retraining_folder(self._settings)),
            partial(compose.open_export, self._settings),
        )

    def app(self) -> FastAPI:
        """The control plane, which begins and ends the agent's duties."""
        parts = self._parts
        plane = ControlPlane(
            control=parts.control,
            state=parts.store.control,
            log=parts.store.events,
            clock=parts.clock,
            run=self._serve,
            prepare=self._provider.prepare,
            vet=self._gatekeeper.results,
            features=self._plans.in_force,
            drift=parts.drifting.report,
            report=ReportDesk(compose.reporter(self._settings)).page,
            runs=parts.runs,
            settle=self._settle,
            keys=lambda: parts.keys,
            metrics=lambda: Response(self._exposition.render(), media_type=CONTENT_TYPE),
            unready=self._unready,
            declared=self._settings.specs(),
            preparing=lambda name: tuple(self._provider.preparing.get(name, ())),
            locks=self._watchman.locks,
        )
        app = create_app(plane)
        app.router.lifespan_context = self._lifespan
        instrument(app)
        return app

    def tell(self, decision: Decision) -> None:  # noqa: ARG002 - that there was one is all that matters here
        """Hear of a decision, on the thread that made it: workers are told at once."""
        self._told()

    def _told(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is left to be told
                self._loop.call_soon_threadsafe(self._wake)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        left = find_on_disk(compose.tables_folder(self._settings))
        for table in left:
            self._plans.remember(table.features)
        await self._publisher.refresh()
        self._publisher.compare(left)
        await self._run(self._remember_the_time)
        await self._line.open()
        self._hush = self._parts.store.listen(self._told)
        duties = {
            "beat": beat(self._beat_fd),
            "publish": self._publish(),
            "meet": self._meet(),
            "drain": self._drain(),
            "provide": self._provider.run(),
            "registry": self._fleet.while_leading(self._registry.run),
            "gauges": self._gauges.run(self._run, self._count),
            "reap": self._reap(),
            "sweep": self._sweeping.run(),
            "watch": self._watchman.watch(),
            "drift": self._fleet.while_leading(lambda: self._drift.run(self._run)),
            **self._streams.duties(self._fleet),
            "forget": self._fleet.while_leading(lambda: self._forgetting.run(self._publisher.states.values)),
            "retraining": self._fleet.while_leading(lambda: self._retraining.run(self._run)),
        }
        if self._settings.oidc is not None:
            duties["fetch_keys"] = self._watchman.fetch()
        for name, duty in duties.items():
            self._duties.start(duty, name)
        yield
        await self._duties.stop()
        await self._line.close()
        await asyncio.to_thread(self._streams.close)
        await self._leave()

    def _remember_the_time(self) -> None:
        """Under replay nobody but the log knows how far data time had come before this process began."""
        for name in self._publisher.states:
            with contextlib.suppress(StoreUnavailable):  # workers serve; time goes on with the next request
                self._clock.observe(self._parts.store.events.latest(name) or 0.0)

    async def _leave(self) -> None:
        """Empty the spool as far as the drain timeout allows, and say what remains."""
        until = self._clock.machine() + self._settings.drain_timeout
        try:
            backlog = await self._run(lambda: self._drainer.drain_all(until))
        except StoreUnavailable as error:
            backlog = self._drainer.backlog
            log.error("drain_failed", reason=str(error))  # noqa: TRY400 - the sentence says it all
            self.left_behind = True
        self.left_behind = self.left_behind or backlog.bytes > 0
        log.info("drained", bytes_left=backlog.bytes, segments_left=backlog.segments)
        await asyncio.to_thread(self._hush)
        with contextlib.suppress(StoreUnavailable):  # then the others find out by its silence
            await self._run(self._fleet.leave)
        for thread in (self._ask, self._serve, self._among_hosts, self._count):
            thread.close()
        await self._run(self._parts.store.close)
        self._run.close()
        await asyncio.to_thread(self._announcer.close)

    def _wake(self) -> None:
        self._changed.set()
        self._stirred.set()

    # Duties.

    async def _publish(self) -> None:
        """Read control state twice a second, or at once when something has changed, and tell the workers."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RENEW_EVERY_S):
                    await self._changed.wait()
            self._changed.clear()
            if await self._publisher.refresh():
                self._provider.wake()

    async def _meet(self) -> None:
        """Say how this host is, twice a second or when something has changed. The leader minds what all wait for.

        On a thread of its own: a heartbeat waits for nothing, and no change waits for it.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RENEW_EVERY_S):
                    await self._stirred.wait()
            self._stirred.clear()
            with contextlib.suppress(StoreUnavailable):  # the publisher says so
                await self._fleet.beat(list(self._line.peers.values()), self._among_hosts)
            if self._fleet.leads:
                await self._mind_the_preparing()

    async def _mind_the_preparing(self) -> None:
        """Begin a rollout once every worker of every live host has its model warm; end it where none can load it."""
        for name, state in list(self._publisher.states.items()):
            for rollout in state.rollouts.values():
                if rollout.phase is Phase.PREPARING:
                    await self._mind(name, rollout)

    async def _mind(self, deployment: str, rollout: Rollout) -> None:
        digest, control = rollout.model.digest, self._parts.judge
        try:
            if self._fleet.loaded(digest):
                await self._among_hosts(lambda: control.ready(deployment, rollout.generation))
            elif why := self._fleet.failed(digest):
                reason = f"no worker can load its model: {why}"
                await self._among_hosts(
                    lambda: control.send(deployment, Signal.DEMOTE, actor=AGENT, reason=reason, candidate=rollout.name)
                )
        except GatewayError as error:  # an operator was faster, or the store is away: the next round sees it
            log.info("not_begun", deployment=deployment, candidate=rollout.name, reason=str(error))

    async def _drain(self) -> None:
        """Move records into the store as they come, and look at rollouts where there is something new to see."""
        away = False
        while True:
            try:
                behind = (await self._run(self._drainer.drain)).behind
                await self._look()
                await self._count_what_is_left()
            except GatewayError as error:
                if not away:
                    log.error("drain_waits", reason=str(error))  # noqa: TRY400 - the sentence says it all
                away = True
                await asyncio.sleep(_STORE_AGAIN_S)
                continue
            away = False
            await asyncio.sleep(0.0 if behind else _DRAIN_EVERY_S)

    async def _look(self) -> None:
        now = self._clock.machine()
        if not self._fleet.leads or (self._looked_at is not None and now - self._looked_at < self._settings.look_every):
            return
        self._looked_at = now
        try:
            mark = await self._run(self._fleet.watermark)
        except NotLeading:  # it was lost a moment ago; whoever leads now goes on from the same watermark
            return
        self._marked = mark
        if mark is None:
            return
        names = [name for name, state in self._publisher.states.items() if looked_at(state)]
        for first in range(0, len(names), _LOOKS_AT_ONCE):
            some = names[first : first + _LOOKS_AT_ONCE]
            await self._run(partial(self._look_at, some, mark))

    def _look_at(self, names: Sequence[str], mark: float) -> None:
        try:
            self._parts.judge.look_at_all(names, mark, self._drainer.visible())
        except GatewayError as error:  # the drain goes on; the next look sees everything this one did not
            log.error("look_failed", reason=str(error))  # noqa: TRY400 - the sentence says it all

    async def _count_what_is_left(self) -> None:
        """Count what is spooled and not stored, for the ledgers of other hosts."""
        if self._parts.store.keys is not None and self._clock.machine() - self._counted_at >= _COUNT_EVERY_S:
            self._counted_at = self._clock.machine()
            await self._run(self._drainer.spooled)

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(_REAP_EVERY_S)
            await asyncio.to_thread(self._exposition.reap)

    # What the control plane asks.

    async def _settle(self, longest_s: float) -> Sequence[Spooled]:
        """Drain for at most ``longest_s`` seconds, then say what is left."""
        if longest_s > 0.0:
            until = self._clock.machine() + longest_s
            await self._run(lambda: self._drainer.drain_all(until))
        spooled = await self._run(self._drainer.spooled)
        mine = Spooled(socket.gethostname(), self._clock.wall(), *_counts(spooled))
        return [mine, *(Spooled(word.host, word.as_of, *_counts(word.spooled)) for word in self._fleet.others())]

    def _unready(self) -> str | None:
        if self._publisher.trouble is not None:
            return self._publisher.trouble
        troubles = [f"{name}: {why}" for name, why in self._provider.trouble.items()]
        return troubles[0] if troubles else None


def _counts(spooled: Mapping[str, int]) -> Iterator[int]:
    return (spooled.get(kind, 0) for kind in ("prediction", "outcome", "shadow"))


def main() -> None:
    """Work until SIGTERM. Exit code 3: not everything that was acknowledged is in the store yet."""
    inherited = begin("agent")
    try:
        agent = Agent(inherited.settings, inherited.beat_fd)
    except (GatewayError, OSError) as error:
        log.error("agent_cannot_start", reason=str(error))  # noqa: TRY400 - the sentence says it all
        sys.exit(1)
    serve(agent.app(), inherited)
    sys.exit(SOMETHING_LEFT if agent.left_behind else 0)


if __name__ == "__main__":
    main()
