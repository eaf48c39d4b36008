"""The line between agent and workers: whoever calls is greeted, hears what is sent, and is heard when it changes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.core.errors import SettingsError
from gateway.processes.channel import AgentEnd, Hello, Lease, Status, Tables, ToWorker, WorkerEnd, socket_path
from tests.processes.parts import table


class Line:
    """Both ends, and what each has heard."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: asyncio.Queue[ToWorker] = asyncio.Queue()
        self.changes = asyncio.Event()
        self.status = Status()
        self.greeting: list[ToWorker] = [Tables((table(1, canary="2"),)), Lease(5.0)]
        self.agent = self.new_agent()
        self.worker = WorkerEnd(path, Hello(4711, 0), lambda: self.status, self.heard.put_nowait)

    def new_agent(self) -> AgentEnd:
        return AgentEnd(self.path, lambda: self.greeting, self.changes.set)

    async def changed(self) -> None:
        await asyncio.wait_for(self.changes.wait(), 5.0)
        self.changes.clear()

    async def next(self) -> ToWorker:
        return await asyncio.wait_for(self.heard.get(), 5.0)


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    line = Line(tmp_path / "agent.sock")
    calling = asyncio.create_task(line.worker.run(repeat_s=0.02))
    yield line
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await line.agent.close()


async def test_a_worker_that_calls_is_greeted_with_tables_and_lease(line: Line) -> None:
    await line.agent.open()
    assert [await line.next(), await line.next()] == line.greeting


async def test_a_worker_calls_before_the_agent_listens_and_keeps_calling(line: Line) -> None:
    await asyncio.sleep(0)  # the first call finds nobody
    await line.agent.open()
    assert await line.next() == line.greeting[0]


async def test_what_the_agent_sends_every_worker_hears_in_order(line: Line) -> None:
    line.greeting = []
    await line.agent.open()
    await line.changed()
    sent: list[ToWorker] = [Tables((table(revision),)) for revision in range(2, 30)]
    for message in sent:
        line.agent.send(message)
    assert [await line.next() for _ in sent] == sent


async def test_the_agent_hears_a_status_when_it_changes(line: Line) -> None:
    line.status = Status(frozenset({"d1"}), {"d9": "no such file"}, {"churn": 3})
    await line.agent.open()
    while not line.agent.peers or next(iter(line.agent.peers.values())).status != line.status:
        await line.changed()
    [peer] = line.agent.peers.values()
    assert (peer.pid, peer.status) == (4711, line.status)
    line.status = Status(frozenset({"d1", "d2"}))
    await line.changed()
    assert peer.status.loaded == {"d1", "d2"}


async def test_after_the_agent_has_gone_and_come_back_a_worker_is_greeted_again(line: Line) -> None:
    await line.agent.open()
    assert await line.next() == line.greeting[0]
    await line.next()
    await line.agent.close()
    line.agent = line.new_agent()
    line.greeting = [Tables((table(9),))]
    await line.agent.open()
    assert await line.next() == line.greeting[0]


async def test_somebody_who_talks_nonsense_is_hung_up_on(line: Line) -> None:
    await line.agent.open()
    for nonsense in (b"\xff" * 64, b"\0\0\0\x01x"):
        reader, writer = await asyncio.open_unix_connection(line.path)
        writer.write(nonsense)
        assert await asyncio.wait_for(reader.read(), 5.0) == b""
        writer.close()
    assert await line.next() == line.greeting[0]


def test_a_state_folder_too_deep_for_a_socket_is_said_so() -> None:
    with pytest.raises(SettingsError, match="longer than the 107 bytes"):
        socket_path(Path("/" + "deep/" * 30))
