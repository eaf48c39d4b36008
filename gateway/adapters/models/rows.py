"""Request rows as estimators want them: a float matrix where that is enough, a DataFrame where names or text matter.

A matrix costs a microsecond and spares scikit-learn its name checks (a logistic regression answers one row in 70 us
from a matrix and in 400 us from a frame, measured on 2 vCPU), so it is used wherever it cannot change the answer.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway.core.deployments import Field, Scalar, Type

Rows: TypeAlias = Sequence[Sequence[Scalar]]
Arrange: TypeAlias = Callable[[Rows], Any]

_NEUTRAL: dict[Type, Scalar] = {Type.INTEGER: 0, Type.NUMBER: 0.0, Type.STRING: "", Type.BOOLEAN: False}
_GREATEST_INT64 = 2**63 - 1


def example_row(inputs: Sequence[Field]) -> tuple[tuple[Scalar, ...], bool]:
    """Make one row from the fields' examples, and say whether it is the model's own.

    A field without an example gives its default where it is optional; a required one a neutral value, and then the
    row is made up: that a model fails at it proves nothing.

    >>> example_row([Field("hour", Type.INTEGER, example=17), Field("carrier", Type.STRING)])
    ((17, ''), False)
    """
    row = tuple(
        field.example if field.example is not None or not field.required else _NEUTRAL[field.type] for field in inputs
    )
    return row, all(field.example is not None or not field.required for field in inputs)


def as_matrix(rows: Rows) -> NDArray[np.float64]:
    """Stack rows of numbers into float64 of shape (rows, inputs); None becomes NaN.

    >>> as_matrix([[1, None, True]])
    array([[ 1., nan,  1.]])
    """
    return np.array(rows, dtype=np.float64)


def as_objects(rows: Rows) -> NDArray[np.object_]:
    """Stack rows of anything into an object array of shape (rows, inputs)."""
    return np.array(rows, dtype=object)


def framer(inputs: Sequence[Field]) -> Arrange:
    """Return a function that turns rows into a DataFrame with one column per input, each of the input's type."""
    import pandas as pd  # only models that want frames pay for pandas

    columns = [(field.name, field.type, index) for index, field in enumerate(inputs)]

    def frame(rows: Rows) -> pd.DataFrame:
        data = {name: as_column([row[index] for row in rows], type_) for name, type_, index in columns}
        return pd.DataFrame(data, copy=False)

    return frame


def as_column(values: Sequence[Scalar], type_: Type) -> NDArray[Any]:
    """Make one column of its type: integers with gaps become floats, booleans with gaps and text stay objects."""
    if type_ is Type.NUMBER:
        return np.array(values, dtype=np.float64)
    if type_ is Type.INTEGER:
        fits = all(value is not None and abs(int(value)) <= _GREATEST_INT64 for value in values)
        return np.array(values, dtype=np.int64 if fits else np.float64)
    whole = type_ is Type.BOOLEAN and None not in values
    return np.array(values, dtype=np.bool_ if whole else object)
