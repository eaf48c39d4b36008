"""Open Inference Protocol v2: tensors in, tensors out, as JSON or with their binary extension. It knows no HTTP.

https://github.com/open-inference/open-inference-protocol (REST), and the ``binary_tensor_data`` extension of
https://docs.nvidia.com/deeplearning/triton-inference-server (protocol/extension_binary_data).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import msgspec
import numpy as np

from gateway.core.deployments import Field, ModelCard, Task, Type
from gateway.core.errors import InvalidBody, Problem
from gateway.core.inputs import MAX_INSTANCES
from gateway.edge.protocols.frames import MEMBERS, Frame, Offer, named
from gateway.passage import Answer

BINARY = "binary_tensor_data"
_SIZE, _WANTED, _ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"
_TYPES: dict[str, str] = {
    "BOOL": "?",
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}
"""Datatypes of the protocol as numpy writes them in little-endian; BYTES comes apart from them."""
DATATYPES = {Type.INTEGER: "INT64", Type.NUMBER: "FP64", Type.STRING: "BYTES", Type.BOOLEAN: "BOOL"}
_DIMENSIONS = 8
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


class Tensor(msgspec.Struct):
    """An input as it is sent. ``data`` is missing where its bytes follow the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class Wanted(msgspec.Struct):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class Infer(msgspec.Struct):
    """An inference request."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[Wanted] | None = None
    parameters: dict[str, Any] | None = None


def read(body: object) -> Infer:
    """Check the shape of a decoded request. Raises InvalidBody."""
    try:
        return msgspec.convert(body, Infer)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$")
        steps = "".join(f"/{name or index}" for name, index in _STEP.findall(path))
        raise InvalidBody(Problem(steps, said + ".")) from None


def frame(offer: Offer, asked: Infer, binary: bytes) -> Frame:
    """Read the input tensors as rows; ``binary`` is what followed the JSON. Raises InvalidBody.

    A tensor of shape [n] or [n, 1] is a column; a single one of shape [n, k] whose name is no column's is rows
    without names.
    """
    values = [_values(at, tensor, following) for at, tensor, following in _with_bytes(asked.inputs, binary)]
    places = {tensor.name: index for index, tensor in enumerate(asked.inputs)}
    if len(places) < len(asked.inputs):
        raise InvalidBody(Problem("/inputs", "Names an input twice."))
    sizes = {tensor.shape[0] for tensor in asked.inputs}
    if len(sizes) != 1 or not 1 <= (rows := sizes.pop()) <= MAX_INSTANCES:
        raise InvalidBody(Problem("/inputs", f"Must hold tensors of one first dimension, 1 to {MAX_INSTANCES}."))
    first = asked.inputs[0]
    if len(asked.inputs) == 1 and len(first.shape) == 2 and not _is_column(offer, first):
        names, width = offer.row(), first.shape[1]
        found = [named(names, values[0][row * width : (row + 1) * width], "/inputs/0") for row in range(rows)]
        return Frame(found, lambda *_: "/inputs/0", "/inputs")
    for index, tensor in enumerate(asked.inputs):
        if prod(tensor.shape[1:]) != 1:
            raise InvalidBody(Problem(f"/inputs/{index}/shape", f"Must be [{rows}] or [{rows}, 1]: a value per row."))
    named_rows = [{name: values[index][row] for name, index in places.items()} for row in range(rows)]

    def place(row: int, name: str | None) -> str:
        return f"/inputs/{places[name]}/data/{row}" if name in places else "/inputs"

    return Frame(named_rows, place, "/inputs")


def _is_column(offer: Offer, tensor: Tensor) -> bool:
    return tensor.name in offer.fields() or tensor.name in MEMBERS


def _with_bytes(inputs: Sequence[Tensor], binary: bytes) -> Iterator[tuple[str, Tensor, bytes | None]]:
    """Each input with its place, and with its share of the bytes after the JSON, if it has one."""
    begins = 0
    for index, tensor in enumerate(inputs):
        at, size = f"/inputs/{index}", (tensor.parameters or {}).get(_SIZE)
        if size is None:
            yield at, tensor, None
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - begins or tensor.data is not None:
            raise InvalidBody(Problem(f"{at}/parameters", f"{_SIZE} must be the length of bytes that follow the JSON."))
        yield at, tensor, binary[begins : begins + size]
        begins += size
    if begins != len(binary):
        raise InvalidBody(Problem("/inputs", "More bytes follow the JSON than its inputs say."))


def _values(at: str, tensor: Tensor, binary: bytes | None) -> list[Any]:
    """A tensor's values, flat, in row-major order."""
    if not 1 <= len(tensor.shape) <= _DIMENSIONS or any(size < 0 for size in tensor.shape):
        raise InvalidBody(Problem(f"{at}/shape", f"Must have 1 to {_DIMENSIONS} dimensions, none of them negative."))
    if tensor.datatype != "BYTES" and tensor.datatype not in _TYPES:
        raise InvalidBody(Problem(f"{at}/datatype", f"Must be one of {', '.join(_TYPES)}, BYTES."))
    if binary is None:
        if tensor.data is None:
            raise InvalidBody(Problem(f"{at}/data", "Is missing."))
        values = list(_flat(tensor.data))
    else:
        values = _unpacked(at, tensor.datatype, binary)
    if len(values) != prod(tensor.shape):
        raise InvalidBody(Problem(f"{at}/data", "Must hold as many values as the shape says."))
    return values


