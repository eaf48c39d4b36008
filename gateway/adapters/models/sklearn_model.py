"""A scikit-learn estimator as a model: rows in, plain outputs out, as cheaply as the estimator allows.

Also says what an estimator wants and gives (``inputs_of``, ``task_of``, ``classes_of``) where no manifest or
signature does. It knows nothing of files: how an estimator came here is :mod:`gateway.adapters.models.flavours`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gateway.adapters.models import answers
from gateway.adapters.models.foreign import Foreign
from gateway.adapters.models.rows import Arrange, as_matrix, as_objects, example_row, framer
from gateway.core.deployments import Field, ModelCard, Scalar, Task, Type
from gateway.core.errors import ModelFailed, ModelUnusable
from gateway.ports import Output

_MOST_PROBABLE_CLASS = frozenset(
    {
        "DecisionTreeClassifier",
        "ExtraTreeClassifier",
        "ExtraTreesClassifier",
        "GaussianNB",
        "HistGradientBoostingClassifier",
        "KNeighborsClassifier",
        "LinearDiscriminantAnalysis",
        "LogisticRegression",
        "MLPClassifier",
        "RandomForestClassifier",
    }
)
"""scikit-learn's classifiers whose ``predict`` is the argmax of ``predict_proba``: one call answers for both.

Others may choose their label otherwise (a tuned threshold, a decision function), so they are asked twice.
"""


class SklearnModel:
    """A fitted estimator (or pipeline) behind the Model port."""

    def __init__(self, card: ModelCard, estimator: Foreign) -> None:
        """Take over ``estimator``: it is changed here, and must not be used by anybody else."""
        self._card = card
        self._estimator = estimator
        self._arrange = _arrangement(card, estimator)
        self._classes: dict[Any, int | str] = {}
        self._gives_probabilities = False
        self._one_call = False
        if card.task in (Task.BINARY, Task.MULTICLASS):
            self._classes = _own_classes(card, estimator)
            self._gives_probabilities = hasattr(estimator, "predict_proba")
            self._one_call = type(_last(estimator)).__name__ in _MOST_PROBABLE_CLASS and _is_sklearns(_last(estimator))

    @property
    def card(self) -> ModelCard:
        """What it is, takes and gives."""
        return self._card

    def predict(self, rows: Sequence[Sequence[Scalar]]) -> list[Output]:
        """Answer rows whose values stand in the order of ``card.inputs``. Raises ModelFailed."""
        try:
            return self._answer(rows)
        except ModelFailed:
            raise
        except Exception as error:  # an estimator is foreign code and may raise anything
            raise ModelFailed(type(error).__name__) from error

    def _answer(self, rows: Sequence[Sequence[Scalar]]) -> list[Output]:
        features = self._arrange(rows)
        if self._card.task is Task.REGRESSION:
            return answers.numbers(self._estimator.predict(features), len(rows))
        if self._card.task is Task.MULTIOUTPUT:
            return answers.several(self._estimator.predict(features), len(rows), self._card.outputs)
        if not self._gives_probabilities:
            return answers.labels(self._estimator.predict(features), len(rows), self._classes)
        found = self._estimator.predict_proba(features)
        scored = answers.probabilities(found, len(rows), self._card.task, self._card.classes)
        if self._one_call:
            return scored
        named = answers.labels(self._estimator.predict(features), len(rows), self._classes)
        return [Output(a.label, score=b.score, scores=b.scores) for a, b in zip(named, scored, strict=True)]


def inputs_of(estimator: Foreign) -> tuple[Field, ...]:
    """Name what an estimator was fitted on; columns without names are ``x0``, ``x1`` ... Raises ModelUnusable."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        count = getattr(estimator, "n_features_in_", None)
        if count is None:
            raise ModelUnusable("The model does not say what inputs it takes: give it a signature or a manifest.")
        names = [f"x{index}" for index in range(int(count))]
    return tuple(Field(str(name), Type.NUMBER) for name in names)


