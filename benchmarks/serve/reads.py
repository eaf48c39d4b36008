"""One entity row, three views: the plan's reader beside a bare pipelined HMGET and beside Feast's SDK, in one process.

The bare read sends the same three commands over the same kind of connection (an asyncio protocol and hiredis) and takes
the replies as they come: what is left is Redis and the event loop.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import hiredis
import uvloop

from benchmarks.serve.world import MERCHANTS, SERVICE, USERS, World
from gateway.adapters.features import FeatureReader, open_compiler
from gateway.adapters.features.encoding import KeyEncoder, field_hash
from gateway.adapters.features.resp import head_of, tail_of
from gateway.core.features import FeaturePlan

Read = Callable[[int], Awaitable[Any]]


def measure(world: World, rounds: int, reads: int) -> dict[str, list[float]]:
    """The median microseconds of each way to read, round by round, interleaved."""
    found: dict[str, list[float]] = uvloop.run(_measure(world, rounds, reads))
    return found


async def _measure(world: World, rounds: int, reads: int) -> dict[str, list[float]]:
    redis = open_compiler(str(world.repo)).compile([SERVICE])
    sqlite = open_compiler(str(world.sqlite_repo)).compile([SERVICE])
    reader = FeatureReader()
    ways: dict[str, Read] = {
        "bare HMGET": await _bare(redis),
        "gateway, Redis": lambda n: reader.read(redis, [_entities(n)], 1.0),
        "SDK, Redis": _sdk(world.repo),
        "gateway, SQLite": lambda n: reader.read(sqlite, [_entities(n)], 1.0),
        "SDK, SQLite": _sdk(world.sqlite_repo),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1, rounds):  # round -1 warms up
        for name, read in ways.items():
            seen = []
            for n in range(reads):
                began = time.perf_counter()
                await read(number * reads + n)
                seen.append(time.perf_counter() - began)
            if number >= 0:
                taken[name].append(1e6 * statistics.median(seen))
    await reader.close()
    return taken


def _entities(n: int) -> dict[str, Any]:
    user = n * 7 % USERS
    return {"user_id": user, "merchant_id": f"m{user % MERCHANTS}"}


def _sdk(repo: Any) -> Read:
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(repo))
    service = store.get_feature_service(SERVICE)

    async def read(n: int) -> Any:
        return store.get_online_features(features=service, entity_rows=[_entities(n)]).to_dict()

    return read


class _Bare(asyncio.Protocol):
    """Counts replies off hiredis."""

    def __init__(self, expected: int) -> None:
        self._expected, self._reader = expected, hiredis.Reader()
        self._replies: list[Any] = []
        self.whole: asyncio.Future[list[Any]] | None = None

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._replies.append(reply)
        if len(self._replies) == self._expected and self.whole is not None:
            replies, self._replies = self._replies, []
            self.whole.set_result(replies)


async def _bare(plan: FeaturePlan) -> Read:
    loop = asyncio.get_running_loop()
    at = urlsplit(plan.location)
    transport, protocol = await loop.create_connection(
        lambda: _Bare(len(plan.views)), at.hostname or "", at.port or 6379
    )
    sides = []
    for view in plan.views:
        fields = [field_hash(view.stored, feature.stored) for feature in view.features]
        fields.append(f"_ts:{view.stored}".encode())
        sides.append((KeyEncoder(view.keys), head_of(fields), tail_of(fields)))
    project = plan.project.encode()
    commands = []
    for n in range(USERS):
        keys = [(head, key(_entities(n)), tail) for key, head, tail in sides]
        commands.append(
            b"".join([b"%b$%d\r\n%b%b%b" % (h, len(k or b"") + len(project), k or b"", project, t) for h, k, t in keys])
        )

    async def read(n: int) -> Any:
        protocol.whole = loop.create_future()
        transport.write(commands[n % USERS])
        return await protocol.whole

    return read
