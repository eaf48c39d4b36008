"""The requests a model brings along: every row of its input example, in the order of its inputs."""

from collections.abc import Mapping, Sequence

from gateway.adapters.models import mlinputs, mlmodel
from gateway.adapters.models.artifacts import Files
from gateway.adapters.models.foreign import Foreign
from gateway.adapters.models.rows import example_row
from gateway.core.deployments import Field, Scalar

MOST_ROWS = 200
"""So many rows are tried; an example may be a whole training table."""


def golden_rows(inputs: Sequence[Field], files: Files) -> list[list[Scalar]]:
    """Read the rows of an MLflow input example; of any other artifact the one its fields make up, if they do."""
    found = _mlflow_rows(inputs, files) if mlmodel.FILE_NAME in files else []
    if found:
        return found[:MOST_ROWS]
    row, own = example_row(inputs)
    return [list(row)] if own and row else []


def _mlflow_rows(inputs: Sequence[Field], files: Files) -> list[list[Scalar]]:
    rows = mlinputs.example_rows(mlmodel.parse(files[mlmodel.FILE_NAME]), files, [field.name for field in inputs])
    return [[_value(field, row) for field in inputs] for row in rows]


def _value(field: Field, row: Mapping[str, Foreign]) -> Scalar:
    value = mlinputs.as_type(field.type, row.get(field.name))
    return field.default if value is None else value
