"""The ports of a worker's own log: what it keeps of each request, and of what it is about to run."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from gateway.core.errors import LogRefused
from gateway.core.events import Event


class Spool(Protocol):
    """A worker's own append-only log: what it says is there survives the worker."""

    def append(self, event: Event) -> None:
        """Hand ``event`` to the kernel before returning. Raises LogRefused."""

    def append_soon(self, event: Event) -> "asyncio.Future[None]":
        """Hand ``event`` to the kernel with whatever else this turn of the loop brings, in the order it came.

        The future is done once the kernel has it, or raises LogRefused; leaving it does not take the record back.
        """

    def append_all(self, events: Sequence[Event]) -> "list[LogRefused | None]":
        """Hand several to the kernel before returning, in one write where it takes them; say which were refused."""

    async def flush(self) -> None:
        """Return once everything appended before the call is on disk (fsync, group commit). Raises LogRefused."""

    def close(self) -> None:
        """Seal the segment: the agent drains and deletes it."""


class Marks(Protocol):
    """A worker's note of what it is about to run, kept where a crash cannot take it (a small mmap)."""

    def running(self, tag: str, bodies: Sequence[str], generation: str, at: float) -> AbstractContextManager[None]:
        """Note that these predictions run a model of ``generation``, which is not stable, while the context lasts.

        ``at`` is their data time. Never raises and never waits: with no room left the run goes unnoted.
        """


class Unmarked:
    """Marks for a process whose crash nobody charges to a model: it notes nothing."""

    def running(self, tag: str, bodies: Sequence[str], generation: str, at: float) -> AbstractContextManager[None]:
        """Note nothing."""
        del tag, bodies, generation, at
        return nullcontext()
