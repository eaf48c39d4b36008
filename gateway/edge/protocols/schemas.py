"""The words of other protocols, for OpenAPI. Documentation only, as :mod:`gateway.edge.schemas`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.edge.schemas import Prediction, Text, Value

Row = dict[str, Value] | list[Value] | Value
_TYPES = Literal[
    "BOOL",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
_ROW = {"carrier": "UA", "distance": 1400}


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class SplitFrame(_Said):
    """A pandas DataFrame in its ``split`` orientation."""

    columns: list[str] | None = Field(default=None, examples=[["carrier", "distance"]])
    """Names of the columns. Left out, a row is stable's own, in its order."""
    data: list[list[Value]] = Field(examples=[[["UA", 1400]]])
    """Rows."""
    index: list[Value] | None = None
    """Not looked at."""


class Invocation(_Said):
    """Rows to score, in exactly one member, with the names of entities, features, request_id and routing_key."""

    dataframe_split: SplitFrame | None = None
    """A DataFrame, columns apart from data."""
    dataframe_records: list[dict[str, Value]] | None = Field(default=None, examples=[[_ROW]])
    """A DataFrame, row by row."""
    instances: list[Row] | None = Field(default=None, examples=[[_ROW]])
    """Rows: objects, or arrays in the order of stable's own row."""
    inputs: dict[str, list[Value] | Value] | list[Row] | None = Field(
        default=None, examples=[{"carrier": ["UA"], "distance": [1400]}]
    )
    """Columns by name, or rows as in ``instances``."""
    params: dict[str, Any] | None = None
    """MLflow's inference parameters: only empty ones are taken."""


class Invoked(_Said):
    """What MLflow's clients read, and what they leave alone."""

    predictions: list[bool | int | float | str | dict[str, float] | None] = Field(examples=[[1]])
    """What the model said of each row: ``prediction`` of each of ``details``."""
    details: list[Prediction]
    """Each row's answer as ``/predict`` gives it, with the ``prediction_id`` for its outcome."""


class InferTensor(BaseModel):
    """A tensor that is sent: a value per row."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: Text = Field(examples=["distance"])
    """Name of an entity, a request feature, ``request_id`` or ``routing_key``; any other for rows without names."""
    shape: list[int] = Field(examples=[[1]])
    """[rows] or [rows, 1]; or [rows, values], where it is the only tensor, for rows without names."""
    datatype: _TYPES = Field(examples=["FP64"])
    """Of its values. Whole floats are taken for integers, and NaN for a gap."""
    data: list[Any] | None = Field(default=None, examples=[[1400.0]])
    """Values, nested or flat; left out where their bytes follow the JSON."""
    parameters: dict[str, Any] | None = None
    """``binary_data_size``: so many bytes after the JSON are its values."""


class InferOutput(BaseModel):
    """An output that is asked for."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: Text = Field(examples=["prediction"])
    """Name of an output of the model's metadata."""
    parameters: dict[str, Any] | None = None
    """``binary_data``: true gives its bytes after the JSON."""


class InferRequest(BaseModel):
    """Rows to predict, column by column."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    inputs: list[InferTensor]
    """One tensor per entity and request feature."""
    id: Text | None = None
    """Said back; it is no ``request_id``."""
    outputs: list[InferOutput] | None = None
    """What is to be answered; everything, where left out."""
    parameters: dict[str, Any] | None = None
    """``binary_data_output``: true gives every output's bytes after the JSON."""


class OutputTensor(_Said):
    """An output."""

    name: str = Field(examples=["prediction"])
    """``prediction``, ``score``, ``scores``, ``prediction_id``, ``variant``, ``model_version``, ``fallback``,
    ``degraded`` (names, with commas between) or ``logged``."""
    datatype: str = Field(examples=["INT64"])
    """Of its values."""
    shape: list[int] = Field(examples=[[1]])
    """[rows], or [rows, classes]."""
    data: list[Any] | None = Field(default=None, examples=[[1]])
    """Values, flat; left out where their bytes follow the JSON."""
    parameters: dict[str, Any] | None = None
    """``classes`` or ``outputs``: names of the columns; ``binary_data_size``: bytes after the JSON."""


class InferResponse(_Said):
    """Predictions, column by column."""

    model_name: str = Field(examples=["flight-delay"])
    """The deployment."""
    model_version: str | None = None
    """Who answered, where one version answered every row and the deployment is not ``blind``."""
    id: str | None = None
    """As it was sent."""
    outputs: list[OutputTensor]
    """A tensor per output."""


class MetadataTensor(_Said):
    """A tensor that a deployment takes or gives."""

    name: str
    """Its name."""
    datatype: str
    """Of its values."""
    shape: list[int]
    """-1 stands for the rows."""
    parameters: dict[str, Any] | None = None
    """Of an input: ``kind`` (``entity`` or ``feature``) and whether it is ``required``."""


class ModelMetadata(_Said):
    """What a deployment takes and gives."""

    name: str = Field(examples=["flight-delay"])
    """The deployment."""
    versions: list[str]
    """Of stable's model, then of the candidates'."""
    platform: str = Field(examples=["gateway_sklearn"])
    """``gateway_`` and the flavour of stable's model."""
    inputs: list[MetadataTensor]
    """Entities, then request features."""
    outputs: list[MetadataTensor]
    """What stable's model leads to."""


class ServerMetadata(_Said):
    """What answers here."""

    name: str = Field(examples=["gateway"])
    """``gateway``."""
    version: str
    """Of the gateway."""
    extensions: list[str]
    """``binary_tensor_data``."""


MODELS: tuple[type[BaseModel], ...] = (
    Invocation,
    Invoked,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ServerMetadata,
)
