"""The publisher: what changes is pushed and left on disk, and an agent that cannot read extends no lease."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.adapters.clock import ManualClock
from gateway.adapters.store.memory_control import MemoryControlState
from gateway.compose import NoCompiler
from gateway.core.deployments import DeploymentSpec
from gateway.core.errors import StoreUnavailable
from gateway.core.routing import Part
from gateway.core.state import DeploymentState
from gateway.processes.channel import Lease, Tables, ToWorker
from gateway.processes.plans import Plans
from gateway.processes.publisher import LEASE_S, Publisher
from gateway.processes.tables import find_on_disk, leave_on_disk
from tests.processes.parts import card, table

_Result = TypeVar("_Result")
STATE = DeploymentState("churn", 1, DeploymentSpec("churn", "m", "uri"), Part("stable", "g1", card("1")))


class Unreachable(MemoryControlState):
    """Control state that can be cut off."""

    cut = False

    def all(self) -> list[DeploymentState]:
        if self.cut:
            raise StoreUnavailable("The store cannot be reached.")
        return super().all()


class Desk:
    """A publisher, what it reads, and what it has sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(machine=100.0)
        self.control = Unreachable()
        self.sent: list[ToWorker] = []
        self.publisher = Publisher(self.control, Plans(NoCompiler()), self.clock, self.run, self.sent.append, folder)

    async def run(self, work: Callable[[], _Result]) -> _Result:
        return work()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "tables")


async def test_a_new_document_is_pushed_once_then_only_the_lease(desk: Desk) -> None:
    desk.control.write(STATE, 0, [])
    assert await desk.publisher.refresh()
    [tables, lease] = desk.sent
    assert isinstance(tables, Tables)
    assert [pushed.revision for pushed in tables.tables] == [1]
    assert lease == Lease(100.0 + LEASE_S)
    assert find_on_disk(desk.folder) == list(tables.tables)
    desk.clock.advance(0.5)
    assert not await desk.publisher.refresh()
    assert desk.sent[2:] == [Lease(100.5 + LEASE_S, data_at=0.5)]


async def test_a_changed_document_is_pushed_and_replaces_the_one_on_disk(desk: Desk) -> None:
    desk.control.write(STATE, 0, [])
    await desk.publisher.refresh()
    desk.control.write(replace(STATE, revision=2), 1, [])
    assert await desk.publisher.refresh()
    assert [found.revision for found in find_on_disk(desk.folder)] == [2]


async def test_an_agent_that_cannot_read_control_state_extends_no_lease(desk: Desk) -> None:
    desk.control.write(STATE, 0, [])
    await desk.publisher.refresh()
    desk.control.cut = True
    desk.clock.advance(0.5)
    sent = len(desk.sent)
    assert not await desk.publisher.refresh()
    assert desk.sent[sent:] == []
    assert desk.publisher.greeting()[1] == Lease(100.0 + LEASE_S, data_at=0.5)
    assert desk.publisher.trouble == "The store cannot be reached."
    desk.control.cut = False
    await desk.publisher.refresh()
    assert desk.publisher.trouble is None
    assert desk.sent[-1] == Lease(100.5 + LEASE_S, data_at=0.5)


async def test_a_worker_that_calls_is_told_everything(desk: Desk) -> None:
    desk.control.write(STATE, 0, [])
    await desk.publisher.refresh()
    [tables, lease] = desk.publisher.greeting()
    assert isinstance(tables, Tables)
    assert [known.deployment for known in tables.tables] == ["churn"]
    assert lease == Lease(100.0 + LEASE_S)


async def test_a_table_that_the_store_never_wrote_is_taken_from_disk(desk: Desk) -> None:
    desk.control.write(STATE, 0, [])
    await desk.publisher.refresh()
    ahead = [table(57), table(1, deployment="forgotten")]
    for one in ahead:
        leave_on_disk(desk.folder, one)
    desk.publisher.compare(find_on_disk(desk.folder))
    assert find_on_disk(desk.folder) == []
