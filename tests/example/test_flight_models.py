import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

from gateway.adapters.models.joblib_folder import JoblibFolder
from gateway.adapters.models.mlflow import MlflowModelStore
from gateway.adapters.models.prepare import ModelCache
from gateway.core.errors import ModelFailed, ModelUnusable
from models.flights import data, register, train
from models.flights.estimators import HISTORY_COLUMNS, REQUEST_COLUMNS
from models.flights.layout import MODEL, Layout
from models.flights.replay import flights_between
from models.flights.train import STORY

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*noload.*")


@pytest.fixture(scope="module")
def march(example: Layout) -> pd.DataFrame:
    return train.labelled(example, (3,))


def served(example: Layout, number: int, march: pd.DataFrame) -> train.Figures:
    return train.evaluate(train.load(example, number), STORY[number], march)


def test_histories_are_worth_two_points_of_accuracy_and_more(example: Layout, march: pd.DataFrame) -> None:
    request_only, with_histories = served(example, 1, march), served(example, 2, march)
    assert with_histories.accuracy > request_only.accuracy + 0.02
    assert with_histories.brier < request_only.brier
    assert with_histories.auc > request_only.auc + 0.05


def test_version_3_passes_its_own_offline_test_and_fails_on_what_the_store_serves(
    example: Layout, march: pd.DataFrame
) -> None:
    offline = train.figures(example, 3)["accuracy"]
    assert offline > train.figures(example, 2)["accuracy"] - 0.01
    assert served(example, 3, march).accuracy < served(example, 2, march).accuracy - 0.05


def test_version_4_raises_on_about_a_tenth_of_the_flights(example: Layout, march: pd.DataFrame) -> None:
    model, version = train.load(example, 4), STORY[4]
    raised = 0
    for row in train.rows_of(march.head(400), version.columns):
        try:
            model.predict([row])
        except KeyError:
            raised += 1
    assert 0.05 <= raised / 400 <= 0.15
    assert 0.05 <= served(example, 4, march).failed <= 0.15


@pytest.mark.parametrize("number", [1, 2, 3])
def test_lists_arrays_and_frames_are_answered_alike(example: Layout, march: pd.DataFrame, number: int) -> None:
    model, columns = train.load(example, number), STORY[number].columns
    rows = train.rows_of(march.head(50), columns)
    frame = pd.DataFrame(rows, columns=list(columns))[sorted(columns)]
    expected = model.predict_proba(rows)
    assert expected.shape == (50, 2)
    np.testing.assert_array_equal(model.predict_proba(np.array(rows, dtype=object)), expected)
    np.testing.assert_array_equal(model.predict_proba(frame), expected)
    assert set(model.predict(rows).tolist()) <= {0, 1}
    assert not hasattr(model, "feature_names_in_")


def test_a_history_that_is_missing_is_answered_whether_it_comes_as_none_or_as_nan(
    example: Layout, march: pd.DataFrame
) -> None:
    model, columns = train.load(example, 2), STORY[2].columns
    [row] = train.rows_of(march.head(1), columns)
    known = len(REQUEST_COLUMNS)
    absent: list[Any] = [None] * len(HISTORY_COLUMNS)
    none, nan = (model.predict_proba([[*row[:known], *fill]]) for fill in (absent, [float("nan")] * len(absent)))
    np.testing.assert_array_equal(none, nan)
    assert np.isfinite(none).all()


def test_a_word_never_seen_is_answered(example: Layout, march: pd.DataFrame) -> None:
    model = train.load(example, 2)
    [row] = train.rows_of(march.head(1), STORY[2].columns)
    assert np.isfinite(model.predict_proba([["ZZ", "XXX", "YYY", *row[3:]]])).all()


def test_training_twice_gives_the_same_model(example: Layout, march: pd.DataFrame) -> None:
    seen = train.labelled(example, (2,))
    rows = train.rows_of(march.head(20), STORY[2].columns)
    again = train.fit(STORY[2], seen)
    np.testing.assert_array_equal(train.load(example, 2).predict_proba(rows), again.predict_proba(rows))


