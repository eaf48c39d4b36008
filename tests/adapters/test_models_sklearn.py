"""A served estimator answers what the trained one answers, in plain values, quickly, and without warnings."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from gateway.adapters.models import sklearn_model
from gateway.adapters.models.answers import open_labels, several
from gateway.adapters.models.sklearn_model import SklearnModel, classes_of, inputs_of, task_of, width_of
from gateway.core.deployments import Field, ModelCard, Scalar, Task, Type
from gateway.core.errors import ModelFailed, ModelUnusable

RNG = np.random.default_rng(11)
TABLE = pd.DataFrame(RNG.normal(size=(120, 3)), columns=["a", "b", "c"])
MATRIX = TABLE.to_numpy()
TWO = (TABLE["a"] + RNG.normal(size=120) > 0).to_numpy().astype(int)
THREE = RNG.choice(["late", "on time", "cancelled"], 120)


def served(estimator: Any, inputs: tuple[Field, ...] | None = None) -> SklearnModel:
    task = task_of(estimator)
    card = ModelCard(
        name="m",
        version="1",
        uri="models:/m/1",
        digest="d",
        flavour="joblib",
        path="d/artifact",
        inputs=inputs or inputs_of(estimator),
        task=task,
        classes=classes_of(estimator, task),
    )
    return SklearnModel(card, estimator)


FAST: dict[str, Callable[[], Any]] = {
    "DecisionTreeClassifier": lambda: DecisionTreeClassifier(max_depth=3, random_state=0),
    "ExtraTreeClassifier": lambda: ExtraTreeClassifier(max_depth=3, random_state=0),
    "ExtraTreesClassifier": lambda: ExtraTreesClassifier(8, random_state=0),
    "GaussianNB": GaussianNB,
    "HistGradientBoostingClassifier": lambda: HistGradientBoostingClassifier(max_iter=5),
    "KNeighborsClassifier": lambda: KNeighborsClassifier(4),
    "LinearDiscriminantAnalysis": LinearDiscriminantAnalysis,
    "LogisticRegression": LogisticRegression,
    "MLPClassifier": lambda: MLPClassifier((4,), max_iter=2000, random_state=0),
    "RandomForestClassifier": lambda: RandomForestClassifier(8, random_state=0),
}


def test_every_classifier_answered_in_one_call_is_checked_below() -> None:
    assert set(FAST) == sklearn_model._MOST_PROBABLE_CLASS


@pytest.mark.parametrize("truth", [TWO, THREE], ids=["binary", "three classes"])
@pytest.mark.parametrize("name", FAST)
def test_one_call_gives_the_label_that_predict_gives(name: str, truth: Any) -> None:
    estimator = FAST[name]().fit(MATRIX, truth)
    expected = estimator.predict(MATRIX).tolist()
    assert [each.label for each in served(estimator).predict(MATRIX.tolist())] == expected


@pytest.mark.parametrize("fitted_on", [TABLE, MATRIX], ids=["a frame", "a matrix"])
def test_a_binary_classifier_gives_label_and_score_of_the_second_class(fitted_on: Any) -> None:
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(fitted_on, TWO)
    expected = estimator.predict_proba(fitted_on)[:, 1].tolist()
    answers = served(estimator).predict(MATRIX.tolist())
    assert [each.score for each in answers] == pytest.approx(expected, abs=1e-12)
    assert {type(each.label) for each in answers} == {int}
    assert {type(each.score) for each in answers} == {float}
    assert {each.scores for each in answers} == {None}


def test_a_multi_class_model_gives_every_class_its_probability() -> None:
    estimator = LogisticRegression().fit(MATRIX, THREE)
    answer = served(estimator).predict(MATRIX[:1].tolist())[0]
    assert answer.scores is not None and set(answer.scores) == {"cancelled", "late", "on time"}
    assert sum(answer.scores.values()) == pytest.approx(1.0)
    assert answer.label == max(answer.scores, key=answer.scores.__getitem__)
    assert answer.score is None


def test_a_regressor_gives_a_float() -> None:
    estimator = HistGradientBoostingRegressor(max_iter=5).fit(TABLE, MATRIX[:, 0])
    expected = estimator.predict(TABLE).tolist()
    answers = served(estimator).predict(MATRIX.tolist())
    assert [each.label for each in answers] == expected


def test_a_threshold_that_was_tuned_decides_the_label() -> None:
    eager = FixedThresholdClassifier(LogisticRegression(), threshold=0.1).fit(MATRIX, TWO)
    answers = served(eager).predict(MATRIX.tolist())
    assert [each.label for each in answers] == eager.predict(MATRIX).tolist()
    assert any(each.label == 1 and each.score is not None and each.score < 0.5 for each in answers)


def test_a_classifier_without_probabilities_gives_labels_only() -> None:
    estimator = SGDClassifier(random_state=0).fit(MATRIX, THREE)
    answer = served(estimator).predict(MATRIX[:1].tolist())[0]
    assert (answer.label, answer.score, answer.scores) == (estimator.predict(MATRIX[:1])[0], None, None)


@pytest.mark.parametrize(("truth", "classes"), [(TWO.astype(bool), (0, 1)), (TWO.astype(float), (0, 1))])
def test_truth_values_and_whole_floats_are_integer_classes(truth: Any, classes: tuple[int, ...]) -> None:
    model = served(LogisticRegression().fit(MATRIX, truth))
    assert model.card.classes == classes
    assert type(model.predict(MATRIX[:1].tolist())[0].label) is int


def test_a_missing_number_reaches_the_model_as_nan() -> None:
    estimator = HistGradientBoostingClassifier(max_iter=5).fit(TABLE, TWO)
    expected = estimator.predict_proba(TABLE.head(1).assign(b=np.nan))[0, 1]
    row = MATRIX[0].tolist()
    assert served(estimator).predict([[row[0], None, row[2]]])[0].score == expected


def test_a_step_that_reads_columns_by_name_gets_a_frame() -> None:
    estimator = make_pipeline(FunctionTransformer(_ratio), LogisticRegression()).fit(TABLE, TWO)
    expected = estimator.predict_proba(TABLE)[:, 1].tolist()
    assert [each.score for each in served(estimator).predict(MATRIX.tolist())] == expected


def test_a_pipeline_that_hands_on_frames_gets_a_frame() -> None:
    estimator = make_pipeline(StandardScaler().set_output(transform="pandas"), LogisticRegression()).fit(TABLE, TWO)
    expected = estimator.predict_proba(TABLE)[:, 1].tolist()
    assert [each.score for each in served(estimator).predict(MATRIX.tolist())] == pytest.approx(expected, abs=1e-12)


def test_text_for_an_estimator_without_names_comes_as_it_is() -> None:
    rows: list[list[Scalar]] = [["UA", 17], ["B6", 3]] * 20
    estimator = make_pipeline(FunctionTransformer(_second_column), LogisticRegression())
    estimator.fit(np.array(rows, dtype=object), [1, 0] * 20)
    model = served(estimator, (Field("carrier", Type.STRING), Field("hour", Type.INTEGER)))
    assert [each.label for each in model.predict(rows[:2])] == [1, 0]


def test_inputs_declared_in_another_order_than_fitted_are_refused() -> None:
    estimator = LogisticRegression().fit(TABLE, TWO)
    with pytest.raises(ModelUnusable, match="another order"):
        served(estimator, tuple(Field(name, Type.NUMBER) for name in "bac"))


class Broken:
    """A regressor that returns what it was told to."""

    n_features_in_ = 1

    def __init__(self, returns: Any) -> None:
        self._returns = returns

    def predict(self, _: Any) -> Any:
        if isinstance(self._returns, Exception):
            raise self._returns
        return self._returns


@pytest.mark.parametrize(
    ("returns", "kind"),
    [
        ([float("nan")], "NotAnAnswer"),
        ([float("inf")], "NotAnAnswer"),
        ([1.0, 2.0], "NotAnAnswer"),
        ([], "NotAnAnswer"),
        ([[1.0, 2.0]], "NotAnAnswer"),
        ([[1.0], [2.0, 3.0]], "NotAnAnswer"),
        (["soon"], "NotAnAnswer"),
        ([None], "NotAnAnswer"),
        (None, "NotAnAnswer"),
        (KeyError("dest"), "KeyError"),
        (MemoryError(), "MemoryError"),
    ],
    ids=str,
)
def test_a_non_answer_or_an_error_is_a_failure_that_names_its_kind(returns: Any, kind: str) -> None:
    card = ModelCard("m", "1", "models:/m/1", "d", "joblib", "d", (Field("x0", Type.NUMBER),), Task.REGRESSION)
    with pytest.raises(ModelFailed) as caught:
        SklearnModel(card, Broken(returns)).predict([[1.0]])
    assert caught.value.kind == kind


def _ratio(table: Any) -> Any:
    return table[["a"]] / (1.0 + table[["b"]].abs().to_numpy())


def _second_column(rows: Any) -> Any:
    return rows[:, 1:].astype(float)


# Several outputs.


@pytest.mark.parametrize(
    "estimator", [MultiOutputRegressor(LinearRegression()), LinearRegression(), DecisionTreeRegressor()]
)
def test_an_estimator_with_several_outputs_is_found_out_by_asking_it(estimator: Any) -> None:
    rows = np.arange(20.0).reshape(10, 2)
    fitted = estimator.fit(rows, np.column_stack([rows[:, 0], 2.0 * rows[:, 1]]))
    inputs = inputs_of(fitted)
    assert (task_of(fitted), width_of(fitted, inputs)) == (Task.REGRESSION, 2)
    card = ModelCard("m", "1", "memory:m", "d", "joblib", ".", inputs, Task.MULTIOUTPUT, outputs=("a", "b"))
    [said] = SklearnModel(card, fitted).predict([[4.0, 5.0]])
    assert said.label is None
    assert said.scores == pytest.approx({"a": 4.0, "b": 10.0})


@pytest.mark.parametrize(
    "answer", [[[1.0]], [[1.0, 2.0, 3.0]], [[1.0, np.nan]], [["a", "b"]], [1.0, 2.0], {"a": [1.0]}]
)
def test_what_is_no_row_of_the_outputs_is_no_answer(answer: Any) -> None:
    with pytest.raises(ModelFailed):
        several(answer, 1, ("a", "b"))


def test_columns_of_different_types_are_numbers_all_the_same() -> None:
    mixed = np.array([[1, 2.5], [True, 0.5]], dtype=object)
    assert [each.scores for each in several(mixed, 2, ("a", "b"))] == [{"a": 1.0, "b": 2.5}, {"a": 1.0, "b": 0.5}]


def test_labels_of_unknown_classes_are_text_and_integers() -> None:
    assert [each.label for each in open_labels(["a", "b"], 2)] == ["a", "b"]
    assert [each.label for each in open_labels(np.array([[True], [False]]), 2)] == [1, 0]
    for answer in ([0.5], [[1, 2]], [None], [["a", "b"]]):
        with pytest.raises(ModelFailed):
            open_labels(answer, 1)
