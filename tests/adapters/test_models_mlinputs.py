"""What an MLflow model takes, by its signature, its example, or its deployment's word."""

import json
from typing import Any

import pytest
import yaml

from gateway.adapters.models import mlinputs, mlmodel
from gateway.adapters.models.artifacts import digest_of
from gateway.core.deployments import Field, Type
from gateway.core.errors import ModelUnusable

HOUR, CARRIER = Field("hour", Type.INTEGER, minimum=0), Field("carrier", Type.STRING, required=False)


def artifact(example: object = None, columns: list[dict[str, Any]] | None = None) -> dict[str, bytes]:
    """The files of a pyfunc, as far as they matter here."""
    said: dict[str, Any] = {"flavors": {"python_function": {"loader_module": "any"}}}
    if columns is not None:
        said["signature"] = {"inputs": json.dumps(columns)}
    files = {}
    if example is not None:
        said["saved_input_example_info"] = {"artifact_path": "input_example.json"}
        files["input_example.json"] = json.dumps(example).encode()
    return {mlmodel.FILE_NAME: yaml.safe_dump(said).encode(), **files}


def fields(files: dict[str, bytes]) -> list[tuple[str, str, object]]:
    found = mlinputs.inputs(mlmodel.parse(files[mlmodel.FILE_NAME]), files)
    return [(each.name, each.type.value, each.example) for each in found or ()]


@pytest.mark.parametrize(
    ("example", "says"),
    [
        ({"columns": ["h", "ok"], "data": [[7, True], [8, False]]}, [("h", "integer", 7), ("ok", "boolean", True)]),
        ([{"hour": 7.0, "to": "IAH"}, {"hour": 8}], [("hour", "number", 7.0), ("to", "string", "IAH")]),
        ({"hour": [7, 8], "to": ["IAH", None]}, [("hour", "integer", 7), ("to", "string", "IAH")]),
        ({"hour": 7}, [("hour", "integer", 7)]),
        ([[7, 8], [9, 10]], [("x0", "number", 7.0), ("x1", "number", 8.0)]),
        ("text", []),
        ([1, 2], []),
        (None, []),
    ],
)  # fmt: skip
def test_without_a_signature_the_example_says_names_and_types(example: object, says: list[Any]) -> None:
    assert fields(artifact(example)) == says


def test_a_gap_in_the_example_makes_an_input_optional() -> None:
    files = artifact({"hour": [7, 8], "to": ["IAH", None]})
    found = mlinputs.inputs(mlmodel.parse(files[mlmodel.FILE_NAME]), files) or ()
    assert [each.required for each in found] == [True, False]


def test_an_example_of_lists_is_refused_by_its_column() -> None:
    with pytest.raises(ModelUnusable, match="column history of the model's example"):
        fields(artifact([{"history": [1, 2]}]))


def test_what_a_deployment_declares_holds_where_nothing_else_does_and_is_pinned_by_the_digest() -> None:
    mute = artifact()
    declared = mlinputs.with_declared(mute, [HOUR, CARRIER])
    assert mlinputs.inputs(mlmodel.parse(declared[mlmodel.FILE_NAME]), declared) == (HOUR, CARRIER)
    assert digest_of(declared) != digest_of(mute)
    assert mlinputs.with_declared(declared, [HOUR, CARRIER]) == declared
    for files in (artifact({"hour": [7]}), artifact(None, [{"name": "hour", "type": "long"}])):
        assert mlinputs.with_declared(files, [CARRIER]) == files


def tensor(name: str | None, shape: list[int]) -> dict[str, Any]:
    return {"type": "tensor", "name": name, "tensor-spec": {"dtype": "float32", "shape": shape}}


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ([tensor(None, [-1, 2])], ["x0", "x1"]),
        ([tensor("hour", [-1, 1]), tensor("seats", [-1])], ["hour", "seats"]),
        ([tensor("X", [-1, 2]), tensor("hour", [-1])], ["X_0", "X_1", "hour"]),
    ],
)
def test_tensors_are_rows_of_their_columns(columns: list[dict[str, Any]], names: list[str]) -> None:
    assert [name for name, _, _ in fields(artifact(None, columns))] == names


@pytest.mark.parametrize(
    "column", [tensor(None, [-1]), tensor("image", [-1, 28, 28]), {"name": "d", "type": "datetime"}]
)
def test_what_is_no_flat_row_is_refused(column: dict[str, Any]) -> None:
    with pytest.raises(ModelUnusable, match=r"no row of values|of type datetime"):
        fields(artifact(None, [column]))
