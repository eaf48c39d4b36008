"""An MLflow pyfunc as a model. It needs a signature, and metadata that says what its answers mean.

``metadata={"task": "binary", "classes": [0, 1]}``: a vector of floats from a binary pyfunc is the probability of the
second class (label: at least one half), a matrix is probabilities by class, anything else is labels.
"""

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.adapters.models import answers, mlmodel
from gateway.adapters.models.artifacts import Files, write_files
from gateway.adapters.models.foreign import imported
from gateway.adapters.models.rows import Arrange, Rows
from gateway.core.deployments import ModelCard, Scalar, Task
from gateway.core.errors import ModelFailed, ModelUnusable
from gateway.ports import Output

_DTYPES = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "object",
}


class Pyfunc:
    """A loaded pyfunc with the private copy of its verified bytes, which lives exactly as long as it does."""

    def __init__(self, files: Files) -> None:
        """Load from ``files``. A pyfunc loads from a folder and may read it later, so it gets one nobody else knows."""
        pyfunc = imported("mlflow.pyfunc")
        self.described = mlmodel.parse(files[mlmodel.FILE_NAME])
        self.described.settings("python_function")
        copy = tempfile.mkdtemp(prefix="gateway-pyfunc-")
        weakref.finalize(self, shutil.rmtree, copy, ignore_errors=True)
        write_files(files, Path(copy))
        self.predict = pyfunc.load_model(copy).predict


class PyfuncModel:
    """A pyfunc behind the Model port."""

    def __init__(self, card: ModelCard, pyfunc: Pyfunc) -> None:
        self._card = card
        self._pyfunc = pyfunc
        self._arrange = _arrangement(pyfunc.described)

    @property
    def card(self) -> ModelCard:
        """What it is, takes and gives."""
        return self._card

    def predict(self, rows: Sequence[Sequence[Scalar]]) -> list[Output]:
        """Answer rows whose values stand in the order of ``card.inputs``. Raises ModelFailed."""
        try:
            found = np.asarray(self._pyfunc.predict(self._arrange(rows)))
        except Exception as error:  # a pyfunc is foreign code and may raise anything
            raise ModelFailed(type(error).__name__) from error
        return _read(found, len(rows), self._card)


def _read(found: NDArray[Any], rows: int, card: ModelCard) -> list[Output]:
    if card.task is Task.REGRESSION:
        return answers.numbers(found, rows)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim == 2:
        return answers.probabilities(found, rows, card.task, card.classes)
    if card.task is Task.BINARY and found.dtype.kind == "f":
        negative_first = np.stack([1.0 - found, found], axis=1)
        scored = answers.probabilities(negative_first, rows, card.task, card.classes)
        return [Output(card.classes[one.score is not None and one.score >= 0.5], one.score) for one in scored]
    return answers.labels(found, rows, {label: label for label in card.classes})


def _arrangement(described: mlmodel.MLmodel) -> Arrange:
    """Rows as MLflow's schema enforcement wants them: it converts nothing from float to integer or to float32."""
    columns = described.columns
    if not columns:
        raise ModelUnusable("A pyfunc needs a signature: without one it does not say what inputs it takes.")
    if columns[0]["type"] == "tensor":
        dtype = columns[0]["tensor-spec"]["dtype"]
        return lambda rows: np.array(rows, dtype=dtype)
    import pandas as pd  # a dependency of MLflow

    named = all(column.get("name") for column in columns)
    kinds = [(column.get("name") or index, _DTYPES[column["type"]]) for index, column in enumerate(columns)]

    def frame(rows: Rows) -> pd.DataFrame:
        data = {}
        for index, (name, dtype) in enumerate(kinds):
            values = [row[index] for row in rows]
            if not named or any(value is not None for value in values):  # MLflow wants absent optional columns left out
                data[name] = _column(values, dtype)
        return pd.DataFrame(data, index=range(len(rows)), copy=False)

    return frame


def _column(values: Sequence[Scalar], dtype: str) -> NDArray[Any]:
    gap = None in values and dtype != "object"
    return np.array(values, dtype=("object" if dtype == "bool" else "float64") if gap else dtype)
