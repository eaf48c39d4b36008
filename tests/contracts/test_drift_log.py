"""What every store promises the drift watches: a fair sample of what was asked, and a memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.store import Store, open_store
from gateway.core.events import Event
from tests.postgres_house import fresh
from tests.records import DEPLOYMENT, T0, arms, outcome, prediction


@pytest.fixture(params=["memory:", "sqlite:{tmp_path}/store.db", "postgresql:"])  # a new adapter adds one URL
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = open_store(fresh(request.param, tmp_path=tmp_path))
    yield opened
    opened.close()


def append(store: Store, *events: Event) -> None:
    start = store.events.cursors().get("w-p000000", 0)
    store.events.append("w-p000000", [(start + n, event) for n, event in enumerate(events)], start + len(events))


def test_a_row_says_what_was_asked_what_was_answered_and_what_came_true(store: Store) -> None:
    asked = prediction("b1", T0 + 1, names=("a", "b"), values=(1, None), statuses=b"\x00\x03", degraded=True)
    append(store, asked, outcome("b1", 0, T0 + 60), outcome("b1", 1, T0 + 90), outcome("b1", 0, T0 + 70))
    [row] = store.drift.logged(DEPLOYMENT, T0, T0 + 10, 100)
    assert (row.names, row.values, row.statuses) == (("a", "b"), (1, None), b"\x00\x03")
    assert (row.at, row.body, row.generation, row.label, row.score) == (T0 + 1, "b1", "g-stable", 1, 0.75)
    assert (row.failed, row.truth) == (False, 1)


def test_a_window_is_open_at_its_beginning_and_in_order_of_time(store: Store) -> None:
    append(store, *(prediction(f"b{9 - n}", T0 + n) for n in range(5)))
    assert [row.at - T0 for row in store.drift.logged(DEPLOYMENT, T0 + 1, T0 + 3, 100)] == [2.0, 3.0]


def test_a_sample_is_drawn_by_id_whatever_the_arm_or_the_time(store: Store) -> None:
    append(store, *(prediction(f"b{(n * 7) % 10}", T0 + n, "canary" if n % 3 else "stable") for n in range(10)))
    assert sorted(row.body for row in store.drift.logged(DEPLOYMENT, T0 - 1, T0 + 99, 4)) == ["b0", "b1", "b2", "b3"]


def test_forced_and_repeated_requests_are_no_part_of_it_and_a_failure_is_charged(store: Store) -> None:
    forced = prediction("b1", randomised=False, arms=arms(stable=1.0))
    append(store, forced, prediction("b2"), prediction("b2", label=0), prediction("b3", error="ValueError"))
    found = store.drift.logged(DEPLOYMENT, T0 - 1, T0 + 1, 100)
    assert [(row.body, row.label, row.failed) for row in found] == [("b2", 1, False), ("b3", 1, True)]


def test_what_a_watch_knows_is_kept_by_deployment_and_watch(store: Store) -> None:
    assert store.drift.remembered(DEPLOYMENT, "stable") is None
    store.drift.remember(DEPLOYMENT, "stable", b"one")
    store.drift.remember(DEPLOYMENT, "canary", b"two")
    store.drift.remember(DEPLOYMENT, "stable", b"three")
    assert store.drift.remembered(DEPLOYMENT, "stable") == b"three"
    assert store.drift.remembered(DEPLOYMENT, "canary") == b"two"
    assert store.drift.remembered("another", "stable") is None
