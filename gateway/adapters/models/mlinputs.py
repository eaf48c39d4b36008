"""What an MLflow model takes: fields by its signature, else by its input example, else by its deployment's word.

What a deployment declares becomes a file of the artifact (``with_declared``), so that the digest pins it too. Without
a signature MLflow enforces nothing, and the model gets a DataFrame, or a matrix where its example was one.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from gateway.adapters.models import mlmodel
from gateway.adapters.models.artifacts import Files
from gateway.adapters.models.foreign import Foreign
from gateway.adapters.models.mlmodel import MLmodel
from gateway.core.deployments import Field, Scalar, Type
from gateway.core.errors import ModelUnusable

DECLARED_FILE = "gateway-inputs.json"

_TYPES = {
    "boolean": Type.BOOLEAN,
    "integer": Type.INTEGER,
    "long": Type.INTEGER,
    "float": Type.NUMBER,
    "double": Type.NUMBER,
    "string": Type.STRING,
}
_COLUMNS = {Type.BOOLEAN: "boolean", Type.INTEGER: "long", Type.NUMBER: "double", Type.STRING: "string"}
_TENSOR_TYPES = {
    "b": Type.BOOLEAN,
    "i": Type.INTEGER,
    "u": Type.INTEGER,
    "f": Type.NUMBER,
    "o": Type.STRING,
    "s": Type.STRING,
}


def with_declared(files: dict[str, bytes], inputs: Sequence[Field]) -> dict[str, bytes]:
    """Put what a deployment declares beside a pyfunc that says nothing about its inputs. Raises ModelUnusable."""
    model = mlmodel.parse(files[mlmodel.FILE_NAME])
    if not inputs or completed(model, _without(files)).columns is not None:
        return files
    return {**files, DECLARED_FILE: msgspec.json.encode(list(inputs))}


def inputs(model: MLmodel, files: Files) -> tuple[Field, ...] | None:
    """Turn what is known into fields, with examples from the first row of the input example; None where nothing is.

    Raises ModelUnusable for a signature that is no flat row of numbers, text and truth values.
    """
    declared = _declared(files)
    if declared and model.columns is None:
        return declared
    columns = completed(model, files).columns
    if columns is None:
        return None
    fields = [field for index, column in enumerate(columns) for field in _fields(index, column)]
    first = next(iter(example_rows(model, files, [field.name for field in fields])), {})
    return tuple(replace(field, example=as_type(field.type, first.get(field.name))) for field in fields)


def completed(model: MLmodel, files: Files) -> MLmodel:
    """The same model with columns, as far as anything says them. Raises ModelUnusable for an unusable example."""
    if model.columns is not None:
        return model
    declared = _declared(files)
    if declared:
        return replace(model, columns=[_column(field) for field in declared], enforced=False)
    matrix = _content(model, files)
    if isinstance(matrix, list) and matrix and all(isinstance(row, list) and row for row in matrix):
        spec = {"dtype": "float64", "shape": [-1, len(matrix[0])]}
        return replace(model, columns=[{"type": "tensor", "tensor-spec": spec}], enforced=False)
    rows = example_rows(model, files, ())
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [_column(_inferred(name, [row.get(name) for row in rows])) for name in names]
    return replace(model, columns=columns, enforced=False) if columns else model


def widths(columns: Sequence[Mapping[str, Any]]) -> list[int]:
    """How many values of a row each tensor of a signature holds."""
    return [1 if len(column["tensor-spec"]["shape"]) == 1 else column["tensor-spec"]["shape"][1] for column in columns]


def example_rows(model: MLmodel, files: Files, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Read the input example as rows by column, ``names`` being a matrix's; what cannot be read is no example."""
    found = _content(model, files)
    if isinstance(found, dict) and isinstance(found.get("data"), list):
        names, found = found.get("columns", names), found["data"]
    if isinstance(found, list) and found and isinstance(found[0], list):
        return [dict(zip(names, row, strict=False)) for row in found if isinstance(row, list)]
    if isinstance(found, list):
        return [row for row in found if isinstance(row, dict)]
    if not isinstance(found, dict):
        return []
    lists = {name: value if isinstance(value, list) else [value] for name, value in found.items()}
    length = min(map(len, lists.values()), default=0)
    return [{name: values[row] for name, values in lists.items()} for row in range(length)]


def as_type(type_: Type, value: Foreign) -> Scalar:
    """Take an example's value where it is of the field's type: ``5.0`` is an integer's 5, NaN is nothing."""
    if type_ is Type.STRING:
        return value if isinstance(value, str) else None
    if type_ is Type.BOOLEAN:
        return bool(value) if isinstance(value, (bool, int, float)) else None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(value) if type_ is Type.NUMBER else (int(value) if float(value).is_integer() else None)


def _declared(files: Files) -> tuple[Field, ...]:
    try:
        return msgspec.json.decode(files.get(DECLARED_FILE, b"[]"), type=tuple[Field, ...])
    except msgspec.MsgspecError as error:
        raise ModelUnusable(f"The artifact's {DECLARED_FILE} cannot be read.") from error


def _without(files: Files) -> Files:
    return {name: content for name, content in files.items() if name != DECLARED_FILE}


def _column(field: Field) -> Mapping[str, Any]:
    return {"name": field.name, "type": _COLUMNS[field.type], "required": field.required}


def _fields(index: int, column: Mapping[str, Any]) -> tuple[Field, ...]:
    if column["type"] == "tensor":
        return _from_tensor(column)
    type_ = _TYPES.get(column["type"])
    name = column.get("name") or f"x{index}"
    if type_ is None:
        raise ModelUnusable(
            f"Input {name} of the signature is of type {column['type']}; {', '.join(_TYPES)} can be served."
        )
    return (Field(name, type_, required=bool(column.get("required", not column.get("optional", False)))),)


def _from_tensor(column: Mapping[str, Any]) -> tuple[Field, ...]:
    """A matrix is a field per column, ``x0`` or ``NAME_0`` onwards; a named vector, or one column, is a field."""
    spec, name = column["tensor-spec"], column.get("name")
    type_, shape = _TENSOR_TYPES.get(spec["dtype"][0]), spec["shape"]
    flat = len(shape) == 2 and shape[1] >= 1
    if type_ is None or not (flat or (name and len(shape) == 1)):
        raise ModelUnusable(f"A signature of shape {shape} and type {spec['dtype']} is no row of values.")
    [width] = widths([column])
    if name and width == 1:
        return (Field(name, type_),)
    return tuple(Field(f"{name}_{index}" if name else f"x{index}", type_) for index in range(width))


def _inferred(name: str, values: Sequence[object]) -> Field:
    """What the values of one column of an example are, a gap making it optional. Raises ModelUnusable."""
    kinds = {type(value) for value in values} - {type(None)}
    known = {bool: Type.BOOLEAN, int: Type.INTEGER, float: Type.NUMBER, str: Type.STRING}
    if kinds == {int, float} or not kinds:
        kinds = {float}
    if len(kinds) != 1 or not kinds <= known.keys():
        raise ModelUnusable(f"The column {name} of the model's example holds neither numbers, texts nor truth values.")
    return Field(name, known[kinds.pop()], required=None not in values)


def _content(model: MLmodel, files: Files) -> object:
    try:
        return json.loads(files[model.example or ""])
    except (KeyError, ValueError):
        return None
