"""The loader: stables first, failures reported and tried again, what nobody names let go."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from gateway.adapters.clock import ManualClock
from gateway.core.deployments import ModelCard, Scalar
from gateway.core.errors import ModelUnusable
from gateway.ports import Model, Output
from gateway.processes.loader import Loader
from gateway.processes.tables import TableBook
from tests.processes.parts import Held, table


@dataclass(frozen=True)
class Loaded:
    card: ModelCard

    def predict(self, rows: Sequence[Sequence[Scalar]]) -> list[Output]:
        return [Output(1)] * len(rows)


@dataclass
class Shelf:
    """Prepared models by digest; ``taken`` is the order in which they were asked for."""

    there: set[str]
    taken: list[str] = field(default_factory=list)

    def load(self, card: ModelCard) -> Model:
        self.taken.append(card.digest)
        if card.digest not in self.there:
            raise ModelUnusable(f"The model {card.digest} is not prepared on this host.")
        return Loaded(card)


class Bench:
    """A loader at work on a book of tables."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.shelf = Shelf({"d1", "d2"})
        self.held = Held()
        self.changed = asyncio.Event()
        self.book = TableBook(self.clock, self.held)
        self.loader = Loader(self.book, self.shelf, self, self.clock, self.changed.set)

    def install(self, model: Model) -> None:
        self.held.digests.add(model.card.digest)

    def drop(self, digest: str) -> None:
        self.held.digests.discard(digest)
        self.changed.set()

    def digests(self) -> frozenset[str]:
        return frozenset(self.held.digests)

    async def until_held(self, *digests: str) -> None:
        async with asyncio.timeout(5.0):
            while self.held.digests != set(digests):
                await self.changed.wait()
                self.changed.clear()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    running = asyncio.create_task(bench.loader.run())
    yield bench
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_stable_is_loaded_before_any_candidate(bench: Bench) -> None:
    bench.book.adopt([table(1, canary="2")])
    bench.loader.wake()
    await bench.until_held("d1", "d2")
    assert bench.shelf.taken == ["d1", "d2"]


async def test_a_model_that_cannot_be_loaded_is_reported_and_tried_again_later(bench: Bench) -> None:
    bench.book.adopt([table(1, canary="3")])
    bench.loader.wake()
    async with asyncio.timeout(5.0):
        while "d3" not in bench.loader.failed:
            await bench.changed.wait()
            bench.changed.clear()
    assert bench.loader.failed == {"d3": "The model d3 is not prepared on this host."}
    bench.loader.wake()
    await asyncio.sleep(0)
    assert bench.shelf.taken.count("d3") == 1
    bench.shelf.there.add("d3")
    bench.clock.advance(10.0)
    bench.loader.wake()
    await bench.until_held("d1", "d3")
    assert bench.loader.failed == {}


async def test_a_new_stable_is_put_in_force_once_it_is_loaded_and_the_old_one_let_go(bench: Bench) -> None:
    bench.book.adopt([table(1)])
    bench.loader.wake()
    await bench.until_held("d1")
    bench.book.adopt([table(2, stable="2")])
    assert bench.book.table("churn").revision == 1
    bench.loader.wake()
    await bench.until_held("d2")
    assert bench.book.table("churn").revision == 2
