"""A spool in memory, for tests: same frames, same offsets, same refusals, no disk."""

import asyncio
from collections.abc import Sequence

from gateway.adapters.spool import frames
from gateway.core.errors import LogRefused
from gateway.core.events import Event
from gateway.ports import EventLog


class MemorySpool:
    """Holds what was appended as framed bytes. Set ``full`` to have records refused."""

    def __init__(self, spool_id: str = "memory-p000000") -> None:
        self.spool_id = spool_id
        self.full = False
        self.closed = False
        self.flushes = 0
        self._data = bytearray()

    @property
    def events(self) -> list[Event]:
        """Everything appended so far, in order."""
        return [event for _, event in self.read(0)]

    def append(self, event: Event) -> None:
        """Keep one record. Raises LogRefused when ``full``."""
        if self.full:
            raise LogRefused("The spool is full.")
        self._data += frames.encode(event)

    def append_soon(self, event: Event) -> "asyncio.Future[None]":
        """Keep one record now: memory gains nothing by company."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        refusal = self._refusal(event)
        if refusal is not None:
            future.set_exception(refusal)
        else:
            future.set_result(None)
        return future

    def append_all(self, events: Sequence[Event]) -> list[LogRefused | None]:
        """Keep several, each for itself."""
        return [self._refusal(event) for event in events]

    def _refusal(self, event: Event) -> LogRefused | None:
        try:
            self.append(event)
        except LogRefused as error:
            return error
        return None

    async def flush(self) -> None:
        """Count the call; memory is as safe as it gets. Raises LogRefused when ``full``."""
        if self.full:
            raise LogRefused("The spool is full.")
        self.flushes += 1

    def close(self) -> None:
        """Seal it."""
        self.closed = True

    def read(self, offset: int) -> list[tuple[int, Event]]:
        """Read the records from ``offset`` (bytes) on, each with its own offset."""
        found = frames.scan(bytes(self._data), 0, offset)
        decoded = [(frame.offset, frames.decode(frame)) for frame in found if isinstance(frame, frames.Frame)]
        return [(at, event) for at, event in decoded if not isinstance(event, frames.Unreadable)]

    def drain(self, log: EventLog) -> None:
        """Store whatever ``log`` has not got yet."""
        log.append(self.spool_id, self.read(log.cursors().get(self.spool_id, 0)), len(self._data))