def _flat(data: Sequence[Any]) -> Iterator[Any]:
    """Values of a flat or nested array, without recursion: a hostile body is as deep as it likes."""
    stack = [iter(data)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, list):
                stack.append(iter(item))
                break
            yield item
        else:
            stack.pop()


def _unpacked(at: str, datatype: str, binary: bytes) -> list[Any]:
    if datatype != "BYTES":
        dtype = np.dtype(_TYPES[datatype])
        if len(binary) % dtype.itemsize:
            raise InvalidBody(Problem(f"{at}/parameters", "The bytes are no whole number of values."))
        return list(np.frombuffer(binary, dtype).tolist())
    texts = list(_texts(binary))
    if None in texts:
        raise InvalidBody(Problem(f"{at}/parameters", "The bytes are no texts in UTF-8, each after its length."))
    return texts


def _texts(binary: bytes) -> Iterator[str | None]:
    """Texts that each follow their length in four bytes; None for what is none, and then no more."""
    begins = 0
    while begins < len(binary):
        ends = begins + 4 + int.from_bytes(binary[begins : begins + 4], "little")
        try:
            text = binary[begins + 4 : ends].decode() if ends <= len(binary) else None
        except UnicodeDecodeError:
            text = None
        yield text
        begins = len(binary) if text is None else ends


def _packed(datatype: str, values: Sequence[Any]) -> bytes:
    if datatype != "BYTES":
        return np.array(values, dtype=_TYPES[datatype]).tobytes()
    texts = [str(value).encode() for value in values]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


# What is answered.

Column = tuple[str, list[int], list[Any], dict[str, Any] | None]
"""Datatype, shape, flat values and parameters of an output."""


def outputs_of(offer: Offer, answers: Sequence[Answer]) -> dict[str, Column]:
    """Every output of some answers, by name."""
    said: dict[str, Column] = _spoken(offer.table.stable.model, answers)
    n = [len(answers)]
    said["prediction_id"] = "BYTES", n, [answer.prediction_id for answer in answers], None
    if all(answer.variant is not None for answer in answers):
        said["variant"] = "BYTES", n, [answer.variant for answer in answers], None
        said["model_version"] = "BYTES", n, [answer.model_version for answer in answers], None
        said["fallback"] = "BOOL", n, [answer.fallback for answer in answers], None
    said["degraded"] = "BYTES", n, [",".join(answer.degraded) for answer in answers], None
    said["logged"] = "BOOL", n, [answer.logged for answer in answers], None
    return said


