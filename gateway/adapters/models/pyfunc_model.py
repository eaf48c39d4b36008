"""An MLflow pyfunc as a model. Metadata may say what its answers mean; ``mlinputs`` knows what it takes.

``metadata={"task": "binary", "classes": [0, 1]}``: a vector of floats from a binary pyfunc is the probability of the
second class (label: at least one half), a matrix is probabilities by class, anything else is labels. Of several answers
by name, as ONNX gives them, the one that is probabilities by class counts, else the first. Without metadata
its answer to its example tells: a float is a number, several numbers are several outputs, anything else is a label,
of classes that are not known beforehand.
"""

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.adapters.models import answers, mlinputs, mlmodel
from gateway.adapters.models.artifacts import Files, write_files
from gateway.adapters.models.foreign import Foreign, imported
from gateway.adapters.models.rows import Arrange, Rows, example_row
from gateway.core.deployments import Field, ModelCard, Scalar, Task
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
        self.described = mlinputs.completed(mlmodel.parse(files[mlmodel.FILE_NAME]), files)
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
            found = self._pyfunc.predict(self._arrange(rows))
        except Exception as error:  # a pyfunc is foreign code and may raise anything
            raise ModelFailed(type(error).__name__) from error
        if self._card.task is Task.MULTIOUTPUT:
            return answers.several(_table(found), len(rows), self._card.outputs)
        return _read(_values(found, len(rows), self._card.classes), len(rows), self._card)


def describe(pyfunc: Pyfunc, inputs: Sequence[Field]) -> tuple[Task, tuple[int | str, ...], tuple[str, ...]]:
    """Say what its answers are: task, classes, names of outputs. Raises ModelUnusable."""
    described = pyfunc.described
    task, classes, outputs = described.task(), described.classes(), described.outputs()
    if task is None and not classes:
        return _seen(pyfunc, inputs, outputs)
    if task is Task.MULTIOUTPUT and outputs and not classes:
        return task, (), outputs
    wanted = {Task.BINARY: len(classes) == 2, Task.MULTICLASS: len(classes) != 1, Task.REGRESSION: not classes}
    if task is None or not wanted.get(task):
        raise ModelUnusable(_SAY)
    return task, classes, ()


_SAY = (
    'A pyfunc is logged with metadata={"task": "binary", "classes": [0, 1]} (or multiclass with its classes, '
    'regression without, or multioutput with "outputs": [NAME, ...]), or with an example that shows what it answers.'
)


def _seen(
    pyfunc: Pyfunc, inputs: Sequence[Field], outputs: tuple[str, ...]
) -> tuple[Task, tuple[int | str, ...], tuple[str, ...]]:
    """See from its answer to one row what it gives. Raises ModelUnusable where it gives none."""
    row, _ = example_row(inputs)
    try:
        found = pyfunc.predict(_arrangement(pyfunc.described)([row]))
        table = np.asarray(_values(found, 1, ()))
    except Exception as error:  # a pyfunc is foreign code, and the row need not make sense to it
        raise ModelUnusable(_SAY) from error
    names = [str(name) for name in found] if hasattr(found, "columns") or isinstance(found, Mapping) else outputs
    if table.ndim == 2 and table.shape[1] > 1:
        return Task.MULTIOUTPUT, (), tuple(names) or tuple(f"y{index}" for index in range(table.shape[1]))
    flat = table.ravel().tolist()
    if len(flat) != 1 or not isinstance(flat[0], (bool, int, float, str)):
        raise ModelUnusable(_SAY)
    return (Task.REGRESSION if isinstance(flat[0], float) else Task.MULTICLASS), (), ()


def _table(found: Foreign) -> Foreign:
    """A frame's columns by name, with those of its answers that are one."""
    return {str(name): found[name].to_numpy() for name in found} if hasattr(found, "columns") else found


def _values(found: Foreign, rows: int, classes: Sequence[int | str]) -> NDArray[Any]:
    """Read an answer of one part, or the part of several by name that says most about these ``classes``."""
    if not isinstance(found, Mapping) and not hasattr(found, "columns"):
        return np.asarray(found)
    parts = [_part(found[name]) for name in found]
    chosen = next((part for part in parts if classes and part.shape == (rows, len(classes))), None)
    if chosen is not None:
        return chosen
    columns = all(part.shape in ((rows,), (rows, 1)) for part in parts) and (
        not classes or len(parts) in (1, len(classes))
    )
    return np.column_stack([part.reshape(-1) for part in parts]) if columns else parts[0]


def _part(found: Foreign) -> NDArray[Any]:
    """One answer by name; probabilities that come as maps by class, as skl2onnx writes them, become a matrix."""
    listed = found.tolist() if hasattr(found, "tolist") else list(found)
    if listed and all(isinstance(each, Mapping) for each in listed):
        return np.asarray([list(each.values()) for each in listed], dtype=np.float64)
    return np.asarray(found)


def _read(found: NDArray[Any], rows: int, card: ModelCard) -> list[Output]:
    if card.task is Task.REGRESSION:
        return answers.numbers(found, rows)
    if not card.classes:
        return answers.open_labels(found, rows)
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
    columns = described.columns or ()
    if columns[0]["type"] == "tensor":
        return _tensors(columns)
    import pandas as pd  # a dependency of MLflow

    named = all(column.get("name") for column in columns)
    kinds = [(column.get("name") or index, _DTYPES[column["type"]]) for index, column in enumerate(columns)]

    def frame(rows: Rows) -> pd.DataFrame:
        data = {}
        for index, (name, dtype) in enumerate(kinds):
            values = [row[index] for row in rows]
            left_out = named and described.enforced and all(value is None for value in values)
            if not left_out:  # MLflow wants absent optional columns left out
                data[name] = _column(values, dtype)
        return pd.DataFrame(data, index=range(len(rows)), copy=False)

    return frame


def _tensors(columns: Sequence[Mapping[str, Any]]) -> Arrange:
    """One matrix without a name, or arrays by name, each of its own columns of the row."""
    kinds = [
        (column.get("name"), column["tensor-spec"]["dtype"], len(column["tensor-spec"]["shape"])) for column in columns
    ]
    if kinds[0][0] is None:
        return lambda rows: np.array(rows, dtype=kinds[0][1])
    ends = np.cumsum(mlinputs.widths(columns)).tolist()

    def arrays(rows: Rows) -> dict[str, NDArray[Any]]:
        found = {}
        for (name, dtype, dimensions), begin, end in zip(kinds, [0, *ends], ends, strict=False):
            table = np.array([row[begin:end] for row in rows], dtype=dtype)
            found[str(name)] = table[:, 0] if dimensions == 1 else table
        return found

    return arrays


def _column(values: Sequence[Scalar], dtype: str) -> NDArray[Any]:
    gap = None in values and dtype != "object"
    return np.array(values, dtype=("object" if dtype == "bool" else "float64") if gap else dtype)
