"""The agent's side of the spool: find segments, read them from a cursor, move them into the store, delete them.

The store's cursor is the only memory: whatever happens between two steps, the next pass begins where the last
commit ended. A segment is deleted only when it is sealed and the store holds all of it.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.adapters.spool import frames
from gateway.adapters.spool.files import unlocked
from gateway.adapters.spool.frames import Frame, Unreadable, kind_of
from gateway.adapters.spool.marks import crashes
from gateway.adapters.spool.names import MARKS, SEGMENT, writer_of
from gateway.core.events import Event, Punctuation
from gateway.ports import EventLog

BATCH_BYTES = 1024 * 1024
BATCH_RECORDS = 1_000
"""Most records of one transaction: joined with a log of ten million they take well below a second."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the spool as it stood when listed. ``sealed``: its writer has closed it or is dead."""

    spool_id: str
    path: Path
    sealed: bool
    size: int

    @property
    def writer(self) -> str:
        """The process that wrote it."""
        return writer_of(self.spool_id)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records read from a segment, each with its offset; the next read begins at ``end``.

    ``torn``: the last bytes are half a frame that a dead writer left; its record was never acknowledged.
    ``unreadable`` lists damage and records of a later version; their bytes were set aside in ``damaged/``.
    """

    events: list[tuple[int, Event]]
    end: int
    torn: bool = False
    unreadable: tuple[Unreadable, ...] = ()

    def first(self, most: int) -> "Batch":
        """Its first records, at most so many; the next read begins at the one behind them."""
        if len(self.events) <= most:
            return self
        return Batch(self.events[:most], self.events[most][0], unreadable=self.unreadable)


class SpoolReader:
    """Reads a folder of segments that other processes write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def segments(self) -> list[Segment]:
        """List the segments by name: a writer's in the order in which it wrote them."""
        found = (self._segment(path) for path in sorted(self._folder.glob(f"*{SEGMENT}")))
        return [segment for segment in found if segment is not None]

    def read(self, spool_id: str, offset: int, limit_bytes: int = BATCH_BYTES) -> Batch:
        """Read whole frames from ``offset`` on, about ``limit_bytes`` of them and at least one if there is one.

        A segment that is gone reads as empty.
        """
        segment = self._segment(self._path(spool_id))  # its seal is looked at before its bytes, so none come later
        if segment is None or offset >= segment.size:
            return Batch([], offset)
        with segment.path.open("rb", buffering=0) as file:
            data = _read(file.fileno(), offset, limit_bytes)
            batch = _decode(data, offset, segment)
            if batch.end == offset and offset + len(data) < segment.size:  # damage longer than what was read
                data = os.pread(file.fileno(), segment.size - offset, offset)
                batch = _decode(data, offset, segment)
        for hole in batch.unreadable:
            self._set_aside(spool_id, hole, data[hole.offset - offset : hole.end - offset])
        return batch

    def remove(self, spool_id: str) -> None:
        """Delete a segment whose records the store has committed."""
        self._path(spool_id).unlink(missing_ok=True)

    def pending(self, spool_id: str, offset: int) -> dict[str, int]:
        """Count by kind the records that stand between ``offset`` and the end: what is spooled and not stored."""
        try:
            with self._path(spool_id).open("rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return {}
        kinds = (found.kind for found in frames.scan(data, offset) if isinstance(found, Frame))
        known = {kind.value: kind.name.lower() for kind in frames.Kind}
        return dict(Counter(known.get(kind, "unknown") for kind in kinds))

    def dead_writers(self) -> dict[str, Path]:
        """Name the writers that are gone but have left marks of what they were running, with the marks' files."""
        return {path.stem: path for path in sorted(self._folder.glob(f"*{MARKS}")) if unlocked(path)}

    def writers_beside(self, finished: Sequence[Segment]) -> set[str]:
        """Name the writers that have marks, or any segment beside the ``finished`` ones: alive, or not yet buried."""
        done = {segment.spool_id for segment in finished}
        marked = {path.stem for path in self._folder.glob(f"*{MARKS}")}
        return marked | {segment.writer for segment in self.segments() if segment.spool_id not in done}

    def _path(self, spool_id: str) -> Path:
        return self._folder / f"{spool_id}{SEGMENT}"

    def _segment(self, path: Path) -> Segment | None:
        sealed = unlocked(path)
        try:
            return Segment(path.stem, path, sealed, path.stat().st_size)
        except FileNotFoundError:
            return None

    def _set_aside(self, spool_id: str, hole: Unreadable, data: bytes) -> None:
        folder = self._folder / "damaged"
        folder.mkdir(exist_ok=True)
        (folder / f"{spool_id}-{hole.offset}.bin").write_bytes(data)


@dataclass(slots=True)
class Drained:
    """What one pass over a spool folder moved into the store."""

    events: Counter[str] = field(default_factory=Counter)
    """Records by kind."""
    punctuations: dict[str, Punctuation] = field(default_factory=dict)
    """The last word on data time of each spool that gave one in this pass."""
    unreadable: dict[str, tuple[Unreadable, ...]] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)
    """Spools that a dead writer left with half a frame at the end."""
    removed: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    """Writers found dead whose marks were turned into crash records."""
    behind: bool = False
    """A sealed or growing segment holds more than was read: drain again at once."""

    def note(self, segment: Segment, batch: Batch) -> None:
        """Count what a batch held."""
        for _, event in batch.events:
            self.events[kind_of(event).name.lower()] += 1
            if isinstance(event, Punctuation):
                self.punctuations[segment.spool_id] = event
        if batch.unreadable:
            self.unreadable[segment.spool_id] = batch.unreadable
        if batch.torn:
            self.torn.append(segment.spool_id)
        self.behind = self.behind or (bool(batch.events) and batch.end < segment.size)


