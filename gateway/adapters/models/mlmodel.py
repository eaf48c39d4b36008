"""The ``MLmodel`` file of an MLflow artifact: flavours, signature, input example and metadata, read without MLflow.

Reading it ourselves means that a worker serves scikit-learn models from verified bytes without importing MLflow.
Field reference: https://mlflow.org/docs/latest/ml/model/ (MLmodel, signatures, input examples).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from gateway.adapters.models.artifacts import Files
from gateway.adapters.models.foreign import Foreign
from gateway.core.deployments import Field, Scalar, Task, Type
from gateway.core.errors import ModelUnusable

FILE_NAME = "MLmodel"

_TYPES = {
    "boolean": Type.BOOLEAN,
    "integer": Type.INTEGER,
    "long": Type.INTEGER,
    "float": Type.NUMBER,
    "double": Type.NUMBER,
    "string": Type.STRING,
}
_TENSOR_TYPES = {
    "b": Type.BOOLEAN,
    "i": Type.INTEGER,
    "u": Type.INTEGER,
    "f": Type.NUMBER,
    "o": Type.STRING,
    "s": Type.STRING,
}


@dataclass(frozen=True, slots=True)
class MLmodel:
    """What an ``MLmodel`` file says. ``columns`` is the signature's inputs, None where there is no signature."""

    flavours: Mapping[str, Mapping[str, Any]]
    metadata: Mapping[str, Any]
    columns: Sequence[Mapping[str, Any]] | None
    example: str | None
    answers: Sequence[Mapping[str, Any]] = ()
    """The signature's outputs."""
    ident: str = ""
    """The id that MLflow gave the model."""

    def flavour(self) -> str:
        """Name the flavour to load: ``sklearn`` where there is one, else ``pyfunc``. Raises ModelUnusable."""
        if "sklearn" in self.flavours:
            return "sklearn"
        if "python_function" in self.flavours:
            return "pyfunc"
        raise ModelUnusable(
            f"The model has the flavours {', '.join(sorted(self.flavours)) or 'none'}; "
            "one of sklearn and python_function is needed."
        )

    def settings(self, flavour: str) -> Mapping[str, Any]:
        """What the file says of one flavour. Raises ModelUnusable where the artifact brings modules of its own."""
        found = self.flavours[flavour]
        if found.get("code"):
            raise ModelUnusable(
                "The model brings its own modules (code_paths). Two versions of a module cannot live in one worker: "
                "install them as a package beside the gateway and log the model without code_paths."
            )
        return found

    def task(self) -> Task | None:
        """What the metadata key ``task`` declares, None where it is absent. Raises ModelUnusable."""
        declared = self.metadata.get("task")
        if declared is None:
            return None
        try:
            return Task(declared)
        except ValueError as error:
            raise ModelUnusable(f"The metadata's task must be one of {', '.join(Task)}.") from error

    def classes(self) -> tuple[int | str, ...]:
        """What the metadata key ``classes`` declares. Raises ModelUnusable."""
        declared = self.metadata.get("classes") or []
        if not isinstance(declared, list) or not all(type(label) in (int, str) for label in declared):
            raise ModelUnusable("The metadata's classes must be a list of integers and text.")
        return tuple(declared)

    def outputs(self) -> tuple[str, ...]:
        """Name the numbers that it gives, by the metadata key ``outputs`` or the signature. Raises ModelUnusable."""
        declared = self.metadata.get("outputs") or [each.get("name") for each in self.answers]
        if not isinstance(declared, list) or len(set(declared)) < len(declared):
            raise ModelUnusable("The metadata's outputs must be a list of distinct names.")
        return tuple(declared) if all(isinstance(name, str) for name in declared) else ()

    def feature_service(self) -> str | None:
        """What the metadata key ``feature_service`` declares. Raises ModelUnusable."""
        declared = self.metadata.get("feature_service")
        if declared is not None and not isinstance(declared, str):
            raise ModelUnusable("The metadata's feature_service must be the name of a Feast feature service.")
        return declared


def parse(content: bytes) -> MLmodel:
    """Read an ``MLmodel`` file. Raises ModelUnusable."""
    try:
        found = yaml.safe_load(content)
        said = found.get("signature") or {}
        signature = said.get("inputs")
        return MLmodel(
            flavours=dict(found["flavors"]),
            metadata=found.get("metadata") or {},
            columns=None if signature is None else json.loads(signature),
            example=(found.get("saved_input_example_info") or {}).get("artifact_path"),
            answers=json.loads(said.get("outputs") or "[]"),
            ident=str(found.get("model_id") or found.get("model_uuid") or ""),
        )
    except (yaml.YAMLError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ModelUnusable("The artifact's MLmodel file cannot be read.") from error


def inputs(model: MLmodel, files: Files) -> tuple[Field, ...] | None:
    """Turn the signature into fields, with examples from the first row of the input example; None without signature.

    Raises ModelUnusable for a signature that is no flat row of numbers, text and truth values.
    """
    if model.columns is None:
        return None
    fields = _from_tensor(model.columns[0]) if _is_matrix(model.columns) else tuple(map(_field, *_numbered(model)))
    example = _example(model, files, [field.name for field in fields])
    return tuple(replace(field, example=as_type(field.type, example.get(field.name))) for field in fields)


def _numbered(model: MLmodel) -> tuple[range, Sequence[Mapping[str, Any]]]:
    columns = model.columns or ()
    return range(len(columns)), columns


def _field(index: int, column: Mapping[str, Any]) -> Field:
    type_ = _TYPES.get(column["type"])
    name = column.get("name") or f"x{index}"
    if type_ is None:
        raise ModelUnusable(
            f"Input {name} of the signature is of type {column['type']}; {', '.join(_TYPES)} can be served."
        )
    return Field(name, type_, required=bool(column.get("required", not column.get("optional", False))))


def _is_matrix(columns: Sequence[Mapping[str, Any]]) -> bool:
    return len(columns) == 1 and columns[0]["type"] == "tensor" and not columns[0].get("name")


def _from_tensor(column: Mapping[str, Any]) -> tuple[Field, ...]:
    spec = column["tensor-spec"]
    type_, shape = _TENSOR_TYPES.get(spec["dtype"][0]), spec["shape"]
    if type_ is None or len(shape) != 2 or shape[1] < 1:
        raise ModelUnusable(f"A signature of shape {shape} and type {spec['dtype']} is no row of values.")
    return tuple(Field(f"x{index}", type_) for index in range(shape[1]))


def _example(model: MLmodel, files: Files, names: Sequence[str]) -> Mapping[str, Any]:
    """Read the first row of the input example by column; whatever cannot be read is no example."""
    try:
        found = json.loads(files[model.example or ""])
    except (KeyError, ValueError):
        return {}
    if isinstance(found, dict) and "data" in found:
        names, found = found.get("columns", names), found["data"]
    if isinstance(found, list) and found and isinstance(found[0], list):
        return dict(zip(names, found[0], strict=False))
    return found if isinstance(found, dict) else {}


def as_type(type_: Type, value: Foreign) -> Scalar:
    """Take an example's value where it is of the field's type: ``5.0`` is an integer's 5, NaN is nothing."""
    if type_ is Type.STRING:
        return value if isinstance(value, str) else None
    if type_ is Type.BOOLEAN:
        return bool(value) if isinstance(value, (bool, int, float)) else None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(value) if type_ is Type.NUMBER else (int(value) if float(value).is_integer() else None)
