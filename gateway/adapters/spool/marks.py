"""What a worker was running when it died: a small file of slots, mapped into memory, that outlives kill -9.

Before a worker runs a model that is not stable it notes the predictions and the model's generation in a slot, and
clears the slot afterwards. The agent turns what it finds in a dead worker's file into crash records, so a candidate
that kills its worker is charged. The kernel keeps the pages; nothing is synced, so a power cut charges nobody.
"""

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from crc32c import crc32c

from gateway.adapters.spool.files import LocalFiles
from gateway.adapters.spool.names import MARKS, this_writer
from gateway.core.events import CrashRecord, Event

SLOTS = 64
SLOT_BYTES = 32 * 1024
"""Room for a full batch of 1,000 prediction ids. The file is sparse: a slot takes memory once it is used."""

_HEAD = struct.Struct(">II")  # length of the note (0: the slot is free), CRC32C of the note
_FREE = bytes(_HEAD.size)
_Note = tuple[str, str, float, list[str]]  # tag, generation, data time, bodies
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Note)


class MarksFile:
    """A worker's marks, at ``<folder>/<writer>.marks``, locked for as long as the worker lives.

    Threads may note and clear at the same time: each works in a slot of its own.
    """

    def __init__(self, folder: Path, writer: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{writer or this_writer()}{MARKS}"
        self._descriptor = LocalFiles().create(self._path)
        os.ftruncate(self._descriptor, SLOTS * SLOT_BYTES)
        self._map = mmap.mmap(self._descriptor, SLOTS * SLOT_BYTES)
        self._free = list(range(SLOTS))

    @contextmanager
    def running(self, tag: str, bodies: Sequence[str], generation: str, at: float) -> Iterator[None]:
        """Note that these predictions run a model of ``generation`` while the context lasts.

        Never raises and never waits: when every slot is taken, or the note is too long for one, it goes unnoted.
        """
        note = _ENCODER.encode((tag, generation, at, bodies))
        slot = self._take_slot(len(note))
        if slot is None:
            yield
            return
        start = slot * SLOT_BYTES
        self._map[start : start + _HEAD.size + len(note)] = _HEAD.pack(len(note), crc32c(note)) + note
        try:
            yield
        finally:
            self._map[start : start + _HEAD.size] = _FREE
            self._free.append(slot)

    def close(self) -> None:
        """Leave cleanly: no marks stay behind, so nobody is charged. A thread still running may clear its own."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _take_slot(self, length: int) -> int | None:
        if length > SLOT_BYTES - _HEAD.size:
            return None
        try:
            return self._free.pop()
        except IndexError:  # asking first would race with the other threads
            return None


def crashes(path: Path) -> tuple[list[tuple[int, Event]], int]:
    """Read a dead worker's marks as crash records, each with its place in the file, and say where the file ends.

    A slot that was half written when the worker died is no mark: the model had not begun.
    """
    data = path.read_bytes()
    records: list[tuple[int, Event]] = []
    for start in range(0, len(data) - _HEAD.size, SLOT_BYTES):
        length, checksum = _HEAD.unpack_from(data, start)
        note = data[start + _HEAD.size : start + _HEAD.size + length]
        if 0 < length <= SLOT_BYTES - _HEAD.size and crc32c(note) == checksum:
            tag, generation, at, bodies = _DECODER.decode(note)
            records += [(start + n, CrashRecord(tag, body, generation, at)) for n, body in enumerate(bodies)]
    return records, len(data)
