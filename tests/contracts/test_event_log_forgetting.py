"""What every event log promises of what it forgets: whole days, bit by bit, with books that balance at every step."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.adapters.lake import MemoryLake
from gateway.adapters.store import open_store
from gateway.adapters.store.memory import MemoryEventLog
from gateway.core.events import Event
from gateway.core.ids import tag_of
from gateway.export import Exported, export
from gateway.ports import Books, EventLog, Window
from tests.postgres_house import fresh
from tests.records import DEPLOYMENT, T0, TAG, crash, outcome, prediction, shadow

DAY_S = 86_400
DAY = int(T0 // DAY_S)


@pytest.fixture(params=["memory:", "sqlite:{tmp_path}/store.db", "postgresql:"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    store = open_store(fresh(request.param, tmp_path=tmp_path))
    yield store.events
    store.close()


def append(log: EventLog, *events: Event, spool: str = "w-p000000") -> None:
    start = log.cursors().get(spool, 0)
    log.append(spool, [(start + 100 * n, event) for n, event in enumerate(events)], start + 100 * len(events))


def forget(log: EventLog, day: int = DAY, most: int = 100) -> int:
    """Close a day and empty it; says how many predictions went."""
    assert log.close_day(DEPLOYMENT, day, log.days(DEPLOYMENT)[day])
    total = 0
    while count := log.forget(DEPLOYMENT, day, most):
        assert balanced(log.books())
        total += count
    return total


def balanced(books: Books) -> bool:
    predictions, outcomes, shadows = dict(books.predictions), dict(books.outcomes), books.shadows
    received, accepted = predictions.pop("received"), outcomes.pop("accepted")
    predictions.pop("crashed"), predictions.pop("late", None)
    whole = shadows["eligible"] == shadows["done"] + shadows["dropped"] + shadows["pending"]
    return received == sum(predictions.values()) and accepted == sum(outcomes.values()) and whole


def test_a_day_goes_with_its_outcomes_shadows_and_bets_and_the_next_one_stays(log: EventLog) -> None:
    append(log, prediction("b1", shadows=("v9",)), shadow("b1"), outcome("b1"), outcome("b1", 0, T0 + 90))
    append(log, prediction("b2", T0 + DAY_S), outcome("b2"))
    assert forget(log) == 1
    assert log.prediction(TAG, "b1") is None
    assert log.joined(DEPLOYMENT, DAY, None, 9) == []
    window = Window(T0 - 1, T0 + 9 * DAY_S, log.cursors())
    assert [row.outcomes for row in log.evidence(DEPLOYMENT, "g-canary", window)] == [{"label": 1}]
    assert log.pairs(DEPLOYMENT, "g-v9", "g-stable", window) == []
    assert (log.prediction(TAG, "b2") or pytest.fail()).outcomes == (outcome("b2"),)
    books = log.books()
    assert books.predictions == {"received": 2, "stored": 1, "duplicates": 0, "crashed": 0, "expired": 1}
    assert books.outcomes == {"accepted": 3, "joined": 1, "waiting": 0, "corrected": 1, "expired": 1, "duplicate": 0}
    assert books.shadows == {"eligible": 1, "done": 1, "dropped": 0, "pending": 0}


def test_a_large_day_goes_bit_by_bit(log: EventLog) -> None:
    append(log, *(event for n in range(25) for event in (prediction(f"b{n}", T0 + n), outcome(f"b{n}"))))
    assert log.close_day(DEPLOYMENT, DAY, log.days(DEPLOYMENT)[DAY])
    assert [log.forget(DEPLOYMENT, DAY, 10) for _ in range(5)] == [10, 10, 5, 0, 0]
    assert balanced(log.books())
    assert log.books().predictions["expired"] == log.books().outcomes["expired"] == 25


def test_a_day_that_has_changed_meanwhile_is_not_let_go(log: EventLog) -> None:
    append(log, prediction("b1"))
    seen = log.days(DEPLOYMENT)[DAY]
    append(log, outcome("b1"))
    assert not log.close_day(DEPLOYMENT, DAY, seen)
    assert log.closed_days(DEPLOYMENT) == []
    assert log.days(DEPLOYMENT) == {DAY: seen + 1}


def test_a_closed_day_is_no_day_any_more_and_is_done_once_it_is_empty(log: EventLog) -> None:
    append(log, prediction("b1"), prediction("b2", T0 + DAY_S))
    assert log.close_day(DEPLOYMENT, DAY, 1)
    assert set(log.days(DEPLOYMENT)) == {DAY + 1}
    assert log.closed_days(DEPLOYMENT) == [DAY]
    while log.forget(DEPLOYMENT, DAY, 10):
        pass
    assert log.closed_days(DEPLOYMENT) == []


def test_what_comes_late_for_a_forgotten_day_goes_the_next_time(log: EventLog) -> None:
    append(log, prediction("b1"))
    forget(log)
    append(log, prediction("late"), outcome("late"))
    assert log.days(DEPLOYMENT) == {}
    assert log.closed_days(DEPLOYMENT) == [DAY]
    assert log.forget(DEPLOYMENT, DAY, 10) == 1
    assert log.forget(DEPLOYMENT, DAY, 10) == 0
    assert log.closed_days(DEPLOYMENT) == []
    assert balanced(log.books())


def test_an_outcome_of_a_forgotten_prediction_waits_and_expires(log: EventLog) -> None:
    append(log, prediction("b1"), outcome("b1"))
    forget(log)
    append(log, outcome("b1", 0, T0 + 999))
    assert log.books().outcomes["waiting"] == 1
    assert log.expire_outcomes(T0 + 1e6) == 1
    assert balanced(log.books())
    assert log.books().outcomes["expired"] == 2


@pytest.mark.parametrize("first_day", [DAY, DAY + 1], ids=["the first attempt's day", "the second attempt's day"])
def test_an_id_whose_attempts_lie_in_two_days_is_known_until_both_are_gone(log: EventLog, first_day: int) -> None:
    append(log, prediction("b1"), prediction("b1", T0 + DAY_S, label=0), outcome("b1"))
    forget(log, first_day)
    assert (log.prediction(TAG, "b1") or pytest.fail()).outcomes == (outcome("b1"),)
    predictions = log.books().predictions
    assert (predictions["stored"], predictions["duplicates"], predictions["expired"]) == (1, 0, 1)
    append(log, prediction("b1", T0 + DAY_S + 5))
    [*_, last] = log.joined(DEPLOYMENT, DAY + 1, None, 9)
    assert last.attempt == (3 if first_day == DAY else 2)
    if first_day == DAY:
        assert log.served(DEPLOYMENT, 9) == []
        forget(log, DAY + 1)
        assert log.prediction(TAG, "b1") is None
    assert balanced(log.books())


def test_a_crash_goes_with_its_day_and_so_does_the_bet_on_it(log: EventLog) -> None:
    append(log, prediction("b0"), crash("b1", T0 + 5), crash("b2", T0 + 6), prediction("b2", T0 + DAY_S))
    window = Window(T0 - 1, T0 + 9 * DAY_S, log.cursors())
    assert len(log.evidence(DEPLOYMENT, "g-canary", window)) == 3
    forget(log)
    assert log.evidence(DEPLOYMENT, "g-canary", window) == []
    assert log.joined(DEPLOYMENT, DAY + 1, None, 9)[0].attempt == 2
    assert log.books().predictions["crashed"] == 2
    assert balanced(log.books())


def test_another_deployments_day_stays(log: EventLog) -> None:
    append(log, prediction("b1"), prediction("b1", deployment="churn", tag=tag_of("churn")))
    forget(log)
    assert log.books("churn").predictions["stored"] == 1
    assert log.days("churn") == {DAY: 1}


def test_a_crash_that_no_prediction_followed_goes_with_its_day_and_what_comes_later_is_judged(log: EventLog) -> None:
    append(log, prediction("b0"), crash("b1", T0))
    forget(log)
    append(log, prediction("b1"))
    assert len(log.evidence(DEPLOYMENT, "g-canary", Window(T0 - 1, T0 + 1, log.cursors()))) == 1


def test_sticky_keys_of_a_generation_that_ended_go_bit_by_bit_and_nobody_elses(log: EventLog) -> None:
    sticky = [prediction(f"b{n}", T0 + n, sticky=True) for n in range(5)]
    other = replace(prediction("c1", T0 + 9, sticky=True), arms=prediction("x").arms[:1])
    append(log, *sticky, other)
    assert [log.forget_claims(DEPLOYMENT, "g-canary", 3) for _ in range(3)] == [3, 2, 0]
    append(log, prediction("again", T0 + 20, sticky=True, key_hash="key-b1"))
    window = Window(T0 + 19, T0 + 21, log.cursors())
    assert len(log.evidence(DEPLOYMENT, "g-canary", window)) == 1


def test_an_export_under_way_does_not_write_half_of_what_is_being_forgotten(log: EventLog) -> None:
    lake = MemoryLake()
    append(log, *(prediction(f"b{n}", T0 + n) for n in range(4)))
    assert list(export(log, lake, DEPLOYMENT)) == [Exported(DAY, 4)]
    append(log, outcome("b1"))

    class Overtaken(MemoryLake):
        def days(self, deployment: str) -> dict[int, int]:
            return dict(lake.days(deployment))

        def write(self, deployment: str, day: int, changes: int, batches: object) -> int:
            assert log.close_day(deployment, day, changes)
            log.forget(deployment, day, 2)
            return lake.write(deployment, day, changes, batches)  # type: ignore[arg-type]

    assert list(export(log, Overtaken(), DEPLOYMENT)) == []
    assert len(lake.rows[DEPLOYMENT, DAY]) == 4


_EVENTS = st.lists(
    st.one_of(
        st.builds(lambda b, d: prediction(f"b{b}", T0 + d * DAY_S), st.integers(0, 3), st.integers(0, 2)),
        st.builds(lambda b, v: outcome(f"b{b}", v), st.integers(0, 4), st.integers(0, 1)),
        st.builds(lambda b, d: crash(f"b{b}", T0 + d * DAY_S), st.integers(0, 3), st.integers(0, 2)),
        st.sampled_from([("forget", 0), ("forget", 1), ("forget", 2)]),
    ),
    max_size=25,
)


@given(story=_EVENTS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_store_forgets_as_the_plain_one_does(
    story: list[object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = MemoryEventLog()
    stores = [
        open_store(fresh(url, tmp_path=tmp_path_factory.mktemp("s")))
        for url in ("sqlite:{tmp_path}/s.db", "postgresql:")
    ]
    for step in story:
        for log in (plain, *(store.events for store in stores)):
            if isinstance(step, tuple):
                day = DAY + int(step[1])
                log.close_day(DEPLOYMENT, day, log.days(DEPLOYMENT).get(day, 0))
                while day in log.closed_days(DEPLOYMENT):
                    log.forget(DEPLOYMENT, day, 2)
            else:
                append(log, step)  # type: ignore[arg-type]
            assert balanced(log.books())
    window = Window(T0 - 1, T0 + 9 * DAY_S, plain.cursors())
    for store in stores:
        log = store.events
        assert log.books() == plain.books()
        assert log.closed_days(DEPLOYMENT) == plain.closed_days(DEPLOYMENT)
        assert log.evidence(DEPLOYMENT, "g-canary", window) == plain.evidence(DEPLOYMENT, "g-canary", window)
        assert [log.joined(DEPLOYMENT, DAY + n, None, 99) for n in range(3)] == [
            plain.joined(DEPLOYMENT, DAY + n, None, 99) for n in range(3)
        ]
        store.close()
