"""A head has to arrive; a connection that serves one request after the other is left alone."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from gateway.processes.patience import PatientProtocol

HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n"


class Hurried(PatientProtocol):
    head_s = 0.2


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(answer, lifespan="off", ws="none", log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Hurried(config, state, {}), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for connection in list(state.connections):
        connection.transport.close()  # type: ignore[union-attr, unused-ignore]
    await asyncio.sleep(0)


@pytest.mark.parametrize("said", [b"", b"GET / HT", HEAD])
async def test_a_connection_whose_head_does_not_come_is_closed(port: int, said: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    assert await asyncio.wait_for(reader.read(), 2.0) == b""
    writer.close()


async def test_a_head_that_comes_byte_by_byte_is_no_better(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"\r\n")
    assert b"204" in await reader.readuntil(b"\r\n\r\n")

    async def drip() -> None:
        for byte in HEAD * 20:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    assert await asyncio.wait_for(reader.read(), 2.0) == b""
    dripping.cancel()
    writer.close()


async def test_a_connection_lives_as_long_as_its_requests_come(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(5):
        writer.write(HEAD + b"\r\n")
        assert b"204" in await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)
    writer.close()