def drain(reader: SpoolReader, log: EventLog, limit_bytes: int = BATCH_BYTES) -> Drained:
    """Move one batch of every segment into the store, and delete what is sealed and stored. May block.

    A dead writer's marks come last, when all it wrote is stored: a run that was recorded is no crash. Raises
    StoreUnavailable; what was committed until then stays committed, and the next pass goes on from there.
    """
    drained = Drained()
    dead = reader.dead_writers()  # looked at before the segments: a writer found dead has written its last
    cursors = log.cursors()
    finished: list[Segment] = []
    for segment in reader.segments():
        cursor = cursors.get(segment.spool_id, 0)
        batch = reader.read(segment.spool_id, cursor, limit_bytes).first(BATCH_RECORDS)
        if batch.end > cursor:
            log.append(segment.spool_id, batch.events, batch.end)
        drained.note(segment, batch)
        if segment.sealed and batch.end >= segment.size:
            finished.append(segment)
    at_work = reader.writers_beside(finished)
    for writer in sorted({segment.writer for segment in finished} - at_work):
        log.close_writer(writer)  # it left cleanly; before its last segment goes, so that a crash here repeats it
    for segment in finished:
        reader.remove(segment.spool_id)
        drained.removed.append(segment.spool_id)
    for writer, path in dead.items():
        if writer not in {segment.writer for segment in reader.segments()}:
            _bury(writer, path, log, drained)
    return drained


def _bury(writer: str, marks: Path, log: EventLog, drained: Drained) -> None:
    events, end = crashes(marks)
    log.append(marks.name, events, end)
    log.close_writer(writer)
    marks.unlink(missing_ok=True)
    drained.events["crash"] += len(events)
    drained.dead.append(writer)


def _read(descriptor: int, offset: int, limit_bytes: int) -> bytes:
    data = os.pread(descriptor, limit_bytes, offset)
    missing = frames.needed(data) - len(data)
    return data + os.pread(descriptor, missing, offset + len(data)) if missing > 0 else data


def _decode(data: bytes, offset: int, segment: Segment) -> Batch:
    whole = offset + len(data) >= segment.size
    events: list[tuple[int, Event]] = []
    holes: list[Unreadable] = []
    end, torn = offset, False
    for found in frames.scan(data, offset, whole=whole):
        record = found if isinstance(found, Unreadable) else frames.decode(found)
        if isinstance(record, Unreadable):
            holes.append(record)
        else:
            events.append((found.offset, record))
        end = found.end
    if whole and segment.sealed and end < offset + len(data):  # nothing will ever complete this tail
        tail, start, end = data[end - offset :], end, offset + len(data)
        torn = frames.needed(tail) > len(tail)
        if not torn:
            holes.append(Unreadable(start, end, "bad checksum at the end"))
    return Batch(events, end, torn, tuple(holes))
