"""The command that trains again: on a real export of a small log, into a real registry."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gateway.adapters.lake.parquet import ParquetLake
from gateway.adapters.models.mlflow import MlflowModelStore
from gateway.adapters.models.prepare import ModelCache
from gateway.adapters.models.profile import decode_profile
from gateway.core.events import JoinedRow, Position
from models.flights import register, retrain, train
from models.flights.continued import Continued, encoder_of
from models.flights.layout import MODEL, REPOSITORY, Layout
from models.flights.train import STORY
from tests.records import outcome, prediction

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*noload.*")
DAY_S = 86_400


@pytest.fixture(scope="module")
def march(example: Layout) -> pd.DataFrame:
    """A tenth of the flights that a gateway with version 2 would have served in the first days of March."""
    return train.labelled(example, (3,)).iloc[::10]


@pytest.fixture(scope="module")
def export(march: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of those flights and of one whose truth is not known, as ``gateway export`` writes it."""
    folder = tmp_path_factory.mktemp("lake")
    write(folder, march)
    return folder


def write(folder: Path, flights: pd.DataFrame) -> None:
    lake, columns = ParquetLake(str(folder)), STORY[2].columns
    rows = [
        _row(number, dict(zip(columns, values, strict=True)), late)
        for number, (values, late) in enumerate(
            zip(train.rows_of(flights, columns), flights["late"].tolist(), strict=True)
        )
    ]
    rows.append(JoinedRow(rows[-1].position, 1, rows[-1].record, {}))
    for day in sorted({int(row.record.at // DAY_S) for row in rows}):
        lake.write(MODEL, day, 1, lambda day=day: [[r for r in rows if r.record.at // DAY_S == day]])  # type: ignore[misc]


def _row(number: int, values: dict[str, object], late: int) -> JoinedRow:
    at, body = float(str(values["sched_dep_at"])), f"b{number}"
    typed = {name: _plain(kind, values[name]) for name, kind in STORY[2].columns.items()}
    statuses = bytes(3 if value is None else 0 for value in typed.values())
    record = prediction(
        body, at, names=tuple(typed), values=tuple(typed.values()), statuses=statuses, event_times=(None,) * len(typed)
    )
    return JoinedRow(Position(at, "s", number), 1, record, {"label": outcome(body, int(late), at + 7_200)})


def _plain(kind: type, value: object) -> object:
    return None if value is None or value != value else kind(value)


@pytest.fixture
def registry(example: Layout) -> Iterator[Layout]:
    """The registry before any retraining, also for whoever comes next."""
    yield example
    register.set_back(example)


def alias(layout: Layout, name: str) -> str:
    return MlflowModelStore(layout.registry).resolve(f"models:/{MODEL}@{name}")


def test_a_run_registers_a_version_with_its_profile_and_asks_for_it_to_be_tried(
    registry: Layout, export: Path, march: pd.DataFrame, tmp_path: Path
) -> None:
    register.client_of(registry).set_registered_model_alias(MODEL, "champion", "2")
    said = retrain.retrain(registry, export, "drift-1")
    assert said.startswith(f"{MODEL} 5 is challenger: {len(march):,} flights, 1 March to ")
    assert alias(registry, "challenger") == f"models:/{MODEL}/5"
    assert alias(registry, "champion") == f"models:/{MODEL}/2"
    cache = ModelCache(tmp_path)
    card = cache.prepare(MlflowModelStore(registry.registry), f"models:/{MODEL}/5")
    assert [field.name for field in card.inputs] == list(STORY[2].columns)
    assert card.feature_service == STORY[2].service
    loaded = cache.load(card)
    assert loaded.predict(train.rows_of(march.head(3), STORY[2].columns))
    profiled = decode_profile(next(tmp_path.rglob("profile.json")).read_bytes())
    assert {one.name for one in profiled.features} == {name for name in STORY[2].columns if not name.endswith("_at")}
    assert profiled.period_s == DAY_S
    assert {one.rows for one in profiled.features} == {len(march)}


def test_the_same_run_trains_once_and_another_one_again(registry: Layout, export: Path) -> None:
    register.client_of(registry).set_registered_model_alias(MODEL, "champion", "2")
    retrain.retrain(registry, export, "drift-1")
    register.client_of(registry).delete_registered_model_alias(MODEL, "challenger")
    assert retrain.retrain(registry, export, "drift-1") == f"{MODEL} 5 was trained by this run already"
    assert alias(registry, "challenger") == f"models:/{MODEL}/5"
    assert retrain.retrain(registry, export, "drift-2").startswith(f"{MODEL} 6 is challenger")


def test_a_version_that_has_had_its_life_is_not_asked_for_again(registry: Layout, export: Path) -> None:
    client = register.client_of(registry)
    client.set_registered_model_alias(MODEL, "champion", "2")
    retrain.retrain(registry, export, "drift-1")
    client.set_model_version_tag(MODEL, "5", f"gateway.{MODEL}.decision", "demoted")
    client.set_registered_model_alias(MODEL, "challenger", "3")
    retrain.retrain(registry, export, "drift-1")
    assert alias(registry, "challenger") == f"models:/{MODEL}/3"


def test_what_goes_on_from_version_1_asks_for_no_more_than_version_1_does(registry: Layout, export: Path) -> None:
    assert "version 1's" in retrain.retrain(registry, export, "drift-1")
    _, service = register.load(f"models:/{MODEL}/5")
    assert service is None


def test_a_model_goes_on_from_the_one_before_it(example: Layout, march: pd.DataFrame) -> None:
    before, rows = train.load(example, 2), train.rows_of(march, STORY[2].columns)
    late = march["late"].astype(int).to_numpy()
    model = Continued(before, encoder_of(before), seed=1).fit(rows, late)
    was, now = before.predict_proba(rows)[:, 1], model.predict_proba(rows)[:, 1]
    assert np.mean((now - late) ** 2) < np.mean((was - late) ** 2)
    assert np.corrcoef(was, now)[0, 1] > 0.9
    again = Continued(model, encoder_of(model), seed=1).fit(rows, late)
    assert again.predict(rows).tolist() == (again.predict_proba(rows)[:, 1] > 0.5).astype(int).tolist()


def test_what_cannot_be_gone_on_from_is_refused(example: Layout) -> None:
    with pytest.raises(TypeError, match="StaleTable has no flight encoder"):
        encoder_of(train.load(example, 4))


def test_flights_of_too_few_days_are_not_trained_on(march: pd.DataFrame, registry: Layout, tmp_path: Path) -> None:
    write(tmp_path, march[march["sched_dep_at"] < march["sched_dep_at"].min() + 3 * DAY_S])
    with pytest.raises(retrain.NothingToLearn, match=r"flights of [34] days; 10 are needed"):
        retrain.retrain(registry, tmp_path, "drift-1")


def test_the_window_takes_more_days_where_the_latest_hold_too_few(march: pd.DataFrame) -> None:
    day = march["sched_dep_at"].min() // DAY_S
    gap = march[(march["sched_dep_at"] // DAY_S - day).isin([0, 1, 2, 3, 4, 5, 6, 8, 9, 10])]
    assert len(retrain.window(gap, days=3)) == len(gap)
    assert len(retrain.window(march, days=3)) < len(march)


def test_the_command_says_what_is_missing(registry: Layout, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "models.flights.retrain", "--dir", str(registry.root)]
    nothing = subprocess.run(
        [*command, "--export", str(tmp_path), "--run", "drift-1"], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert nothing.stderr.splitlines()[-1] == f"There is no exported log at {tmp_path / MODEL}."
