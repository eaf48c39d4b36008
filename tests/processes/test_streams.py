"""What waits is told until the broker has it; what the broker tells is on disk before it is done."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway.adapters.clock import WallClock
from gateway.adapters.spool.memory import MemorySpool
from gateway.adapters.store import Store, open_store
from gateway.adapters.stream import MemorySink, MemorySource
from gateway.core.envelopes import DECISION, KINDS, OUTCOME, PREDICTION
from gateway.core.errors import InvalidBody, Problem, StoreUnavailable
from gateway.core.events import Decision, OutcomeRecord
from gateway.core.ids import SigningKeys, mint
from gateway.feedback import Feedback
from gateway.ports import Incoming, Untold
from gateway.processes.streams import Drawn, Taking, Telling, wrapper
from tests.contracts.test_control_state import STATE
from tests.records import DEPLOYMENT, T0, TAG, outcome, prediction

KEYS = SigningKeys("k", {"k": b"secret"})


class House:
    """A store, a broker in memory, and what was counted."""

    def __init__(self, most: int = 1_000) -> None:
        self.store: Store = open_store("memory:", tells=KINDS)
        self.sink = MemorySink()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.waiting: list[int] = []
        wrap = wrapper(KEYS, lambda tag: DEPLOYMENT if tag == TAG else tag)
        self.telling = Telling(self.store.outbox, self.sink, wrap, run, self.count, self.waiting.append, most)
        self.at = 0

    def count(self, kind: str, became: str, n: int) -> None:
        self.counts[kind, became] += n

    def happen(self, *events: Any) -> None:
        numbered = [(self.at + 100 * n, event) for n, event in enumerate(events)]
        self.at += 100 * len(events)
        self.store.events.append("w-p0", numbered, self.at)


async def run(work: Callable[[], Any]) -> Any:
    return work()


async def test_events_are_told_in_order_with_the_ids_that_callers_know() -> None:
    house = House()
    house.happen(prediction("b1"), outcome("b1"))
    house.store.control.write(STATE, 0, [Decision(DEPLOYMENT, 1, "start", "agent", "because", T0, T0)])
    assert await house.telling.once()
    assert [(one.kind, one.source, one.subject) for one in house.sink.told] == [
        (PREDICTION, f"/deployments/{DEPLOYMENT}", mint(KEYS, TAG, "b1")),
        (OUTCOME, f"/deployments/{DEPLOYMENT}", mint(KEYS, TAG, "b1")),
        (DECISION, f"/deployments/{DEPLOYMENT}", "start"),
    ]
    assert house.store.outbox.waiting() == 0
    assert house.counts == {(kind, "told"): 1 for kind in KINDS}


async def test_nothing_leaves_the_outbox_before_the_broker_has_it() -> None:
    house = House()
    house.happen(prediction("b1"), prediction("b2"))
    house.sink.down = True
    assert not await house.telling.once()
    assert house.store.outbox.waiting() == 2
    house.sink.down = False
    await house.telling.once()
    assert [one.id for one in house.sink.told] == ["w-p0/0", "w-p0/100"]
    assert house.counts == {(PREDICTION, "failed"): 2, (PREDICTION, "told"): 2}


async def test_an_event_told_twice_is_the_same_both_times() -> None:
    house = House()
    house.happen(prediction("b1", names=("x",), values=(1.5,), statuses=b"\0"))
    before = house.store.outbox.untold(1)
    await house.telling.once()
    house.store.outbox.put(  # type: ignore[attr-defined]  # as if the word that it was told had been lost
        [(before[0].id, PREDICTION, msgspec.msgpack.encode(before[0].event))]
    )
    await house.telling.once()
    first, second = house.sink.told
    assert first == second


async def test_an_event_that_no_broker_takes_is_counted_and_holds_up_nobody() -> None:
    house = House()
    house.happen(prediction("b1"), prediction("b2"))
    house.sink.refuses = {"w-p0/0"}
    assert await house.telling.once()
    assert [one.id for one in house.sink.told] == ["w-p0/100"]
    assert house.counts == {(PREDICTION, "refused"): 1, (PREDICTION, "told"): 1}
    assert house.store.outbox.waiting() == 0


async def test_beyond_the_most_the_oldest_are_given_up_and_counted() -> None:
    house = House(most=2)
    house.happen(*(prediction(f"b{n}") for n in range(5)))
    house.sink.down = True
    await house.telling.once()
    assert house.counts["any", "given_up"] == 3
    assert house.waiting == [2]


async def test_a_store_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    house.happen(prediction("b1"))
    monkeypatch.setattr("gateway.processes.streams._TROUBLE_S", 0.0)
    away = [StoreUnavailable("away"), StoreUnavailable("away")]

    class Away:
        def __getattr__(self, name: str) -> Any:
            if away:
                raise away.pop()
            return getattr(house.store.outbox, name)

    telling = Telling(Away(), house.sink, wrapper(KEYS, str), run, house.count)
    task = asyncio.create_task(telling.run())
    while not house.sink.told:  # noqa: ASYNC110 - it stands for the loop that everybody shares
        await asyncio.sleep(0)
    task.cancel()
    assert house.sink.told[0].id == "w-p0/0"


async def test_whoever_leads_no_more_says_that_nothing_waits_here() -> None:
    house = House()
    house.sink.down = True
    house.happen(prediction("b1"))
    task = asyncio.create_task(house.telling.run())
    while not house.waiting:  # noqa: ASYNC110 - likewise
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert house.waiting[-1] == 0


class Desk:
    """A topic in memory, a spool, and what was counted."""

    def __init__(self, *bodies: object) -> None:
        self.source = MemorySource([_message(n, body) for n, body in enumerate(bodies)])
        self.spool = MemorySpool()
        self.counts: Counter[str] = Counter()
        feedback = Feedback(self.spool, Drawn(dict), WallClock(), lambda: KEYS)
        self.taking = Taking(self.source, _read, feedback, self.count)

    def count(self, became: str, n: int) -> None:
        self.counts[became] += n

    @property
    def taken(self) -> list[tuple[str, Any]]:
        return [(one.body, one.value) for one in self.spool.events if isinstance(one, OutcomeRecord)]


def _message(number: int, body: object) -> Incoming:
    return Incoming(msgspec.json.encode(body), place=("t", 0, number))


def _read(one: Incoming) -> object:
    found = msgspec.json.decode(one.value)
    if found == "bad":
        raise InvalidBody(Problem("", "Is no JSON."))
    return found


def truth(body: str, value: object = 1) -> dict[str, object]:
    return {"prediction_id": mint(KEYS, TAG, body), "outcome": value}


async def test_outcomes_are_on_disk_before_their_messages_are_done() -> None:
    desk = Desk(truth("b1"), {"items": [truth("b2"), truth("b3", 0)]})
    assert await desk.taking.once()
    assert desk.taken == [("b1", 1), ("b2", 1), ("b3", 0)]
    assert desk.spool.flushes >= 1
    assert desk.source.messages == []
    assert desk.counts == {"accepted": 2, "refused": 0}


async def test_a_message_comes_again_until_the_disk_takes_it() -> None:
    desk = Desk(truth("b1"), truth("b2"))
    desk.spool.full = True
    assert not await desk.taking.once()
    assert len(desk.source.messages) == 2
    desk.spool.full = False
    assert await desk.taking.once()
    assert desk.taken == [("b1", 1), ("b2", 1)]
    assert desk.counts == {"again": 2, "accepted": 2, "refused": 0}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("bad", "Is no JSON."),
        ({"prediction_id": "forged", "outcome": 1}, "/items/0 This gateway never issued that prediction_id."),
        ({"prediction_id": "x"}, "/outcome"),
        (7, "Must be an object."),
    ],
)
async def test_what_cannot_be_taken_is_put_aside_with_the_reason_and_counted(body: object, why: str) -> None:
    desk = Desk(body, truth("b1"))
    assert await desk.taking.once()
    [(message, reason)] = desk.source.aside
    assert (message.place, why in reason) == (("t", 0, 0), True), reason
    assert desk.taken == [("b1", 1)]
    assert desk.counts == {"accepted": 1, "refused": 1}


async def test_of_a_message_that_is_partly_good_the_good_part_is_taken() -> None:
    desk = Desk({"items": [truth("b1"), {"prediction_id": "forged", "outcome": 1}]})
    assert await desk.taking.once()
    assert desk.taken == [("b1", 1)]
    assert "/items/1" in desk.source.aside[0][1]


async def test_a_message_that_cannot_even_be_put_aside_comes_again() -> None:
    desk = Desk("bad", truth("b1"))
    desk.source.down = True
    assert not await desk.taking.once()
    assert len(desk.source.messages) == 2
    desk.source.down = False
    assert await desk.taking.once()
    assert desk.taken == [("b1", 1), ("b1", 1)]
    assert (desk.source.messages, len(desk.source.aside)) == ([], 1)


def test_a_prediction_of_a_deployment_that_is_gone_goes_by_its_tag() -> None:
    wrapped = wrapper(KEYS, lambda tag: tag)(Untold(1, "w/0", replace(prediction("b1"))))
    assert wrapped.source == f"/deployments/{TAG}"
