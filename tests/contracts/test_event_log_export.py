"""What every event log promises an export: each attempt once, with the outcome that counts, and which days changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.lake import MemoryLake
from gateway.adapters.store import open_store
from gateway.core.events import Event, Position
from gateway.core.ids import tag_of
from gateway.export import Exported, export
from gateway.ports import EventLog
from tests.postgres_house import fresh
from tests.records import DEPLOYMENT, T0, crash, outcome, prediction

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


def test_a_day_delivers_every_attempt_with_the_outcomes_that_count(log: EventLog) -> None:
    append(log, prediction("b1", T0 + 2), prediction("b2", T0 + 1), prediction("b1", T0 + 3, label=0))
    append(log, outcome("b1", 0, T0 + 50), outcome("b1", 1, T0 + 60, source="late"), outcome("b1", 9.5, metric="gain"))
    rows = log.joined(DEPLOYMENT, DAY, None, 10)
    assert [(row.record.body, row.attempt) for row in rows] == [("b2", 1), ("b1", 1), ("b1", 2)]
    assert rows[0].outcomes == {}
    for row in rows[1:]:
        assert {metric: told.value for metric, told in row.outcomes.items()} == {"label": 1, "gain": 9.5}
        assert row.outcomes["label"].source == "late"


def test_pages_follow_each_other_without_a_gap(log: EventLog) -> None:
    append(log, *(prediction(f"b{n}", T0 + n // 3) for n in range(10)))
    append(log, *(prediction(f"a{n}", T0 + n // 3) for n in range(10)), spool="a-p000000")
    seen: list[Position] = []
    page = log.joined(DEPLOYMENT, DAY, None, 4)
    while page:
        seen += [row.position for row in page]
        page = log.joined(DEPLOYMENT, DAY, seen[-1], 4)
    assert seen == sorted(set(seen))
    assert len(seen) == 20


def test_a_day_ends_where_the_next_begins(log: EventLog) -> None:
    midnight = float((DAY + 1) * DAY_S)
    append(log, prediction("b1", midnight - 0.001), prediction("b2", midnight))
    assert [row.record.body for row in log.joined(DEPLOYMENT, DAY, None, 9)] == ["b1"]
    assert [row.record.body for row in log.joined(DEPLOYMENT, DAY + 1, None, 9)] == ["b2"]
    assert set(log.days(DEPLOYMENT)) == {DAY, DAY + 1}


def test_another_deployments_requests_are_not_exported(log: EventLog) -> None:
    append(log, prediction(deployment="churn", tag=tag_of("churn")))
    assert log.joined(DEPLOYMENT, DAY, None, 9) == []
    assert log.days(DEPLOYMENT) == {}


def test_an_attempt_after_a_crash_is_the_second(log: EventLog) -> None:
    append(log, crash("b1"), prediction("b1"))
    assert [row.attempt for row in log.joined(DEPLOYMENT, DAY, None, 9)] == [2]


@pytest.mark.parametrize(
    "late",
    [prediction("b2", T0 + 5), outcome("b1"), outcome("b1", 0, T0 + 90), prediction("b1", T0 + 9)],
    ids=["a prediction", "a label", "a correction", "another attempt"],
)
def test_whatever_comes_late_changes_its_day(log: EventLog, late: Event) -> None:
    append(log, prediction("b1"), outcome("b1", 1, T0 + 70), prediction("z", T0 + DAY_S))
    before = log.days(DEPLOYMENT)
    append(log, late)
    after = log.days(DEPLOYMENT)
    assert after[DAY] > before[DAY]
    assert after[DAY + 1] == before[DAY + 1]


def test_a_label_changes_the_day_of_each_attempt(log: EventLog) -> None:
    append(log, prediction("b1"), prediction("b1", T0 + DAY_S))
    before = log.days(DEPLOYMENT)
    append(log, outcome("b1"))
    assert all(log.days(DEPLOYMENT)[day] > count for day, count in before.items())


def test_records_delivered_twice_change_nothing(log: EventLog) -> None:
    append(log, prediction("b1"), outcome("b1"))
    before = log.days(DEPLOYMENT)
    log.append("w-p000000", [(0, prediction("b1")), (100, outcome("b1"))], 200)
    assert log.days(DEPLOYMENT) == before


def test_an_export_writes_what_changed_and_nothing_else(log: EventLog) -> None:
    lake = MemoryLake()
    append(log, prediction("b1"), prediction("b2", T0 + DAY_S))
    assert list(export(log, lake, DEPLOYMENT)) == [Exported(DAY, 1), Exported(DAY + 1, 1)]
    assert list(export(log, lake, DEPLOYMENT)) == []
    append(log, outcome("b1"))
    assert list(export(log, lake, DEPLOYMENT)) == [Exported(DAY, 1)]
    assert lake.rows[DEPLOYMENT, DAY][0].outcomes["label"].value == 1


def test_an_export_longer_than_a_page_has_every_row(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.export.BATCH", 3)
    append(log, *(prediction(f"b{n}", T0 + n) for n in range(9)))
    assert list(export(log, MemoryLake(), DEPLOYMENT)) == [Exported(DAY, 9)]
