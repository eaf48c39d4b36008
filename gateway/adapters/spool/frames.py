"""How a record lies in a spool segment: framed, checksummed, typed.

A frame is ``magic(2) version(1) kind(1) length(4) crc32c(4) payload(length)``, big-endian; the checksum covers all of
it but itself. The payload is the record as a msgpack map, so a reader skips fields it does not know.

This file knows bytes, not files: a tail that was torn off and a frame damaged in the middle look alike until one
knows whether a good frame follows, which is what :func:`scan` tells.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import msgspec
from crc32c import crc32c

from gateway.core.errors import LogRefused
from gateway.core.events import CrashRecord, Event, OutcomeRecord, PredictionRecord, Punctuation, ShadowRecord

VERSION = 1
MAX_PAYLOAD = 16 * 1024 * 1024
"""Bytes. A length beyond it is damage, not a record."""

_MAGIC = b"\xf7\x6b"
_HEAD = struct.Struct(">2sBBI")
_CHECKSUM = struct.Struct(">I")
HEADER_BYTES = _HEAD.size + _CHECKSUM.size


class Kind(IntEnum):
    """What a frame holds. Numbers are never given twice."""

    PREDICTION = 1
    SHADOW = 2
    OUTCOME = 3
    CRASH = 4
    PUNCTUATION = 5


_TYPES: dict[Kind, type[Event]] = {
    Kind.PREDICTION: PredictionRecord,
    Kind.SHADOW: ShadowRecord,
    Kind.OUTCOME: OutcomeRecord,
    Kind.CRASH: CrashRecord,
    Kind.PUNCTUATION: Punctuation,
}
_KINDS: dict[type, Kind] = {cls: kind for kind, cls in _TYPES.items()}
_DECODERS = {kind: msgspec.msgpack.Decoder(cls) for kind, cls in _TYPES.items()}
_ENCODER = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame with a good checksum, at byte ``offset`` of its segment; the next one starts at ``end``."""

    offset: int
    end: int
    version: int
    kind: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes ``offset`` to ``end`` of a segment that hold no record this version can read, and why."""

    offset: int
    end: int
    reason: str


def encode(event: Event) -> bytes:
    """Frame one record. Raises LogRefused for values no record can hold (an integer beyond 64 bits, a lone surrogate).

    >>> frame = encode(Punctuation(low=None, high=7.0))
    >>> [decode(found) for found in scan(frame, 0)]
    [Punctuation(low=None, high=7.0, schema=1)]
    """
    try:
        payload = _ENCODER.encode(event)
    except (OverflowError, UnicodeEncodeError) as error:
        raise LogRefused("The record holds a value that the log cannot take.") from error
    if len(payload) > MAX_PAYLOAD:
        raise LogRefused(f"The record is longer than {MAX_PAYLOAD} bytes.")
    head = _HEAD.pack(_MAGIC, VERSION, _KINDS[type(event)], len(payload))
    return head + _CHECKSUM.pack(crc32c(payload, crc32c(head))) + payload


def scan(data: bytes, base: int, offset: int = 0, *, whole: bool = True) -> Iterator[Frame | Unreadable]:
    """Yield what stands in ``data`` from ``offset`` on; ``base`` is the place of ``data`` in its segment.

    Stops before bytes that are not followed by a good frame: a tail still being written, or torn off. Damage that is
    followed by a good frame is yielded as Unreadable, never passed over in silence. ``whole``: the segment ends where
    ``data`` does; otherwise a frame that reaches beyond ``data`` is taken for unfinished, not for damage.
    """
    while offset < len(data):
        frame = _frame_at(data, base, offset)
        if frame is None:
            if not whole and needed(data[offset : offset + HEADER_BYTES]) > len(data) - offset:
                return
            frame = _next_frame(data, base, offset + 1)
            if frame is None:
                return
            yield Unreadable(base + offset, frame.offset, "bad checksum")
        yield frame
        offset = frame.end - base


def decode(frame: Frame) -> Event | Unreadable:
    """Turn a frame into its record; one from a later version of the gateway comes back as Unreadable."""
    if frame.version > VERSION:
        return Unreadable(frame.offset, frame.end, f"frame version {frame.version}")
    if frame.kind not in _DECODERS:
        return Unreadable(frame.offset, frame.end, f"record kind {frame.kind}")
    try:
        return _DECODERS[Kind(frame.kind)].decode(frame.payload)
    except msgspec.DecodeError as error:  # whole and checksummed, so it was written by something else than this
        return Unreadable(frame.offset, frame.end, f"payload: {error}")


def kind_of(event: Event) -> Kind:
    """Name the kind of a record."""
    return _KINDS[type(event)]


def needed(data: bytes) -> int:
    """Say how many bytes the frame that ``data`` starts with has in all (0: its header does not tell)."""
    if len(data) < HEADER_BYTES:
        return HEADER_BYTES
    magic, _, _, length = _HEAD.unpack_from(data)
    return HEADER_BYTES + int(length) if magic == _MAGIC and length <= MAX_PAYLOAD else 0


def _frame_at(data: bytes, base: int, offset: int) -> Frame | None:
    start = offset + HEADER_BYTES
    if start > len(data):
        return None
    magic, version, kind, length = _HEAD.unpack_from(data, offset)
    end = start + length
    if magic != _MAGIC or length > MAX_PAYLOAD or end > len(data):
        return None
    payload = data[start:end]
    (checksum,) = _CHECKSUM.unpack_from(data, offset + _HEAD.size)
    if checksum != crc32c(payload, crc32c(data[offset : offset + _HEAD.size])):
        return None
    return Frame(base + offset, base + end, version, kind, payload)


def _next_frame(data: bytes, base: int, offset: int) -> Frame | None:
    while (offset := data.find(_MAGIC, offset)) >= 0:
        if frame := _frame_at(data, base, offset):
            return frame
        offset += 1
    return None
