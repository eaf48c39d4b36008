"""The short way below ASGI: what it answers, counts and refuses is what the app does, byte for byte."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from gateway.core.errors import ModelFailed
from gateway.edge.data_plane import DataPlane, create_app
from gateway.edge.http_metrics import Seen
from gateway.processes.express import Cycle, ExpressProtocol
from gateway.processes.patience import PatientProtocol
from tests.data_house import BODY, House, flights
from tests.security.house import bearer, locks, secret_of

ONE = json.dumps(BODY).encode()
TYPE = "Content-Type: application/json\r\n"


@dataclass
class Door:
    """A house with a server before it. ``express`` counts what came the short way."""

    house: House
    port: int
    state: ServerState
    taken: list[Seen] = field(default_factory=list)
    express: list[Cycle] = field(default_factory=list)

    async def talk(self, *pieces: bytes, close: bool = True) -> bytes:
        """Send the pieces, each in a segment of its own, and read until the server has nothing more to say."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.01)
        if close:
            writer.write_eof()
        heard = b""
        while True:
            try:
                found = await asyncio.wait_for(reader.read(65_536), 0.3)
            except TimeoutError:
                break
            if not found:
                break
            heard += found
        writer.close()
        return heard


@asynccontextmanager
async def opened(house: House, *, short: bool = True, **plane: Any) -> AsyncIterator[Door]:
    """Serve a house's data plane, with the short way or without."""
    app = create_app(DataPlane(house.predict, house.feedback, house.clock, **plane))
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, server_header=False)
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    door = Door(house, 0, state)
    assert app.turns is not None
    assert app.hot is not None
    app.turns.answered = app.hot.answered = door.taken.append
    arrive = app.turns.arrive

    def noted(cycle: Any) -> None:
        door.express.append(cycle)
        arrive(cycle)

    app.turns.arrive = noted  # type: ignore[method-assign,assignment]
    made: Callable[..., Any] = partial(ExpressProtocol, turns=app.turns) if short else PatientProtocol
    server = await loop.create_server(lambda: made(config, state, {}), "127.0.0.1", 0)
    door.port = server.sockets[0].getsockname()[1]
    try:
        yield door
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.close()  # type: ignore[union-attr, unused-ignore]
        await asyncio.sleep(0)


async def until(holds: Callable[[], object]) -> None:
    """Wait until it holds: what a client sent has come once the server's loop has turned."""
    async with asyncio.timeout(5.0):
        while not holds():  # noqa: ASYNC110 - what is waited for is another's, behind a socket
            await asyncio.sleep(0.001)


def post(content: bytes, path: str = "/predict", head: str = TYPE, length: int | None = None) -> bytes:
    """A request as a client writes it."""
    size = len(content) if length is None else length
    return f"POST {path} HTTP/1.1\r\nHost: h\r\n{head}Content-Length: {size}\r\n\r\n".encode() + content


BODIES: dict[str, bytes] = {
    "one": ONE,
    "a batch": json.dumps(flights(1, 2)).encode(),
    "no JSON": b"{",
    "not UTF-8": b'"\xff"',
    "a bad place": json.dumps({**BODY, "entities": {"flight": "seven"}}).encode(),
    "nothing": b"",
    "a list": b"[]",
}


def plain(heard: bytes) -> bytes:
    """What was heard, whenever it was said."""
    return re.sub(rb"date: [^\r]*\r\n", b"", heard)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/predict", "/predict/flight-delay", "/predict/nobody"])
async def test_both_ways_say_the_same_and_are_counted_alike(name: str, path: str) -> None:
    heard, counted, records = [], [], []
    for short in (True, False):
        async with opened(House(), short=short) as door:
            heard.append(plain(await door.talk(post(BODIES[name], path))))
            assert len(door.express) == short
            counted.append([seen._replace(seconds=0.0) for seen in door.taken])
            records.append([record.body for record in door.house.predictions])
    assert heard[0] == heard[1]
    assert counted[0] == counted[1]
    assert records[0] == records[1]


