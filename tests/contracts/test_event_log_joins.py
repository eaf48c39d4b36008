"""Joins and books under any order of delivery: the records decide, not the order in which spools were drained."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.store import open_store
from gateway.core.events import Event
from gateway.ports import EventLog, Window
from tests.postgres_house import fresh
from tests.records import DEPLOYMENT, T0, TAG, arms, crash, outcome, prediction, shadow

SPOOLS = ("a-p000000", "b-p000000", "c-o000000")
URLS = ("memory:", "sqlite:{folder}/store.db", "postgresql:")
Spools = dict[str, list[tuple[int, Event]]]


@dataclass(frozen=True)
class Delivery:
    """Part of a spool handed to the store: what was there from ``start`` to ``end`` (bytes)."""

    spool: str
    start: int
    end: int


times = st.integers(0, 6).map(lambda n: T0 + n)
three_arms = st.sampled_from([arms(stable=0.9, canary=0.1), arms(stable=0.5, canary=0.2, b=0.3), arms(stable=1.0)])


def predictions(bodies: st.SearchStrategy[str], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Event]:
    return st.builds(
        prediction,
        bodies,
        times,
        st.sampled_from(["stable", "canary", "b"]),
        arms=three_arms,
        key_hash=keys,
        sticky=st.booleans(),
        randomised=st.sampled_from([True, True, True, False]),
        degraded=st.sampled_from([False, False, False, True]),
        error=st.sampled_from([None, None, "ValueError"]),
        shadows=st.sampled_from([(), ("v9",), ("v8", "v9")]),
        label=st.integers(0, 1),
    )


def outcomes(bodies: st.SearchStrategy[str]) -> st.SearchStrategy[Event]:
    return st.builds(outcome, bodies, st.integers(0, 1), times, metric=st.sampled_from(["label", "revenue"]))


def shadows(bodies: st.SearchStrategy[str]) -> st.SearchStrategy[Event]:
    dropped = st.sampled_from([None, None, "queue_full"])
    return st.builds(shadow, bodies, times, dropped=dropped, error=st.sampled_from([None, "ValueError"]))


def places(events: list[Event]) -> list[tuple[int, Event]]:
    return [(100 * n, event) for n, event in enumerate(events)]


@st.composite
def spools(draw: st.DrawFn, *, shared: bool) -> Spools:
    """Some spools. ``shared``: several may hold records of one id or key, and crashes; else only outcomes roam."""
    everywhere = st.sampled_from([f"{spool}-{n}" for spool in SPOOLS for n in range(3)])
    found: Spools = {}
    for spool in SPOOLS:
        here = everywhere if shared else st.sampled_from([f"{spool}-{n}" for n in range(3)])
        kinds = [predictions(here, here), shadows(here), outcomes(everywhere)]
        if shared:
            kinds.append(st.builds(crash, here, times))
        found[spool] = places(draw(st.lists(st.one_of(kinds), max_size=8)))
    return found


@st.composite
def deliveries(draw: st.DrawFn, written: Spools) -> list[Delivery]:
    """Deliver the spools in any interleaving, in batches of any size, with any batch delivered again at any time."""
    left = {spool: (0, 100 * len(events)) for spool, events in written.items() if events}
    done: list[Delivery] = []
    while left:
        spool = draw(st.sampled_from(sorted(left)))
        start, end = left[spool]
        upto = 100 * draw(st.integers(start // 100 + 1, end // 100))
        done.append(Delivery(spool, start, upto))
        if draw(st.booleans()):
            done.append(draw(st.sampled_from(done)))
        left[spool] = (upto, end)
        if upto == end:
            del left[spool]
    return done


@contextmanager
def opened(url: str) -> Iterator[EventLog]:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(fresh(url, folder=Path(folder)))
        try:
            yield store.events
        finally:
            store.close()


def deliver(log: EventLog, written: Spools, order: list[Delivery]) -> None:
    for one in order:
        batch = [(offset, event) for offset, event in written[one.spool] if one.start <= offset < one.end]
        log.append(one.spool, batch, one.end)


def answers(log: EventLog, written: Spools) -> list[object]:
    """Everything the log says about what was delivered, seen whole and seen in part."""
    windows = [Window(T0 - 1, T0 + 10, log.cursors())]
    windows.append(Window(T0, T0 + 4, {spool: 100 * (len(events) // 2) for spool, events in written.items()}))
    bodies = sorted({event.body for events in written.values() for _, event in events if hasattr(event, "body")})
    return [
        log.cursors(),
        log.books(),
        log.books(DEPLOYMENT),
        log.performance(DEPLOYMENT, T0 - 1, T0 + 10),
        [log.evidence(DEPLOYMENT, generation, window) for generation in ("g-canary", "g-b") for window in windows],
        [log.pairs(DEPLOYMENT, "g-v9", "g-stable", window) for window in windows],
        [(found.record, found.attempts, found.outcomes) for found in (log.prediction(TAG, b) for b in bodies) if found],
    ]


@pytest.mark.parametrize("url", URLS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_interleaving_and_repetition_of_deliveries_gives_the_same_answers(url: str, data: st.DataObject) -> None:
    written = data.draw(spools(shared=False))
    in_order = [Delivery(spool, 0, 100 * len(events)) for spool, events in written.items() if events]
    with opened(url) as one, opened(url) as other:
        deliver(one, written, in_order)
        deliver(other, written, data.draw(deliveries(written)))
        assert answers(other, written) == answers(one, written)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_event_log_gives_the_same_answers(data: st.DataObject) -> None:
    written = data.draw(spools(shared=True))
    order = data.draw(deliveries(written))
    given_up = data.draw(times)
    found = []
    for url in URLS:
        with opened(url) as log:
            deliver(log, written, order[: len(order) // 2])
            expired = log.expire_outcomes(given_up)
            deliver(log, written, order[len(order) // 2 :])
            log.close_writer("a")
            found.append([expired, *answers(log, written)])
    assert found[0] == found[1] == found[2]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_books_always_balance(data: st.DataObject) -> None:
    written = data.draw(spools(shared=True))
    with opened("memory:") as log:
        for one in data.draw(deliveries(written)):
            deliver(log, written, [one])
            books = log.books()
            predictions_, outcomes_, shadows_ = books.predictions, dict(books.outcomes), books.shadows
            assert predictions_["received"] == predictions_["stored"] + predictions_["duplicates"]
            assert outcomes_.pop("accepted") == sum(outcomes_.values())
            assert shadows_["eligible"] == shadows_["done"] + shadows_["dropped"] + shadows_["pending"]
