"""MLflow's scoring protocol: what ``/invocations`` is sent, read as rows. It knows no HTTP and not MLflow itself.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/ (local inference server spec): JSON with exactly
one of ``dataframe_split``, ``dataframe_records``, ``instances`` and ``inputs``, or CSV with a line of names.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from gateway.core.deployments import Field, Type
from gateway.core.errors import InvalidBody, Problem
from gateway.core.inputs import MAX_INSTANCES
from gateway.edge.protocols.frames import Frame, Offer, named, token

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_LONGEST_NUMBER = 512


def decode_gaps(raw: bytes) -> object:
    """Decode JSON in which NaN stands for a gap, as MLflow's client writes a DataFrame's. Raises ValueError."""
    return json.loads(raw, parse_constant=_constant, parse_int=_integer)


def _constant(word: str) -> None:
    if word != "NaN":
        raise ValueError


def _integer(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError
    return int(text)


def read(offer: Offer, body: object) -> Frame:
    """Read a decoded JSON body. Raises InvalidBody."""
    if not isinstance(body, dict):
        raise InvalidBody(Problem("", f"Must be an object with exactly one of: {', '.join(FORMATS)}."))
    held = [name for name in FORMATS if name in body]
    beside = body.keys() - set(FORMATS)
    if len(held) != 1 or beside - {"params"}:
        raise InvalidBody(Problem("", f"Must hold exactly one of {', '.join(FORMATS)}, and nothing else."))
    if body.get("params"):
        raise InvalidBody(
            Problem(
                "/params",
                "Must be empty: whatever changes an answer is a feature here, so that answers can be compared.",
            )
        )
    return _READERS[held[0]](offer, body[held[0]], f"/{held[0]}")


def _split(offer: Offer, sent: object, at: str) -> Frame:
    if not isinstance(sent, dict) or not isinstance(sent.get("data"), list):
        raise InvalidBody(Problem(at, "Must be an object with data, an array of rows, and with columns, their names."))
    if sent.keys() - {"columns", "data", "index"}:
        raise InvalidBody(Problem(at, "Takes these members: columns, data, index."))
    data, columns = sent["data"], sent.get("columns")
    if columns is None:
        return _matrix(offer, data, f"{at}/data")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise InvalidBody(Problem(f"{at}/columns", "Must be an array of names."))
    if len(set(columns)) < len(columns):
        raise InvalidBody(Problem(f"{at}/columns", "Names a column twice."))
    _only(data, list, f"{at}/data", f"Must be an array of {len(columns)} values.", len(columns))
    positions = {name: index for index, name in enumerate(columns)}

    def place(row: int, name: str | None) -> str:
        return f"{at}/data/{row}/{positions[name]}" if name in positions else f"{at}/columns"

    return Frame([dict(zip(columns, row, strict=True)) for row in data], place, f"{at}/data")


def _records(offer: Offer, sent: object, at: str) -> Frame:  # noqa: ARG001 - one reader among several
    if not isinstance(sent, list):
        raise InvalidBody(Problem(at, "Must be an array of objects, one per row."))
    _only(sent, dict, at, "Must be an object with the row's values by name.")
    return Frame(sent, lambda row, name: f"{at}/{row}" + (f"/{token(name)}" if name else ""), at)


def _instances(offer: Offer, sent: object, at: str) -> Frame:
    """Rows: objects, arrays of values in the order of the metadata, or single values."""
    if isinstance(sent, list) and sent and isinstance(sent[0], dict):
        return _records(offer, sent, at)
    if not isinstance(sent, list):
        raise InvalidBody(Problem(at, "Must be an array of rows: objects, arrays, or single values."))
    return _matrix(offer, sent, at)


def _inputs(offer: Offer, sent: object, at: str) -> Frame:
    """Columns by name, or rows as ``instances`` has them."""
    if not isinstance(sent, dict):
        return _instances(offer, sent, at)
    lists = {name: value if isinstance(value, list) else [value] for name, value in sent.items()}
    lengths = {len(values) for values in lists.values()}
    if len(lengths) != 1:
        raise InvalidBody(Problem(at, "Must hold columns of one length."))
    [length] = lengths
    if length > MAX_INSTANCES:
        raise InvalidBody(Problem(at, f"Must hold 1 to {MAX_INSTANCES} rows."))
    rows = [{name: values[row] for name, values in lists.items()} for row in range(length)]

    def place(row: int, name: str | None) -> str:
        if name is None or name not in sent:
            return at
        return f"{at}/{token(name)}" + (f"/{row}" if isinstance(sent[name], list) else "")

    return Frame(rows, place, at)


def _matrix(offer: Offer, sent: Sequence[object], at: str) -> Frame:
    names = offer.row()
    rows = [named(names, row if isinstance(row, list) else [row], f"{at}/{i}") for i, row in enumerate(sent)]

    def place(row: int, name: str | None) -> str:
        return f"{at}/{row}" + (f"/{names.index(name)}" if isinstance(sent[row], list) and name in names else "")

    return Frame(rows, place, at)


def _only(items: Sequence[object], kind: type, at: str, complaint: str, length: int | None = None) -> None:
    """Raise InvalidBody for the first item that is not of this kind and length."""
    for index, item in enumerate(items):
        if not isinstance(item, kind) or (length is not None and len(item) != length):  # type: ignore[arg-type]
            raise InvalidBody(Problem(f"{at}/{index}", complaint))


_READERS: Mapping[str, Callable[[Offer, object, str], Frame]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
}


def read_csv(offer: Offer, raw: bytes) -> Frame:
    """Read CSV whose first line names the columns; a column without a name is pandas' index. Raises InvalidBody.

    A text is read as its field's type says; one that cannot be is left as it is, and complained about as such.
    """
    try:
        lines = list(csv.reader(io.StringIO(raw.decode()), strict=True))
    except (csv.Error, UnicodeDecodeError):
        _not_csv()
    header, data = (lines[0], [line for line in lines[1:] if line]) if lines else ([], [])
    if len(set(header)) < len(header) or any(len(line) != len(header) for line in data):
        _not_csv()
    fields = offer.fields()
    columns = [(index, name, fields.get(name)) for index, name in enumerate(header) if name]
    rows = [{name: _cell(field, line[index]) for index, name, field in columns} for line in data]
    return Frame(rows, lambda row, name: f"/{row}" + (f"/{token(name)}" if name in header and name else ""))


def _not_csv() -> NoReturn:
    raise InvalidBody(Problem("", "Is no CSV in UTF-8 with a line of distinct names and rows of as many values."))


def _cell(declared: Field | None, text: str) -> object:
    if text == "":
        return None
    if declared is None or declared.type is Type.STRING:
        return text
    if declared.type is Type.BOOLEAN:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        number = float(text)
    except ValueError:
        return text
    if "_" in text:  # Python's own way to write a number
        return text
    if declared.type is Type.INTEGER and math.isfinite(number) and len(text) < _LONGEST_NUMBER:
        return int(text) if text.lstrip("+-").isdecimal() else number
    return number