@pytest.mark.parametrize(
    "failure", [ModelFailed("E"), RuntimeError("a bug nobody foresaw")], ids=["a failing model", "a bug"]
)
async def test_what_goes_wrong_is_the_same_problem_both_ways(failure: Exception) -> None:
    heard = []
    for short in (True, False):
        house = House()
        house.runner.failing["stable"] = failure
        async with opened(house, short=short) as door:
            heard.append(plain(await door.talk(post(ONE))))
            assert [seen.status for seen in door.taken] == ["500"]
    assert heard[0] == heard[1]


SPECIAL = {
    "a parameter": post(ONE, head="Content-Type: application/json; charset=utf-8\r\n"),
    "a deadline": post(ONE, head=TYPE + "X-Deadline-Ms: 100\r\n"),
    "an explanation": post(ONE, head=TYPE + "X-Explain: 1\r\n"),
    "a query": post(ONE, "/predict?a=b"),
    "another path": post(ONE, "/predict/a/b"),
    "an escape": post(ONE, "/predict/flight%2Ddelay"),
    "a proxy": post(ONE, head=TYPE + "X-Forwarded-For: 10.0.0.1\r\n"),
    "the last on its connection": post(ONE, head=TYPE + "Connection: close\r\n"),
    "an upgrade": post(ONE, head=TYPE + "Connection: upgrade\r\nUpgrade: h2c\r\n"),
    "HTTP/1.0": post(ONE).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a GET": b"GET /predict HTTP/1.1\r\nHost: h\r\n\r\n",
    "too much": post(b"", length=10**8),
    "chunks": f"POST /predict HTTP/1.1\r\nHost: h\r\n{TYPE}Transfer-Encoding: chunked\r\n\r\n".encode()
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(ONE), ONE),
    "a length said twice": post(ONE, head=TYPE + "X-A: 1\r\nX-A: 2\r\n"),
}


@pytest.mark.parametrize("name", SPECIAL)
async def test_what_is_special_goes_through_the_app(name: str) -> None:
    heard = []
    for short in (True, False):
        async with opened(House(), short=short) as door:
            heard.append(plain(await door.talk(SPECIAL[name])))
            assert door.express == []
    assert heard[0] == heard[1] != b""


async def test_a_connection_serves_plain_and_special_requests_in_turn() -> None:
    async with opened(House()) as door:
        heard = await door.talk(post(ONE), SPECIAL["a deadline"], post(ONE), SPECIAL["an explanation"], post(ONE))
    assert heard.count(b"HTTP/1.1 200 OK") == 5
    assert len(door.express) == 3


@pytest.mark.parametrize("second", ["plain", "an explanation"])
async def test_requests_sent_before_the_answer_are_answered_in_their_order(second: str) -> None:
    house = House()
    house.runner.gates["stable"] = asyncio.Event()
    other = json.dumps({**BODY, "entities": {"flight": 8}}).encode()
    head = TYPE if second == "plain" else TYPE + "X-Explain: 1\r\n"
    async with opened(house) as door:
        talking = asyncio.create_task(door.talk(post(ONE) + post(other, head=head) + post(ONE), close=False))
        await until(lambda: door.express)
        assert not talking.done()
        house.runner.gates["stable"].set()
        heard = await talking
    assert re.findall(rb'"prediction":(\d+)', heard) == [b"1007", b"1008", b"1007"]


@pytest.mark.parametrize("size", [1, 7, 60])
async def test_a_request_in_pieces_is_answered_once_it_is_whole(size: int) -> None:
    whole = post(ONE)
    async with opened(House()) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        for start in range(0, len(whole), size):
            writer.write(whole[start : start + size])
            await asyncio.sleep(0.001)
        assert await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert len(door.express) == 1


