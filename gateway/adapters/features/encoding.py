"""The bytes Feast stores, read and written without importing Feast: entity keys, field hashes, scalar values.

Entity keys are Feast's serialization version 3 (``feast.infra.key_encoding_utils``), the only version it still
writes. Values are ``feast.types.Value`` messages; they are parsed by protobuf itself, through a descriptor built here
with the scalar fields of that message, in a pool of its own so that it never meets Feast's. Pure functions; that they
equal Feast's own is tested when a plan is compiled (:mod:`gateway.adapters.features.selftest`).
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache

import mmh3
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.core.deployments import Scalar, Type
from gateway.core.features import JoinKey, Status

_STRING, _INT32, _INT64 = 2, 3, 4  # feast.types.ValueType


def _int_encoder(tag: int, layout: str, bits: int) -> Callable[[Scalar], bytes | None]:
    low, high, size = -(1 << bits - 1), 1 << bits - 1, bits // 8
    pack = struct.Struct(f"<II{layout}").pack

    def encode(value: Scalar) -> bytes | None:
        return pack(tag, size, value) if type(value) is int and low <= value < high else None

    return encode


def _encode_string(value: Scalar) -> bytes | None:
    if type(value) is not str:
        return None
    try:
        encoded = value.encode()
    except UnicodeEncodeError:  # a lone surrogate: no store holds it
        return None
    return struct.pack("<II", _STRING, len(encoded)) + encoded


_KEY_ENCODERS: dict[str, Callable[[Scalar], bytes | None]] = {
    "INT32": _int_encoder(_INT32, "i", 32),
    "INT64": _int_encoder(_INT64, "q", 64),
    "STRING": _encode_string,
}
KEY_TYPES = {"INT32": Type.INTEGER, "INT64": Type.INTEGER, "STRING": Type.STRING}
FEATURE_TYPES = {
    "INT32": Type.INTEGER,
    "INT64": Type.INTEGER,
    "FLOAT": Type.NUMBER,
    "DOUBLE": Type.NUMBER,
    "STRING": Type.STRING,
    "BOOL": Type.BOOLEAN,
}


class KeyEncoder:
    """Turns a row into the entity key of one view, as Feast serializes it.

    Answers None for a row that lacks a key, or holds one that no store could hold (wrong type, out of range, not
    Unicode): there is nothing to find under it.

    >>> key = KeyEncoder([JoinKey("user", "user_id", Type.INTEGER, "INT64")])
    >>> key({"user": 7}).hex()
    '010000000200000007000000757365725f696404000000080000000700000000000000'
    >>> key({"user": "7"}) is None
    True
    """

    __slots__ = ("_parts", "_prefix")

    def __init__(self, keys: Sequence[JoinKey]) -> None:
        ordered = sorted(keys, key=lambda key: key.stored)
        names = [key.stored.encode() for key in ordered]
        self._prefix = struct.pack("<I", len(names)) + b"".join(
            struct.pack("<II", _STRING, len(name)) + name for name in names
        )
        self._parts = tuple((key.request, _KEY_ENCODERS[key.feast_type]) for key in ordered)

    def __call__(self, row: Mapping[str, Scalar]) -> bytes | None:
        """Serialize ``row``'s join keys; None if the row has no such entity."""
        key = self._prefix
        for name, encode in self._parts:
            part = encode(row.get(name))
            if part is None:
                return None
            key += part
        return key


def field_hash(view: str, feature: str) -> bytes:
    """Name the Redis hash field of a feature: murmur3 of ``view:feature``, four bytes, little-endian.

    >>> field_hash("user_stats", "a").hex()
    '1cf505c4'
    """
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


def table_name(project: str, view: str) -> str:
    """Name the SQLite table of a stored view."""
    return f"{project}_{view}"


def _scalar_value_class() -> type[Message]:
    field = FieldDescriptorProto
    fields = (
        ("string_val", 2, field.TYPE_STRING),
        ("int32_val", 3, field.TYPE_INT32),
        ("int64_val", 4, field.TYPE_INT64),
        ("double_val", 5, field.TYPE_DOUBLE),
        ("float_val", 6, field.TYPE_FLOAT),
        ("bool_val", 7, field.TYPE_BOOL),
        ("null_val", 19, field.TYPE_INT32),  # an enum in Feast's file; the same varint
    )
    file = FileDescriptorProto(name="gateway/feast_value.proto", package="gateway", syntax="proto3")
    message = file.message_type.add(name="Value")
    message.oneof_decl.add(name="val")
    for name, number, kind in fields:
        message.field.add(name=name, number=number, type=kind, label=field.LABEL_OPTIONAL, oneof_index=0)
    pool = DescriptorPool()
    pool.Add(file)
    value: type[Message] = GetMessageClass(pool.FindMessageTypeByName("gateway.Value"))
    return value


_Value = _scalar_value_class()
_parse = _Value.FromString

KINDS: dict[Type, frozenset[str]] = {
    Type.INTEGER: frozenset({"int32_val", "int64_val"}),
    Type.NUMBER: frozenset({"float_val", "double_val", "int32_val", "int64_val"}),
    Type.STRING: frozenset({"string_val"}),
    Type.BOOLEAN: frozenset({"bool_val"}),
}
"""Which of the message's fields a feature of each type may arrive in. A number takes integers too."""

UNREADABLE = b"\xff"
"""A cell that no value has: :func:`decode` calls it UNAVAILABLE."""


def decode(cell: bytes | None, kinds: frozenset[str]) -> tuple[Scalar, Status]:
    """Read one stored cell: no cell is MISSING, an empty one NULL, bytes that are no such value UNAVAILABLE.

    >>> decode(bytes([0x20, 7]), KINDS[Type.INTEGER])
    (7, <Status.PRESENT: 0>)
    """
    if cell is None:
        return None, Status.MISSING
    if not cell:
        return None, Status.NULL
    try:
        message = _parse(cell)
    except DecodeError:
        return None, Status.UNAVAILABLE
    kind = message.WhichOneof("val")
    if kind in kinds:
        return getattr(message, kind), Status.PRESENT
    return None, Status.NULL if kind == "null_val" else Status.UNAVAILABLE


_DOUBLE_TAG = b"\x29"  # field 5, eight bytes follow
_DOUBLE_BYTES = 9
_NINE = frozenset({_DOUBLE_BYTES})


def decode_doubles(cells: Sequence[bytes | None]) -> tuple[float, ...] | None:
    """Read cells that are all present and all doubles, at once; None where one is anything else.

    >>> decode_doubles([bytes.fromhex("29000000000000f83f")] * 2), decode_doubles([None])
    ((1.5, 1.5), None)
    """
    try:
        joined = b"".join(cells)  # type: ignore[arg-type]  # where one is None it says so
    except TypeError:
        return None
    if not _NINE.issuperset(map(len, cells)) or joined[::_DOUBLE_BYTES].strip(_DOUBLE_TAG):  # type: ignore[arg-type]
        return None
    return _doubles(len(cells)).unpack(joined)


@cache
def _doubles(count: int) -> struct.Struct:
    return struct.Struct("<" + "xd" * count)


@lru_cache(maxsize=1_024)
def decode_timestamp(cell: bytes) -> float:
    """Read a ``google.protobuf.Timestamp`` as seconds since the Unix epoch.

    Rows that one batch has written mostly share theirs, so the last ones are kept.
    """
    timestamp = Timestamp.FromString(cell)
    return float(timestamp.seconds + timestamp.nanos / 1_000_000_000)