def task_of(estimator: Foreign) -> Task:
    """Say what kind of answer an estimator gives. Raises ModelUnusable."""
    from sklearn.base import is_classifier, is_regressor  # scikit-learn takes a second to import

    try:
        regressor, classifier = is_regressor(estimator), is_classifier(estimator)
    except AttributeError:  # scikit-learn asks for tags, which only estimators have
        regressor, classifier = False, False
    if regressor:
        return Task.REGRESSION
    if classifier and isinstance(getattr(estimator, "classes_", None), list):  # an array of classes per output
        return Task.MULTIOUTPUT
    if not classifier or not hasattr(estimator, "classes_"):
        raise ModelUnusable(f"A {type(estimator).__name__} is neither a fitted classifier nor a regressor.")
    return Task.BINARY if len(estimator.classes_) == 2 else Task.MULTICLASS


def width_of(estimator: Foreign, inputs: Sequence[Field]) -> int:
    """Count an estimator's answers to one row by asking it; where it fails at a row made up, by what it says."""
    row, _ = example_row(inputs)
    text = any(field.type is Type.STRING for field in inputs)
    named = getattr(estimator, "feature_names_in_", None) is not None
    arrange = framer(inputs) if named else as_objects if text else as_matrix
    try:
        found = np.asarray(estimator.predict(arrange([row])))
    except Exception:  # noqa: BLE001 - an estimator is foreign code, and the row need not make sense to it
        return int(getattr(_last(estimator), "n_outputs_", 1))
    return found.shape[1] if found.ndim == 2 else 1


def classes_of(estimator: Foreign, task: Task) -> tuple[int | str, ...]:
    """Name the classes in the order of the estimator's probabilities. Raises ModelUnusable."""
    if task in (Task.REGRESSION, Task.MULTIOUTPUT):
        return ()
    found = getattr(estimator, "classes_", None)
    names = None if found is None else answers.class_names(_plain(found))
    if names is None:
        raise ModelUnusable("The model's classes are neither integers nor text.")
    classes = tuple(names.values())
    if (len(classes) == 2) is not (task is Task.BINARY) or len(classes) < 2:
        raise ModelUnusable(f"A {task} model has been declared, but the model knows {len(classes)} classes.")
    return classes


def _own_classes(card: ModelCard, estimator: Foreign) -> dict[Any, int | str]:
    classes = classes_of(estimator, card.task)
    if classes != card.classes:
        raise ModelUnusable(f"The card names other classes than the model {card.name} {card.version} knows.")
    return dict(zip(_plain(estimator.classes_), classes, strict=True))


def _arrangement(card: ModelCard, estimator: Foreign) -> Arrange:
    """Choose the cheapest form of rows that gives the same answers as what the estimator was fitted on."""
    names = getattr(estimator, "feature_names_in_", None)
    text = any(field.type is Type.STRING for field in card.inputs)
    if names is None:
        return as_objects if text else as_matrix
    steps = list(_steps(estimator))
    if text or not all(_indifferent_to_names(step) for step in steps):
        return framer(card.inputs)
    if [str(name) for name in names] != [field.name for field in card.inputs]:
        raise ModelUnusable("The model's inputs are declared in another order than it was fitted on.")
    for step in steps:
        vars(step).pop("feature_names_in_", None)  # the order is checked: scikit-learn need not warn about names
    return as_matrix


def _indifferent_to_names(step: Foreign) -> bool:
    """Whether a step sees columns by position only: scikit-learn's own, and nothing inside it remembers names."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import FunctionTransformer

    if not _is_sklearns(step) or isinstance(step, (ColumnTransformer, FunctionTransformer)):
        return False
    if "_sklearn_output_config" in vars(step):  # set_output: the next step gets a frame from this one
        return False
    return not any("feature_names_in_" in getattr(part, "__dict__", {}) for part in _parts(step))


def _parts(step: Foreign) -> Iterator[Any]:
    for value in vars(step).values():
        if isinstance(value, (list, tuple)):
            for item in value:
                yield from item if isinstance(item, (list, tuple)) else (item,)
        else:
            yield value


def _steps(estimator: Foreign) -> Iterator[Any]:
    steps = getattr(estimator, "steps", None)
    if steps is None:
        yield estimator
    else:
        for _, step in steps:
            if step is not None and step != "passthrough":
                yield from _steps(step)


def _last(estimator: Foreign) -> Foreign:
    return list(_steps(estimator))[-1]


def _is_sklearns(step: Foreign) -> bool:
    return type(step).__module__.startswith("sklearn.")


def _plain(found: Foreign) -> list[Any]:
    return found.tolist() if hasattr(found, "tolist") else list(found)