async def test_a_body_that_does_not_come_is_waited_for_so_long_and_no_longer() -> None:
    heard = []
    for short in (True, False):
        async with opened(House(), short=short, body_patience_s=0.1) as door:
            heard.append(plain(await door.talk(post(ONE[:5], length=len(ONE)), close=False)))
            assert [seen.status for seen in door.taken] == ["408"]
            assert not door.state.connections
    assert heard[0] == heard[1]


async def test_a_body_that_ends_early_is_counted_and_leaves_nothing_behind() -> None:
    async with opened(House(), body_patience_s=0.1) as door:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(post(ONE[:5], length=len(ONE)))
        await until(lambda: any(connection.cycle for connection in door.state.connections))  # type: ignore[union-attr]
        writer.transport.abort()
        await until(lambda: door.taken)
        await asyncio.sleep(0.15)
        assert [seen.status for seen in door.taken] == ["400"]
        assert not door.state.connections


async def test_a_caller_who_has_gone_is_recorded_all_the_same() -> None:
    house = House()
    house.runner.gates["stable"] = asyncio.Event()
    async with opened(house) as door:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(post(ONE))
        await until(lambda: door.express)
        writer.transport.abort()
        await until(lambda: not door.state.connections)
        house.runner.gates["stable"].set()
        await until(lambda: house.predictions)
    assert [record.status for record in house.predictions] == [200]


@pytest.mark.parametrize("said", [{}, bearer("wrong"), bearer(secret_of("app")), bearer(secret_of("shop"))])
async def test_the_locks_are_the_same(said: dict[str, str]) -> None:
    heard = []
    head = TYPE + "".join(f"{name}: {value}\r\n" for name, value in said.items())
    for short in (True, False):
        keys = locks({"shop": ["predict"], "app": ["feedback"]})
        async with opened(House(), short=short, locks=keys) as door:
            heard.append((plain(await door.talk(post(ONE, head=head) + post(ONE, head=head))), keys.refused))
    assert heard[0] == heard[1]


async def test_who_is_refused_is_told_before_the_body_has_come() -> None:
    async with opened(House(), locks=locks({"shop": ["predict"]})) as door:
        heard = await door.talk(post(b"", length=50), close=False)
    assert heard.startswith(b"HTTP/1.1 401")


async def test_a_full_lane_says_so_at_once() -> None:
    house = House()
    house.runner.gates["stable"] = asyncio.Event()
    async with opened(house, max_concurrency=1) as door:
        first = asyncio.create_task(door.talk(post(ONE), close=False))
        await until(lambda: door.express)
        heard = await door.talk(post(ONE))
        house.runner.gates["stable"].set()
        assert b"200 OK" in await first
    assert heard.startswith(b"HTTP/1.1 503")
    assert b"retry-after" in heard


async def test_a_server_that_leaves_says_so_on_its_last_answers() -> None:
    async with opened(House()) as door:
        door.state.default_headers = [(b"connection", b"close")]
        heard = await door.talk(post(ONE), close=False)
        assert heard.count(b"connection: close") == 1
        assert not door.state.connections


async def test_a_server_that_leaves_meanwhile_ends_the_connection_with_the_answer() -> None:
    house = House()
    house.runner.gates["stable"] = asyncio.Event()
    async with opened(house) as door:
        talking = asyncio.create_task(door.talk(post(ONE), close=False))
        await until(lambda: door.express)
        for connection in list(door.state.connections):
            connection.shutdown()
        house.runner.gates["stable"].set()
        heard = await talking
        assert heard.count(b"connection: close") == 1
        assert not door.state.connections


async def test_what_comes_in_one_turn_of_the_loop_is_told_together() -> None:
    house = House(together=lambda _digest: 64)
    async with opened(house) as door:
        pairs = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(8)]
        for _, writer in pairs:
            writer.write(post(ONE))
        for reader, _ in pairs:
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        for _, writer in pairs:
            writer.close()
    assert sum(rows for _, rows in house.runner.calls) == 8
    assert len(house.runner.calls) < 8
