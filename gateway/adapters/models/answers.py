"""What models return, as outputs in plain Python values; a non-answer is a failure that says so.

Models are foreign: they may return the wrong shape, NaN, a nest of lists. The rest of the house relies on it that an
Output's numbers are finite and its label is one of the card's classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.adapters.models.foreign import Foreign
from gateway.core.deployments import Task
from gateway.core.errors import ModelFailed
from gateway.ports import Output

NOT_AN_ANSWER = "NotAnAnswer"


def numbers(values: Foreign, rows: int) -> list[Output]:
    """Read a regressor's answer: ``rows`` finite numbers, as a vector or a matrix of one column."""
    array = _array(values)
    if array.dtype.kind not in "iuf" or array.shape not in ((rows,), (rows, 1)) or not np.isfinite(array).all():
        raise ModelFailed(NOT_AN_ANSWER)
    return [Output(float(value)) for value in array.ravel().tolist()]


def several(values: Foreign, rows: int, names: Sequence[str]) -> list[Output]:
    """Read the answer of a model with several outputs: a table, or a matrix (rows, outputs), of finite numbers."""
    if isinstance(values, Mapping):
        columns = [_array(values.get(name, ())).reshape(-1) for name in names]
        if any(column.shape != (rows,) for column in columns):
            raise ModelFailed(NOT_AN_ANSWER)
        values = np.column_stack(columns)
    array = _array(values)
    if array.dtype.kind == "O":  # columns of different types
        array = _array(array.tolist())
    if array.dtype.kind not in "biuf" or array.shape != (rows, len(names)) or not np.isfinite(array).all():
        raise ModelFailed(NOT_AN_ANSWER)
    return [Output(None, scores=dict(zip(names, map(float, row), strict=True))) for row in array.tolist()]


def open_labels(values: Foreign, rows: int) -> list[Output]:
    """Read the labels of a classifier whose classes are not known beforehand: integers, text, truth values."""
    array = _array(values)
    if array.shape not in ((rows,), (rows, 1)):
        raise ModelFailed(NOT_AN_ANSWER)
    found = array.ravel().tolist()
    try:
        names = class_names(found)
    except TypeError as error:  # a label that cannot even be looked up
        raise ModelFailed(NOT_AN_ANSWER) from error
    if names is None:
        raise ModelFailed(NOT_AN_ANSWER)
    return [Output(names[label]) for label in found]


def labels(values: Foreign, rows: int, classes: Mapping[Any, int | str]) -> list[Output]:
    """Read a classifier's labels: a vector of the values in ``classes``, which names the card's class for each."""
    array = _array(values)
    if array.shape != (rows,):
        raise ModelFailed(NOT_AN_ANSWER)
    try:
        return [Output(classes[value]) for value in array.tolist()]
    except (KeyError, TypeError) as error:  # a label that is no class, or cannot even be looked up
        raise ModelFailed(NOT_AN_ANSWER) from error


def probabilities(values: Foreign, rows: int, task: Task, classes: Sequence[int | str]) -> list[Output]:
    """Read a matrix (rows, classes) of probabilities; the most probable class (the first of equals) is the label.

    A binary answer carries the probability of the second class as its score, a multi-class one all of them by class.
    """
    array = _array(values)
    if array.dtype.kind != "f" or array.shape != (rows, len(classes)):
        raise ModelFailed(NOT_AN_ANSWER)
    if not ((array >= 0.0) & (array <= 1.0)).all():  # false for NaN too
        raise ModelFailed(NOT_AN_ANSWER)
    chosen = array.argmax(axis=1).tolist()
    if task is Task.BINARY:
        return [Output(classes[index], score=score) for index, score in zip(chosen, array[:, 1].tolist(), strict=True)]
    names = [str(label) for label in classes]
    return [
        Output(classes[index], scores=dict(zip(names, row, strict=True)))
        for index, row in zip(chosen, array.tolist(), strict=True)
    ]


def class_names(found: Sequence[Any]) -> dict[Any, int | str] | None:
    """Name each of a classifier's own labels as cards do: integers and text; truth values and whole floats become ints.

    None where a label is neither.

    >>> class_names([False, True])
    {False: 0, True: 1}
    >>> class_names([0.5, 1.5]) is None
    True
    """
    names: dict[Any, int | str] = {}
    for label in found:
        if isinstance(label, str):
            names[label] = label
        elif isinstance(label, (bool, int, float)) and float(label).is_integer():
            names[label] = int(label)
        else:
            return None
    return names


def _array(values: Foreign) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:  # rows of different lengths
        raise ModelFailed(NOT_AN_ANSWER) from error