@pytest.mark.parametrize("number", [1, 2])
def test_the_gateway_prepares_a_version_from_registry_and_folder_alike(
    example: Layout, tmp_path: Path, number: int
) -> None:
    uri = f"models:/{MODEL}/{number}"
    cards = [
        ModelCache(tmp_path / "mlflow").prepare(MlflowModelStore(example.registry), uri),
        ModelCache(tmp_path / "folder").prepare(JoblibFolder(example.model_folder), uri),
    ]
    assert cards[0].inputs == cards[1].inputs
    for card in cards:
        assert [field.name for field in card.inputs] == list(STORY[number].columns)
        assert (card.version, card.classes, card.feature_service) == (str(number), (0, 1), STORY[number].service)


def test_the_gateway_meets_version_4s_error_as_a_failed_model(
    example: Layout, march: pd.DataFrame, tmp_path: Path
) -> None:
    cache = ModelCache(tmp_path)
    model = cache.load(cache.prepare(MlflowModelStore(example.registry), f"models:/{MODEL}/4"))
    rare = march[~march["dest"].isin(list(train.load(example, 4).table))].head(1)  # type: ignore[attr-defined]
    with pytest.raises(ModelFailed, match="KeyError"):
        model.predict(train.rows_of(rare, STORY[4].columns))


def test_version_1_is_champion_and_nothing_is_to_be_tried(example: Layout) -> None:
    registry, folder = MlflowModelStore(example.registry), JoblibFolder(example.model_folder)
    for store in (registry, folder):
        assert store.resolve(f"models:/{MODEL}@champion") == f"models:/{MODEL}/1"
        with pytest.raises(ModelUnusable, match="no such alias"):
            store.resolve(f"models:/{MODEL}@challenger")


def test_a_manifest_says_what_the_row_is_made_of(example: Layout) -> None:
    folder = example.model_folder / MODEL / "2"
    said = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in said["inputs"]] == [*REQUEST_COLUMNS, *HISTORY_COLUMNS]
    assert {one["name"] for one in said["inputs"] if one["required"]} == set(REQUEST_COLUMNS)
    [answer] = joblib.load(folder / "model.joblib").predict([[one["example"] for one in said["inputs"]]])
    assert answer in said["classes"]


def test_registering_again_numbers_the_versions_from_one_again(example: Layout) -> None:
    register.register(example)
    assert MlflowModelStore(example.registry).resolve(f"models:/{MODEL}/latest") == f"models:/{MODEL}/4"


def test_flights_are_replayed_in_order_with_what_the_request_knows_and_the_truth_beside(example: Layout) -> None:
    first = date(2013, 3, 1)
    flights = list(flights_between(example.root, first, first + timedelta(days=1)))
    times = [flight.at for flight in flights]
    assert times == sorted(times)
    assert data.instant(first) <= times[0] < times[-1] < data.instant(date(2013, 3, 3))
    assert {*flights[0].entities, *flights[0].features} >= set(REQUEST_COLUMNS)
    assert all(flight.landed_at is None or flight.landed_at > flight.at for flight in flights)
    assert all((flight.late is None) == (flight.landed_at is None) for flight in flights)


def test_a_sample_of_flights_depends_on_its_seed_and_not_on_the_days(example: Layout) -> None:
    first, last = date(2013, 3, 1), date(2013, 3, 4)
    whole = [flight.id for flight in flights_between(example.root, first, last, share=0.25, seed=3)]
    second = [flight.id for flight in flights_between(example.root, date(2013, 3, 2), last, share=0.25, seed=3)]
    other = [flight.id for flight in flights_between(example.root, first, last, share=0.25, seed=4)]
    everyone = [flight.id for flight in flights_between(example.root, first, last)]
    assert set(second) <= set(whole) < set(everyone)
    assert set(whole) != set(other)
    assert len(whole) == pytest.approx(0.25 * len(everyone), rel=0.1)
