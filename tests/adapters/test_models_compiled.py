"""Compiled forms: chosen by measurement, proved equal on rows that hurt, answered on the loop in company."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gateway.adapters.models import JoblibFolder, ModelCache, PoolRunner
from gateway.adapters.models.choosing import TOLERANCE, choose, proof_rows
from gateway.adapters.models.compiled import COMPILED_FILE, CompiledModel, forms, open_compiled
from gateway.adapters.models.inline import Inline
from gateway.adapters.models.joblib_folder import save
from gateway.adapters.models.sklearn_model import SklearnModel
from gateway.core.deployments import Field, Form, ModelCard, Task, Type
from gateway.core.errors import ModelFailed, ModelUnusable
from gateway.core.routing import Part

INPUTS = tuple(Field(f"x{n}", Type.NUMBER, example=0.1) for n in range(4))
RANDOM = np.random.default_rng(3)
ROWS = RANDOM.normal(size=(300, 4))
LABELS = (ROWS.sum(axis=1) > 0.0).astype(int)


def card(task: Task = Task.BINARY, classes: tuple[int | str, ...] = (0, 1), **said: Any) -> ModelCard:
    return ModelCard("m", "1", "models:/m/1", "d", "joblib", ".", INPUTS, task, classes, **said)


class Counting:
    """An engine that answers the first input as the probability, and counts its calls."""

    dtype: type[np.floating[Any]] = np.float64

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, matrix: NDArray[Any]) -> NDArray[Any]:
        self.calls.append(len(matrix))
        if np.isnan(matrix).any():
            raise ValueError("no gaps")
        return np.column_stack([1.0 - matrix[:, 0], matrix[:, 0]])


def inline(call_s: float = 1e-5, row_s: float = 1e-6) -> tuple[Inline, Counting]:
    engine = Counting()
    return Inline(CompiledModel(card(form=Form("onnx", call_s=call_s, row_s=row_s)), engine)), engine


# What runs on the loop.


def test_rows_are_best_asked_for_together_where_they_gain_by_it() -> None:
    model, engine = inline()
    assert model.together == 64
    assert [answer.score for answer in model.predict([(n / 10, 0.0, 0.0, 0.0) for n in range(5)])] == [
        n / 10 for n in range(5)
    ]
    assert engine.calls == [5]
    assert inline(call_s=1e-5, row_s=1e-5)[0].together == 1
    assert inline(call_s=1.0, row_s=1e-5)[0].together == 0, "too slow for the loop"


def test_a_row_the_model_fails_at_is_a_failure_of_the_call() -> None:
    model, _ = inline()
    with pytest.raises(ModelFailed):
        model.predict([(0.9, 0.0, 0.0, 0.0), (None, 0.0, 0.0, 0.0)])


def test_a_batch_too_long_for_the_loop_is_left_to_the_pool() -> None:
    model, _ = inline(call_s=1e-5, row_s=1e-5)
    assert model.takes([(0.1, 0.0, 0.0, 0.0)] * 100)
    assert not model.takes([(0.1, 0.0, 0.0, 0.0)] * 1_000)


@pytest.mark.parametrize("found", [[[0.5, np.nan]], [[1.2, -0.2]], [[0.5]], [[0.5, 0.5], [0.5, 0.5]]])
def test_native_code_that_gives_no_probabilities_has_failed(found: Any) -> None:
    class Broken(Counting):
        def __call__(self, matrix: NDArray[Any]) -> NDArray[Any]:
            self.calls.append(len(matrix))
            return np.array(found)

    with pytest.raises(ModelFailed) as failed:
        CompiledModel(card(), Broken()).predict([(0.0, 0.0, 0.0, 0.0)])
    assert failed.value.kind == "NotAnAnswer"


# What is chosen.


def test_text_stays_with_the_original_and_the_card_says_why() -> None:
    text = replace(card(), inputs=(*INPUTS, Field("carrier", Type.STRING)))
    model = SklearnModel(card(), LogisticRegression().fit(ROWS, LABELS))
    model._card = text
    form, content = choose(model, None)
    assert (form.kind, content) == ("original", b"")
    assert "takes text" in form.why


def test_the_proof_stands_at_and_beside_every_threshold_of_a_tree() -> None:
    forest = RandomForestClassifier(3, random_state=0).fit(ROWS, LABELS)
    cut = float(forest.estimators_[0].tree_.threshold[0])
    feature = int(forest.estimators_[0].tree_.feature[0])
    values = {row[feature] for row in proof_rows(INPUTS, forest)}
    assert {cut, float(np.nextafter(cut, np.inf)), float(np.float32(cut))} <= values


def test_a_form_of_other_bytes_than_were_proved_is_not_opened() -> None:
    with pytest.raises(ModelUnusable, match="is not what was proved"):
        open_compiled(b"other", card(form=Form("onnx", digest="0" * 64)))


def test_every_form_answers_to_the_word_that_cards_say() -> None:
    assert set(forms()) == {"linear", "onnx", "treelite"}


MODELS: dict[str, tuple[Any, Task, str]] = {
    "logistic pipeline": (make_pipeline(StandardScaler(), LogisticRegression()), Task.BINARY, "linear"),
    "forest": (RandomForestClassifier(20, random_state=0), Task.BINARY, "onnx treelite"),
    "boosting": (HistGradientBoostingClassifier(max_iter=20), Task.BINARY, "treelite"),
    "linear regression": (LinearRegression(), Task.REGRESSION, "linear"),
    "forest of numbers": (RandomForestRegressor(20, random_state=0), Task.REGRESSION, "onnx treelite"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_compiled_form_answers_as_the_original_does(name: str) -> None:
    for package in ("skl2onnx", "onnxruntime", "treelite"):
        pytest.importorskip(package)
    estimator, task, expected = MODELS[name]
    estimator.fit(ROWS, LABELS)
    classes = () if task is Task.REGRESSION else (0, 1)
    original = SklearnModel(card(task, classes), estimator)
    form, content = choose(original, estimator)
    assert form.kind in expected.split(), form.why
    if form.kind == "original":
        return
    compiled = open_compiled(content, card(task, classes, form=form))
    fresh = [tuple(map(float, row)) for row in RANDOM.normal(size=(200, 4))]
    for old, new in zip(original.predict(fresh), compiled.predict(fresh), strict=True):
        if task is Task.BINARY:
            assert new.label == old.label
            assert new.score == pytest.approx(old.score, abs=TOLERANCE)
        else:
            assert new.label == pytest.approx(old.label, abs=TOLERANCE)


async def test_a_prepared_model_runs_compiled_without_anybody_asking(tmp_path: Path) -> None:
    save(tmp_path / "models", "m", "1", LogisticRegression().fit(ROWS, LABELS), inputs=INPUTS)
    cache, runner = ModelCache(tmp_path / "cache"), PoolRunner()
    prepared = cache.prepare(JoblibFolder(tmp_path / "models"), "models:/m/1")
    assert prepared.form.kind in ("linear", "onnx")  # whichever was quicker just then
    assert "equals the original" in prepared.form.why
    runner.install(cache.load(prepared))
    [answer] = await runner.predict(Part("stable", "g", prepared), [(1.0, 1.0, 1.0, 1.0)], 1.0)
    assert answer.label == 1
    assert runner.under_way() == {}
    (tmp_path / "cache" / prepared.digest / COMPILED_FILE).write_bytes(b"other")
    with pytest.raises(ModelUnusable, match="is not what was proved"):
        cache.load(prepared)
    again = cache.prepare(JoblibFolder(tmp_path / "models"), "models:/m/1")
    assert replace(again, form=prepared.form) == prepared  # the times it was chosen by are measured again
    cache.load(again)