def _spoken(model: ModelCard, answers: Sequence[Answer]) -> dict[str, Column]:
    outputs = [answer.output for answer in answers]
    n, labels = [len(answers)], [output.label for output in outputs]
    names = list(dict.fromkeys(name for output in outputs for name in output.scores or ()))
    table = [(output.scores or {}).get(name, 0.0) for output in outputs for name in names]
    if model.task is Task.REGRESSION:
        return {"prediction": ("FP64", n, labels, None)}
    if model.task is Task.MULTIOUTPUT:
        return {"prediction": ("FP64", [len(answers), len(names)], table, {"outputs": names})}
    whole = bool(model.classes) and all(isinstance(label, int) for label in labels)
    found: dict[str, Column] = {
        "prediction": ("INT64" if whole else "BYTES", n, labels if whole else [str(label) for label in labels], None)
    }
    if all(output.score is not None for output in outputs):
        found["score"] = "FP64", n, [output.score for output in outputs], None
    if names:
        found["scores"] = "FP64", [len(answers), len(names)], table, {"classes": names}
    return found


def answer(
    asked: Infer, deployment: str, version: str | None, columns: Mapping[str, Column]
) -> tuple[dict[str, Any], bytes]:
    """The response and the bytes that follow it. Raises InvalidBody for an output that is not to be had."""
    everything = (asked.parameters or {}).get(_ALL_BINARY) is True
    wanted = asked.outputs or [Wanted(name) for name in columns]
    outputs: list[dict[str, Any]] = []
    following: list[bytes] = []
    for index, each in enumerate(wanted):
        if each.name not in columns:
            raise InvalidBody(Problem(f"/outputs/{index}/name", f"There are: {', '.join(columns)}."))
        datatype, shape, values, parameters = columns[each.name]
        said: dict[str, Any] = {"name": each.name, "datatype": datatype, "shape": shape}
        if (each.parameters or {}).get(_WANTED, everything) is True:
            following.append(_packed(datatype, values))
            parameters = {**(parameters or {}), _SIZE: len(following[-1])}
        else:
            said["data"] = values
        outputs.append(said | ({"parameters": parameters} if parameters else {}))
    head: dict[str, Any] = {"model_name": deployment, "outputs": outputs}
    if version is not None:
        head["model_version"] = version
    if asked.id is not None:
        head["id"] = asked.id
    return head, b"".join(following)


def metadata(offer: Offer) -> dict[str, Any]:
    """What a deployment takes and gives, as the protocol describes a model."""
    model = offer.table.stable.model
    parts = [offer.table.stable, *(candidate.part for candidate in offer.table.candidates)]
    return {
        "name": offer.table.deployment,
        "versions": list(dict.fromkeys(part.model.version for part in parts)),
        "platform": f"gateway_{model.flavour}",
        "inputs": [
            *(_described(field, "entity") for field in offer.layout.entities.values()),
            *(_described(field, "feature") for field in offer.layout.features.values()),
        ],
        "outputs": [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in _promised(offer)],
    }


def _described(field: Field, kind: str) -> dict[str, Any]:
    parameters = {"kind": kind, "required": field.required}
    return {"name": field.name, "datatype": DATATYPES[field.type], "shape": [-1], "parameters": parameters}


def _promised(offer: Offer) -> Iterator[tuple[str, str, list[int]]]:
    model = offer.table.stable.model
    whole = bool(model.classes) and all(isinstance(label, int) for label in model.classes)
    number = model.task in (Task.REGRESSION, Task.MULTIOUTPUT)
    width = [len(model.outputs)] if model.outputs else []
    yield "prediction", "FP64" if number else "INT64" if whole else "BYTES", [-1, *width]
    if model.task is Task.BINARY:
        yield "score", "FP64", [-1]
    if model.task is Task.MULTICLASS and model.classes:
        yield "scores", "FP64", [-1, len(model.classes)]
    yield "prediction_id", "BYTES", [-1]
    if not offer.table.rules.blind:
        yield "variant", "BYTES", [-1]
        yield "model_version", "BYTES", [-1]
        yield "fallback", "BOOL", [-1]
    yield "degraded", "BYTES", [-1]
    yield "logged", "BOOL", [-1]


def variant_of(offer: Offer, version: str) -> str | None:
    """Name the variant that plays a model version, stable before others; None where there is none."""
    return next((name for name, part in offer.table.parts().items() if part.model.version == version), None)
