"""The worker's side of the spool: whole frames to the kernel, fsync by group commit, one writer per file.

A record is in the kernel when ``append`` returns, so it survives the worker; it is on disk when a ``flush`` that was
called after it returns. Nothing here reads, and nothing here knows what a record means.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.spool import frames
from gateway.adapters.spool.files import Files, LocalFiles
from gateway.adapters.spool.names import PREDICTIONS, segment_name, this_writer
from gateway.core.errors import LogRefused
from gateway.core.events import Event

SEGMENT_BYTES = 64 * 1024 * 1024

_numbers: defaultdict[tuple[Path, str, str], Iterator[int]] = defaultdict(itertools.count)
"""The next segment number of each (folder, writer, lane). One for the process, because a spool_id must never come
twice: the store has a cursor for it, and takes what stands below for known."""


@dataclass(slots=True)
class _Open:
    """The segment being written; ``size`` counts whole frames only."""

    path: Path
    descriptor: int
    size: int = 0


class SegmentSpool:
    """One lane of one worker: a row of segments, each sealed when the next one is begun. Lives on one event loop.

    ``segment_bytes`` is the size at which a new segment is begun; ``cap_bytes`` bounds what all segments in the
    folder may hold together before records are refused (None: the disk does). The first segment is begun by the
    first record, so a full disk refuses records and not the worker's start.
    """

    def __init__(
        self,
        folder: Path,
        lane: str = PREDICTIONS,
        *,
        writer: str | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        cap_bytes: int | None = None,
        files: Files | None = None,
    ) -> None:
        self._folder = folder
        self._lane = lane
        self._writer = writer or this_writer()
        self._segment_bytes = segment_bytes
        self._cap_bytes = cap_bytes
        self._files = files or LocalFiles()
        self._numbers = _numbers[folder, self._writer, lane]
        self._current: _Open | None = None
        self._closed = False
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._commit = _GroupCommit(self._files, folder, on_failure=self._seal)
        folder.mkdir(parents=True, exist_ok=True)
        self._files.sync_folder(folder.parent)

    @property
    def spool_id(self) -> str | None:
        """The segment being written; None before the first record."""
        return self._current.path.stem if self._current else None

    def append(self, event: Event) -> None:
        """Hand one whole frame to the kernel. Raises LogRefused, and then the segment holds no part of it."""
        frame = frames.encode(event)
        self._append_waiting()
        self._append(frame)

    def append_soon(self, event: Event) -> "asyncio.Future[None]":
        """Hand the frame to the kernel in one write with all others of this turn of the loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        try:
            frame = frames.encode(event)
        except LogRefused as error:
            future.set_exception(error)
            return future
        self._waiting.append((frame, future))
        if len(self._waiting) == 1:
            loop.call_soon(self._append_waiting)
        return future

    def append_all(self, events: Sequence[Event]) -> list[LogRefused | None]:
        """Hand all frames to the kernel in one write; where that fails one by one, so that each is refused for itself.

        A refused one leaves no part of itself in the segment.
        """
        self._append_waiting()
        try:
            self._append(b"".join([frames.encode(event) for event in events]))
        except LogRefused as refusal:
            return [refusal] if len(events) == 1 else [self._refusal(event) for event in events]
        return [None] * len(events)

    def _refusal(self, event: Event) -> LogRefused | None:
        try:
            self.append(event)
        except LogRefused as refusal:
            return refusal
        return None

    async def flush(self) -> None:
        """Return once an fsync that began after everything appended so far has ended well.

        Raises LogRefused to everybody whose record was appended before the failure; flush in the same breath as the
        append, because a flush after newer records speaks for those only.
        """
        if not await self._commit.covered():
            raise LogRefused("The spool could not be synced to disk.")

    def close(self) -> None:
        """Seal the segment: its free lock tells the agent that nothing more will come."""
        self._append_waiting()
        self._closed = True
        self._seal()
        self._commit.close()

    def _append_waiting(self) -> None:
        """Write what waits in one go; where that fails one by one, so that each is refused for itself."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        try:
            self._append(b"".join([frame for frame, _ in waiting]))
        except LogRefused:
            for frame, future in waiting:
                self._append_alone(frame, future)
            return
        for _, future in waiting:
            if not future.done():  # its caller has gone; the record stays
                future.set_result(None)

    def _append_alone(self, frame: bytes, future: "asyncio.Future[None]") -> None:
        try:
            self._append(frame)
        except LogRefused as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(None)

    def _append(self, frames_: bytes) -> None:
        """Hand whole frames to the kernel. Raises LogRefused, and then the segment holds no part of them."""
        if self._closed:
            raise LogRefused("The spool is closed.")
        try:
            segment = self._current
            if segment is None or segment.size + len(frames_) > self._segment_bytes:
                segment = self._begin_segment()
            self._write(segment, frames_)
        except OSError as error:
            raise LogRefused(f"The spool did not take the record ({error.strerror}).") from error

    def _write(self, segment: _Open, frame: bytes) -> None:
        try:
            written = self._files.append(segment.descriptor, frame)
        except OSError:
            self._cut_back(segment)
            raise
        if written != len(frame):
            self._cut_back(segment)
            raise LogRefused(f"The disk took {written} of the record's {len(frame)} bytes.")
        segment.size += written
        self._commit.appended(segment.path)

    def _cut_back(self, segment: _Open) -> None:
        try:
            self._files.truncate(segment.descriptor, segment.size)
        except OSError:  # half a frame stays at the end of this segment, so nothing may follow it
            self._seal()

    def _begin_segment(self) -> _Open:
        if self._cap_bytes is not None and self._files.used(self._folder) >= self._cap_bytes:
            raise LogRefused(f"The spool holds its {self._cap_bytes} bytes; the agent has to drain it first.")
        path = self._folder / segment_name(self._writer, self._lane, next(self._numbers))
        descriptor = self._files.create(path)
        self._seal()
        self._current = _Open(path, descriptor)
        return self._current

    def _seal(self) -> None:
        if self._current is not None:
            self._files.close(self._current.descriptor)
        self._current = None


class _GroupCommit:
    """Many waiters, few fsyncs: each waits for one that *began* after its record was appended.

    Records are counted, not named. After a failed fsync the kernel may have dropped pages and still call the next
    one a success, so everything appended up to then (``lost``) stays unsure and the segment is left (``on_failure``).
    """

    def __init__(self, files: Files, folder: Path, on_failure: Callable[[], None]) -> None:
        self._files = files
        self._folder = folder
        self._on_failure = on_failure
        self._dirty: dict[Path, bool] = {}  # segments to sync; True: the folder may not have them on disk yet
        self._newest: Path | None = None
        self._count = 0
        self._synced = 0
        self._lost = 0
        self._round: asyncio.Task[bool] | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool-fsync")

    def appended(self, path: Path) -> None:
        """Note one more record, in the segment at ``path``."""
        self._count += 1
        self._dirty[path] = self._dirty.get(path, False) or path != self._newest
        self._newest = path

    async def covered(self) -> bool:
        """Wait until everything noted so far is on disk; False when nobody can be sure that it is."""
        target = self._count
        while self._synced < target:
            if target <= self._lost:
                return False
            if self._round is None:
                self._round = asyncio.create_task(self._sync())
            if not await asyncio.shield(self._round):  # a caller who goes away must not take the others' fsync along
                return False
        return True

    def close(self) -> None:
        """Wait for the fsync under way, if any; none begins after it."""
        self._closed = True
        self._thread.shutdown(wait=True)

    async def _sync(self) -> bool:
        count, dirty = self._count, self._dirty
        self._dirty = {}
        if self._closed:
            self._round = None
            return False
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._sync_files, dirty)
        except OSError:
            self._lost, self._dirty = self._count, {}
            self._on_failure()
            return False
        finally:
            self._round = None
        self._synced = count
        return True

    def _sync_files(self, dirty: dict[Path, bool]) -> None:
        for path in dirty:
            self._files.sync(path)
        if any(dirty.values()):
            self._files.sync_folder(self._folder)
