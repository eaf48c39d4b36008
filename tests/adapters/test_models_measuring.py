"""What measuring a model in a child process shows, and that a broken one hurts nobody."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from gateway.adapters.models import JoblibFolder, ModelCache, joblib_folder
from gateway.adapters.models.golden import golden_rows
from gateway.adapters.models.measuring import measure
from gateway.adapters.models.memory import MemoryModelStore, Script
from gateway.adapters.models.prepare import Limits
from gateway.core.deployments import Field, ModelCard, Scalar, Type
from gateway.core.errors import ModelUnusable

NUMBER = (Field("x", Type.NUMBER, example=1.0),)
TINY = Limits(wall_s=5.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def prepared(folder: Path, script: Script) -> ModelCard:
    store = MemoryModelStore()
    return ModelCache(folder).prepare(store, store.add("m", script))


def test_answers_latency_and_memory_are_measured_and_the_same_noise_moves_the_same_rows(folder: Path) -> None:
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(300, 1))
    estimator = LogisticRegression().fit(columns, (columns[:, 0] > 0).astype(int))
    joblib_folder.save(folder / "models", "m", "1", estimator, inputs=NUMBER)
    card = ModelCache(folder).prepare(JoblibFolder(folder / "models"), "models:/m/1")
    rows: list[list[Scalar]] = [[float(value)] for value in columns[:100, 0]]
    found = measure(folder, card, rows, 0.05)
    assert (found.golden, found.mistakes) == (1, ())
    assert list(found.answers) == estimator.predict(columns[:100]).tolist()
    assert 0.0 < found.latency_s < 1.0
    assert found.memory_bytes > 0
    flips = sum(one != other for one, other in zip(found.answers, found.shaken, strict=True))
    assert flips < 20
    assert measure(folder, card, rows, 0.05).shaken == found.shaken


def test_a_model_that_fails_at_rows_gives_no_answers_there(folder: Path) -> None:
    card = prepared(folder, Script(inputs=NUMBER, raises="ValueError", raise_every=2))
    found = measure(folder, card, [[1.0], [2.0], [3.0]], None)
    assert found.answers == (1.0, None, 3.0)


def test_a_model_that_is_too_slow_to_be_measured_is_refused_in_time(folder: Path) -> None:
    card = prepared(folder, Script(inputs=NUMBER, sleep_s=2.0))
    with pytest.raises(ModelUnusable, match="more than the 5 seconds"):
        measure(folder, card, [[1.0]] * 10, None, TINY)


def test_every_row_of_an_mlflow_example_is_a_golden_request() -> None:
    inputs = (Field("hour", Type.INTEGER), Field("late", Type.NUMBER))
    mlmodel = b"flavors: {sklearn: {}}\nsaved_input_example_info: {artifact_path: input_example.json}\n"
    split = b'{"columns": ["late", "hour"], "data": [[0.5, 7], [null, 8]]}'
    assert golden_rows(inputs, {"MLmodel": mlmodel, "input_example.json": split}) == [[7, 0.5], [8, None]]


def test_without_an_example_there_is_no_golden_request() -> None:
    assert golden_rows((Field("x", Type.NUMBER),), {}) == []
    assert golden_rows(NUMBER, {}) == [[1.0]]
