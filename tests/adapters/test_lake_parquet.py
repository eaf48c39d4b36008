"""The Parquet lake: one table for pandas, Polars and DuckDB, whole files, columns that only widen."""

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from gateway.adapters.lake import ParquetLake
from gateway.core.errors import LakeUnavailable
from gateway.core.events import JoinedRow, Position
from gateway.core.features import Status
from tests.records import DEPLOYMENT, T0, outcome, prediction

DAY = int(T0 // 86_400)
Batches = Callable[[], Iterable[Sequence[JoinedRow]]]


def row(
    body: str = "b1", features: dict[str, Any] | None = None, outcomes: dict[str, Any] | None = None, **fields: Any
) -> JoinedRow:
    features = {"distance": 719.0, "carrier": "AA"} if features is None else features
    record = prediction(
        body,
        names=tuple(features),
        values=tuple(features.values()),
        statuses=bytes([Status.PRESENT] * len(features)),
        event_times=(None,) * len(features),
        **fields,
    )
    told = {metric: outcome(body, value, metric=metric) for metric, value in (outcomes or {}).items()}
    return JoinedRow(Position(record.at, "w-p000000", 0), 1, record, told)


def batches(*rows: JoinedRow) -> Batches:
    return lambda: [list(rows)]


def columns(folder: Path, day: str = "2013-03-11") -> dict[str, str]:
    schema = pq.read_schema(folder / DEPLOYMENT / f"date={day}" / "predictions.parquet")
    return {field.name: str(field.type) for field in schema}


def test_a_day_is_read_as_one_table_by_pandas_polars_and_duckdb(tmp_path: Path) -> None:
    lake = ParquetLake(str(tmp_path))
    lake.write(
        DEPLOYMENT, DAY, 1, batches(row("b1", outcomes={"label": 1}), row("b2", {"distance": 1.5, "tail": "N1"}))
    )
    lake.write(DEPLOYMENT, DAY + 1, 1, batches(row("b3", {"carrier": "UA"}, {"gain": 2.5}, at=T0 + 86_400)))
    folder = tmp_path / DEPLOYMENT
    sql = f"SELECT body, feature_carrier, outcome_label FROM read_parquet('{folder}/*/*.parquet') ORDER BY body"
    expected = [("b1", "AA", 1), ("b2", None, None), ("b3", "UA", None)]
    assert duckdb.sql(sql).fetchall() == expected
    frame = pl.scan_parquet(folder / "**/*.parquet").sort("body").collect()
    assert frame.select("body", "feature_carrier", "outcome_label").rows() == expected
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pandas = pd.read_parquet(folder).sort_values("body")
    assert list(pandas["feature_carrier"].fillna("")) == ["AA", "", "UA"]
    assert list(pandas["date"].astype(str)) == ["2013-03-11", "2013-03-11", "2013-03-12"]
    assert str(pandas["at"].dtype) == "datetime64[us, UTC]"


def test_a_row_says_who_answered_what_from_which_features_and_what_was_true(tmp_path: Path) -> None:
    record = row(outcomes={"label": 0}, scores={"0": 0.25, "1": 0.75}, degraded=True)
    ParquetLake(str(tmp_path)).write(DEPLOYMENT, DAY, 1, batches(record))
    [found] = pq.read_table(tmp_path / DEPLOYMENT).to_pylist()
    assert found["at"].timestamp() == T0
    assert (found["assigned"], found["generation"], found["propensity"]) == ("stable", "g-stable", 0.9)
    assert (found["prediction"], found["score"], dict(found["scores"])) == (1, 0.75, {"0": 0.25, "1": 0.75})
    assert (found["feature_distance"], found["feature_carrier"]) == (719.0, "AA")
    assert (found["outcome_label"], found["outcome_label_observed_at"].timestamp()) == (0, T0 + 60)
    assert (found["latency_model_s"], found["degraded"], found["not_served"]) == (0.002, True, [])


def test_features_that_were_not_served_are_named(tmp_path: Path) -> None:
    record = prediction(names=("a", "b"), values=(None, 2.0), statuses=bytes([Status.MISSING, Status.REQUEST]))
    one = JoinedRow(Position(T0, "w-p000000", 0), 1, record, {})
    ParquetLake(str(tmp_path)).write(DEPLOYMENT, DAY, 1, batches(one))
    [found] = pq.read_table(tmp_path / DEPLOYMENT).to_pylist()
    assert (found["not_served"], found["feature_a"], found["feature_b"]) == (["a"], None, 2.0)


def test_writing_a_day_again_replaces_it(tmp_path: Path) -> None:
    lake = ParquetLake(str(tmp_path))
    assert lake.write(DEPLOYMENT, DAY, 1, batches(row("b1"), row("b2"))) == 2
    assert lake.write(DEPLOYMENT, DAY, 2, batches(row("b1"))) == 1
    assert pq.read_table(tmp_path / DEPLOYMENT).num_rows == 1
    assert ParquetLake(str(tmp_path)).days(DEPLOYMENT) == {DAY: 2}
    assert [path.name for path in tmp_path.rglob("*.part")] == []


def test_a_column_met_later_is_given_to_the_days_before(tmp_path: Path) -> None:
    lake = ParquetLake(str(tmp_path))
    lake.write(DEPLOYMENT, DAY, 1, batches(row(features={"a": 1})))
    lake.write(DEPLOYMENT, DAY + 1, 1, batches(row("b2", {"a": 2, "b": True})))
    assert columns(tmp_path) == columns(tmp_path, "2013-03-12")
    assert columns(tmp_path)["feature_b"] == "bool"
    assert lake.days(DEPLOYMENT) == {DAY: 1, DAY + 1: 1}


@pytest.mark.parametrize(
    ("first", "second", "kind", "reads"),
    [
        (1, 2.5, "double", [1.0, 2.5]),
        (True, 3, "int64", [1, 3]),
        (4, "x", "string", ["4", "x"]),
        (None, "x", "string", [None, "x"]),
        (None, 7, "int64", [None, 7]),
        (2**70, 1, "string", [str(2**70), "1"]),
    ],
)
def test_a_column_widens_and_keeps_what_it_held(
    tmp_path: Path, first: Any, second: Any, kind: str, reads: list[Any]
) -> None:
    lake = ParquetLake(str(tmp_path))
    lake.write(DEPLOYMENT, DAY, 1, batches(row("b1", {"a": first})))
    lake.write(DEPLOYMENT, DAY + 1, 1, batches(row("b2", {"a": second})))
    assert columns(tmp_path)["feature_a"] == kind
    found = duckdb.sql(f"SELECT feature_a FROM read_parquet('{tmp_path}/*/*/*.parquet') ORDER BY body").fetchall()
    assert [value for (value,) in found] == reads


def test_an_export_that_was_broken_off_is_taken_up_where_it_stopped(tmp_path: Path) -> None:
    lake = ParquetLake(str(tmp_path))
    lake.write(DEPLOYMENT, DAY, 1, batches(row(features={"a": 1})))

    def breaks() -> Iterable[Sequence[JoinedRow]]:
        yield [row("b2", {"a": 1.5})]
        raise OSError("the disk is full")

    with pytest.raises(LakeUnavailable, match="the disk is full"):
        lake.write(DEPLOYMENT, DAY, 2, breaks)
    again = ParquetLake(str(tmp_path))
    assert again.days(DEPLOYMENT) == {DAY: 1}
    again.write(DEPLOYMENT, DAY + 1, 1, batches(row("b3", {"a": 2.5})))
    assert columns(tmp_path) == columns(tmp_path, "2013-03-12")


def test_any_file_system_that_fsspec_knows_is_a_lake() -> None:
    ParquetLake("memory://lake").write(DEPLOYMENT, DAY, 5, batches(row()))
    assert ParquetLake("memory://lake").days(DEPLOYMENT) == {DAY: 5}


def test_the_manifest_can_be_read_by_people(tmp_path: Path) -> None:
    ParquetLake(str(tmp_path)).write(DEPLOYMENT, DAY, 5, batches(row()))
    said = json.loads((tmp_path / DEPLOYMENT / "_export.json").read_text())
    assert said["days"] == {"2013-03-11": 5}
    assert said["columns"]["feature_carrier"] == "string"


@pytest.mark.parametrize("to", ["nosuch://bucket", "/proc/nowhere"])
def test_a_place_that_cannot_be_written_is_named(to: str) -> None:
    with pytest.raises(LakeUnavailable, match=to.split(":", maxsplit=1)[0]):
        ParquetLake(to).write(DEPLOYMENT, DAY, 1, batches(row()))
