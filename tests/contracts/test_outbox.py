"""What every outbox promises: what a transaction stores waits with it, until it is said to be told."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.store import Store, open_store
from gateway.core.envelopes import DECISION, KINDS, OUTCOME, PREDICTION
from gateway.core.errors import RevisionConflict
from gateway.core.events import Decision, Event
from tests.contracts.test_control_state import STATE
from tests.postgres_house import fresh
from tests.records import DEPLOYMENT, T0, crash, outcome, prediction, shadow

STORES = ["memory:", "sqlite:{tmp_path}/store.db", "postgresql:"]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = open_store(fresh(request.param, tmp_path=tmp_path), tells=KINDS)
    yield opened
    opened.close()


def append(store: Store, *events: Event, spool: str = "w-p000000") -> None:
    start = store.events.cursors().get(spool, 0)
    numbered = [(start + 100 * n, event) for n, event in enumerate(events)]
    store.events.append(spool, numbered, start + 100 * len(events))


def decision(revision: int, action: str = "start") -> Decision:
    return Decision(DEPLOYMENT, revision, action, "agent", "because", T0, T0)


def test_records_wait_in_log_order_each_under_its_place(store: Store) -> None:
    append(store, prediction("b1"), shadow("b1"), outcome("b1"), crash("b2"))
    waiting = store.outbox.untold(10)
    assert [(one.id, one.event) for one in waiting] == [
        ("w-p000000/0", prediction("b1")),
        ("w-p000000/200", outcome("b1")),
    ]
    assert [one.number for one in waiting] == sorted({one.number for one in waiting})


def test_decisions_wait_with_the_revision_they_made(store: Store) -> None:
    state = STATE
    store.control.write(state, 0, [decision(1), decision(1, "pause")])
    assert [(one.id, one.event) for one in store.outbox.untold(10)] == [
        (f"{DEPLOYMENT}/1/0", decision(1)),
        (f"{DEPLOYMENT}/1/1", decision(1, "pause")),
    ]


def test_a_change_that_did_not_come_about_is_not_told(store: Store) -> None:
    state = STATE
    store.control.write(state, 0, [])
    with pytest.raises(RevisionConflict):
        store.control.write(replace(state, revision=9), 8, [decision(9)])
    with suppress(ZeroDivisionError), store.control.together():
        store.control.write(replace(state, revision=2), 1, [decision(2)])
        _ = 1 / 0
    assert store.outbox.untold(10) == []


def test_what_is_told_goes_and_the_rest_stays(store: Store) -> None:
    append(store, *(prediction(f"b{n}") for n in range(5)))
    first = store.outbox.untold(3)
    store.outbox.told([first[0].number, first[2].number])
    assert [one.event.body for one in store.outbox.untold(10) if not isinstance(one.event, Decision)] == [
        "b1",
        "b3",
        "b4",
    ]
    store.outbox.told([first[0].number])
    assert len(store.outbox.untold(10)) == 3


def test_a_record_delivered_twice_waits_once(store: Store) -> None:
    append(store, prediction("b1"))
    store.events.append("w-p000000", [(0, prediction("b1"))], 100)
    assert len(store.outbox.untold(10)) == 1


def test_beyond_the_most_the_oldest_are_given_up(store: Store) -> None:
    append(store, *(prediction(f"b{n}") for n in range(5)))
    assert store.outbox.waiting() == 5
    assert store.outbox.give_up(5) == 0
    assert store.outbox.give_up(2) == 3
    assert [one.id for one in store.outbox.untold(10)] == ["w-p000000/300", "w-p000000/400"]
    assert store.outbox.waiting() == 2


def test_an_outbox_of_which_all_is_told_is_empty(store: Store) -> None:
    assert store.outbox.waiting() == 0
    append(store, prediction("b1"))
    store.outbox.told([one.number for one in store.outbox.untold(10)])
    assert store.outbox.waiting() == 0
    assert store.outbox.give_up(1) == 0


@pytest.mark.parametrize("url", STORES)
@pytest.mark.parametrize(
    ("kinds", "expected"),
    [((), []), ((OUTCOME,), ["w-p000000/100"]), ((PREDICTION, DECISION), ["w-p000000/0", f"{DEPLOYMENT}/1/0"])],
    ids=["none", "outcomes", "the others"],
)
def test_only_the_kinds_asked_for_wait(url: str, kinds: tuple[str, ...], expected: list[str], tmp_path: Path) -> None:
    store = open_store(fresh(url, tmp_path=tmp_path), tells=kinds)
    append(store, prediction("b1"), outcome("b1"))
    store.control.write(STATE, 0, [decision(1)])
    assert [one.id for one in store.outbox.untold(10)] == expected
    store.close()
