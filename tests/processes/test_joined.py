"""One write per answer, and nothing held back."""

import asyncio
from typing import Any

from gateway.processes.joined import JoinedTransport

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Written:
    """A transport that remembers what it was told."""

    def __init__(self, **about: Any) -> None:
        self.told: list[Any] = []
        self.about = about

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def close(self) -> None:
        self.told.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.told

    def get_extra_info(self, name: str) -> Any:
        return self.about.get(name)

    def abort(self) -> None:
        self.told.append("aborted")


async def test_a_head_leaves_with_the_body_behind_it() -> None:
    written = Written()
    transport = JoinedTransport(written)  # type: ignore[arg-type]
    transport.write(HEAD)
    transport.write(b"{}")
    await asyncio.sleep(0)
    assert written.told == [HEAD + b"{}"]


async def test_a_head_without_a_body_leaves_at_the_end_of_the_turn() -> None:
    written = Written()
    JoinedTransport(written).write(HEAD)  # type: ignore[arg-type]
    assert written.told == []
    await asyncio.sleep(0)
    assert written.told == [HEAD]


async def test_closing_writes_what_is_held_first() -> None:
    written = Written()
    transport = JoinedTransport(written)  # type: ignore[arg-type]
    transport.write(HEAD)
    transport.close()
    assert written.told == [HEAD, "closed"]
    assert transport.is_closing()
    await asyncio.sleep(0)
    assert written.told == [HEAD, "closed"]


async def test_what_is_no_head_is_written_at_once() -> None:
    written = Written()
    JoinedTransport(written).write(b"more")  # type: ignore[arg-type]
    assert written.told == [b"more"]


async def test_a_tls_peer_who_does_not_say_goodbye_is_not_waited_for() -> None:
    written, gone = Written(sslcontext="one"), asyncio.Event()
    written.abort = gone.set  # type: ignore[method-assign]
    JoinedTransport(written).close()  # type: ignore[arg-type]
    assert written.told == ["closed"]
    await asyncio.wait_for(gone.wait(), 5.0)
