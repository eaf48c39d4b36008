"""Linear models as numbers: what is folded equals what was fitted, and what cannot be folded is left alone."""

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, PolynomialFeatures, StandardScaler

from gateway.adapters.models.compiled import CompiledModel
from gateway.adapters.models.linear import Linear, Unfit
from gateway.core.deployments import Field, ModelCard, Task, Type
from gateway.core.errors import ModelFailed

RANDOM = np.random.default_rng(5)
ROWS = RANDOM.normal(size=(300, 4)) * (1.0, 50.0, 1e-3, 1.0) + (0.0, 1.7e9, 0.0, -4.0)
"""Inputs of unlike scales; the second is a time in seconds."""
SCORE = StandardScaler().fit_transform(ROWS).sum(axis=1)
YES_NO = (SCORE > 0.0).astype(int)
THREE = np.digitize(SCORE, (-1.0, 1.0))


def card(task: Task, classes: tuple[int, ...] = ()) -> ModelCard:
    inputs = tuple(Field(f"x{n}", Type.NUMBER) for n in range(4))
    return ModelCard("m", "1", "models:/m/1", "d", "joblib", ".", inputs, task, classes)


def compiled(estimator: Any, said: ModelCard) -> CompiledModel:
    form = Linear()
    return CompiledModel(said, form.open(form.compile(estimator, said), said))


SCALERS: dict[str, list[Any]] = {
    "none": [StandardScaler()],
    "two": [StandardScaler(with_std=False), StandardScaler(with_mean=False)],
    "to a range": [MinMaxScaler((-1.0, 1.0))],
    "by the greatest": [StandardScaler(), MaxAbsScaler()],
}


@pytest.mark.parametrize("name", SCALERS)
def test_a_classifier_of_two_classes_gives_the_originals_probabilities(name: str) -> None:
    estimator = make_pipeline(*SCALERS[name], LogisticRegression()).fit(ROWS, YES_NO)
    found = compiled(estimator, card(Task.BINARY, (0, 1))).predict(ROWS.tolist())
    assert [output.label for output in found] == estimator.predict(ROWS).tolist()
    assert [output.score for output in found] == pytest.approx(estimator.predict_proba(ROWS)[:, 1], abs=1e-7)


def test_a_classifier_of_several_classes_gives_the_originals_probabilities() -> None:
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, THREE)
    found = compiled(estimator, card(Task.MULTICLASS, (0, 1, 2))).predict(ROWS.tolist())
    assert [output.label for output in found] == estimator.predict(ROWS).tolist()
    scores = [list((output.scores or {}).values()) for output in found]
    assert scores == pytest.approx(estimator.predict_proba(ROWS), abs=1e-7)


@pytest.mark.parametrize("last", [Ridge(), ElasticNet(alpha=0.01)])
def test_a_regressor_gives_the_originals_numbers(last: Any) -> None:
    estimator = make_pipeline(StandardScaler(), last).fit(ROWS, SCORE)
    found = compiled(estimator, card(Task.REGRESSION)).predict(ROWS.tolist())
    assert [output.label for output in found] == pytest.approx(estimator.predict(ROWS), abs=1e-7)


def test_decisions_however_great_are_probabilities_and_a_gap_is_a_failure() -> None:
    estimator = LogisticRegression().fit(ROWS[:, [0, 2]], YES_NO)
    estimator.coef_ = np.array([[1e6, 0.0]])
    said = ModelCard("m", "1", "u", "d", "joblib", ".", card(Task.BINARY).inputs[:2], Task.BINARY, (0, 1))
    model = compiled(estimator, said)
    assert [output.score for output in model.predict([(-1e6, 0.0), (1e6, 0.0)])] == [0.0, 1.0]
    with pytest.raises(ModelFailed):
        model.predict([(None, 0.0)])


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(PolynomialFeatures(2), LogisticRegression()),
        make_pipeline(MinMaxScaler(clip=True), LogisticRegression()),
        SGDClassifier(loss="modified_huber"),
    ],
    ids=["another step", "a scaler that clips", "another classifier"],
)
def test_what_is_not_known_to_be_linear_is_left_to_others(estimator: Any) -> None:
    with pytest.raises(Unfit):
        Linear().compile(estimator.fit(ROWS, YES_NO), card(Task.BINARY, (0, 1)))


def test_a_class_of_the_same_name_from_elsewhere_is_not_taken() -> None:
    class LogisticRegressionCV(LogisticRegression):  # type: ignore[misc]
        pass

    LogisticRegressionCV.__module__ = "elsewhere"
    with pytest.raises(Unfit):
        Linear().compile(LogisticRegressionCV().fit(ROWS, YES_NO), card(Task.BINARY, (0, 1)))
