"""The shadows' lane: what a model that only watches would have answered, off the path of every caller.

An invitation is accepted or dropped at once; it never waits, never raises and never costs a caller anything but the
building of a row. Each one ends as exactly one :class:`ShadowRecord` - scored, failed, or dropped with the reason -
so that eligible = done + dropped + pending holds at every moment.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from gateway.core.deployments import Scalar
from gateway.core.errors import NoModelReady, Overloaded
from gateway.core.events import ShadowRecord
from gateway.core.routing import Part
from gateway.passage import kind_of
from gateway.ports import Clock, Marks, Observer, Output, Runner, Spool, Unmarked, Unobserved

QUEUE_FULL: Final = "queue_full"
NOT_LOADED: Final = "not_loaded"
TOO_LATE: Final = "too_late"
CROWDED: Final = "crowded"
CLOSED: Final = "closed"
GATHER_S: Final = 0.002
"""Machine seconds that a shadow waits for company where one call for several pays: nobody waits for its score."""
_SAME_TIME_S = 1.0


class Invitation(NamedTuple):
    """One shadow asked to look at one prediction. ``deadline_s`` bounds its run, in machine seconds."""

    tag: str
    body: str
    deployment: str
    at: float
    part: Part
    row: tuple[Scalar, ...]
    stable_generation: str
    stable_served: bool
    deadline_s: float


class _Waiting(NamedTuple):
    invitation: Invitation
    since: float


class ShadowLane:
    """A queue of at most ``bound`` invitations per shadow, worked off one by one, or so many ``together``.

    Those that may be scored together wait ``GATHER_S`` for each other, which spares a lone request most of its shadow.

    An invitation older than ``patience_s`` machine seconds is not run: the judge's watermark waits for it.
    ``together`` says of a model's digest how many rows are best scored in one call.
    """

    def __init__(
        self,
        runner: Runner,
        spool: Spool,
        clock: Clock,
        *,
        marks: Marks | None = None,
        observer: Observer | None = None,
        bound: int = 256,
        patience_s: float = 1.0,
        together: Callable[[str], int] = lambda _digest: 1,
    ) -> None:
        self._runner, self._spool, self._clock = runner, spool, clock
        self._marks: Marks = marks or Unmarked()
        self._observer: Observer = observer or Unobserved()
        self._bound, self._patience_s, self._together = bound, patience_s, together
        self._queues: dict[str, deque[_Waiting]] = {}
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._gathering: dict[str, asyncio.TimerHandle] = {}
        self._pending: dict[int, float] = {}
        self._closed = False

    def offer(self, invitation: Invitation, crowded: bool = False) -> None:
        """Accept an invitation or drop it, at once. ``crowded``: shadows are the first to be shed."""
        name = f"{invitation.deployment}/{invitation.part.name}"
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = deque()
        reason = self._refusal(invitation, len(queue), crowded)
        if reason is not None:
            self._write(replace(_blank(invitation), dropped=reason))
            return
        self._pending[id(invitation)] = invitation.at
        queue.append(_Waiting(invitation, self._clock.machine()))
        if name not in self._runs:
            self._gather(name, len(queue), self._together(invitation.part.model.digest))

    def pending(self) -> int:
        """How many accepted invitations have no record yet."""
        return len(self._pending)

    def low(self) -> float | None:
        """The smallest data time (seconds) among pending invitations, None without any."""
        return min(self._pending.values(), default=None)

    async def drain(self, timeout_s: float) -> None:
        """Return once nothing is pending, or after ``timeout_s`` seconds."""
        for name in list(self._gathering):
            self._begin(name)
        if self._runs:
            await asyncio.wait(list(self._runs.values()), timeout=timeout_s)

    async def close(self) -> None:
        """Accept nothing more and drop what is pending, each with its record."""
        self._closed = True
        for alarm in self._gathering.values():
            alarm.cancel()
        self._gathering.clear()
        runs = list(self._runs.values())
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        for queue in self._queues.values():
            while queue:  # a run that was cancelled before it began has left them here
                self._end(queue.popleft().invitation, dropped=CLOSED)

    def _gather(self, name: str, waiting: int, most: int) -> None:
        """Begin to work a queue off: at once where nothing is gained by more of it, or else within ``GATHER_S``."""
        if waiting >= most:
            self._begin(name)
        elif name not in self._gathering:
            self._gathering[name] = asyncio.get_running_loop().call_later(GATHER_S, self._begin, name)

    def _begin(self, name: str) -> None:
        alarm = self._gathering.pop(name, None)
        if alarm is not None:
            alarm.cancel()
        work = self._work(name, self._queues[name])
        self._runs[name] = asyncio.get_running_loop().create_task(work, name=f"shadow {name}")

    def _refusal(self, invitation: Invitation, waiting: int, crowded: bool) -> str | None:
        if self._closed:
            return CLOSED
        if crowded:
            return CROWDED
        if not self._runner.loaded(invitation.part.model.digest):
            return NOT_LOADED
        return QUEUE_FULL if waiting >= self._bound else None

    async def _work(self, name: str, queue: deque[_Waiting]) -> None:
        """Work off a queue, oldest first, and end when it is empty."""
        try:
            while queue:
                invitations = self._take(queue)
                if len(invitations) > 1 and await self._run_together(invitations):
                    continue
                for invitation in invitations:
                    await self._run(invitation)
        finally:
            del self._runs[name]
            if not queue:
                del self._queues[name]

    def _take(self, queue: deque[_Waiting]) -> list[Invitation]:
        """Take the oldest, and those behind it that may share its call; what is too old is dropped on the way."""
        taken: list[Invitation] = []
        now = self._clock.machine()
        most = max(1, self._together(queue[0].invitation.part.model.digest))
        while queue and len(taken) < most:
            invitation = queue[0].invitation
            if taken and not _alike(invitation, taken[0]):
                break
            if now - queue.popleft().since > self._patience_s:
                self._end(invitation, dropped=TOO_LATE)
            else:
                taken.append(invitation)
        return taken

    async def _run_together(self, invitations: Sequence[Invitation]) -> bool:
        """Score all in one call; False when that failed and each has to be run, and charged, alone."""
        part, started = invitations[0].part, self._clock.machine()
        rows = [invitation.row for invitation in invitations]
        bodies = [invitation.body for invitation in invitations]
        try:
            with self._marks.running(invitations[0].tag, bodies, part.generation, invitations[0].at):
                outputs = await self._runner.predict(part, rows, invitations[0].deadline_s)
        except asyncio.CancelledError:
            for invitation in invitations:
                self._end(invitation, dropped=CLOSED)
            raise
        except Exception:  # noqa: BLE001 - whose row it was shows when each is run alone
            return False
        if len(outputs) != len(rows):
            return False
        latency_s = self._clock.machine() - started
        records = [_scored(*each, latency_s) for each in zip(invitations, outputs, strict=True)]
        for record, refusal in zip(records, self._spool.append_all(records), strict=True):
            self._observer.shadowed(record, logged=refusal is None)
        for invitation in invitations:
            del self._pending[id(invitation)]
        return True

    async def _run(self, invitation: Invitation) -> None:
        part, started = invitation.part, self._clock.machine()
        try:
            with self._marks.running(invitation.tag, [invitation.body], part.generation, invitation.at):
                [output] = await self._runner.predict(part, [invitation.row], invitation.deadline_s)
        except NoModelReady:
            self._end(invitation, dropped=NOT_LOADED)
        except Overloaded:
            self._end(invitation, dropped=QUEUE_FULL)
        except asyncio.CancelledError:
            self._end(invitation, dropped=CLOSED)
            raise
        except Exception as error:  # noqa: BLE001 - nobody waits for a shadow, so nobody hears it fall
            self._end(invitation, error=kind_of(error), latency_s=self._clock.machine() - started)
        else:
            self._settle(invitation, _scored(invitation, output, self._clock.machine() - started))

    def _end(
        self, invitation: Invitation, dropped: str | None = None, error: str | None = None, latency_s: float = 0.0
    ) -> None:
        self._settle(invitation, replace(_blank(invitation), dropped=dropped, error=error, latency_s=latency_s))

    def _settle(self, invitation: Invitation, record: ShadowRecord) -> None:
        self._write(record)
        del self._pending[id(invitation)]

    def _write(self, record: ShadowRecord) -> None:
        """Hand the record over; nobody waits for it. In the books it stays pending until the spool is sealed."""
        written = self._spool.append_soon(record)
        if written.done():
            self._written(record, written)
        else:
            written.add_done_callback(partial(self._written, record))

    def _written(self, record: ShadowRecord, written: "asyncio.Future[None]") -> None:
        self._observer.shadowed(record, logged=written.exception() is None)


def _alike(one: Invitation, other: Invitation) -> bool:
    """Whether two invitations may share a call, and the one mark that is kept of it while it runs."""
    return one.part is other.part and one.tag == other.tag and abs(one.at - other.at) <= _SAME_TIME_S


def _scored(invitation: Invitation, output: Output, latency_s: float) -> ShadowRecord:
    return ShadowRecord(
        tag=invitation.tag,
        body=invitation.body,
        deployment=invitation.deployment,
        at=invitation.at,
        name=invitation.part.name,
        generation=invitation.part.generation,
        digest=invitation.part.model.digest,
        stable_generation=invitation.stable_generation,
        stable_served=invitation.stable_served,
        label=output.label,
        score=output.score,
        scores=output.scores,
        latency_s=latency_s,
    )


def _blank(invitation: Invitation) -> ShadowRecord:
    return ShadowRecord(
        tag=invitation.tag,
        body=invitation.body,
        deployment=invitation.deployment,
        at=invitation.at,
        name=invitation.part.name,
        generation=invitation.part.generation,
        digest=invitation.part.model.digest,
        stable_generation=invitation.stable_generation,
        stable_served=invitation.stable_served,
    )
