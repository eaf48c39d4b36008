"""The agent's two duties towards a broker: telling it what waits in the outbox, and taking outcomes from it.

Both go round for ever and neither can hold up anything else: the broker is asked in threads of their own, and while it
is away the outbox and the topic keep what is theirs.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog

from gateway import compose
from gateway.adapters.spool.segment import SegmentSpool
from gateway.compose import Controlling
from gateway.core.envelopes import Envelope, Told, envelope, kind_of
from gateway.core.errors import InvalidBody, LogRefused, StoreUnavailable, UnknownDeployment
from gateway.core.events import Decision
from gateway.core.ids import SigningKeys, mint, tag_of
from gateway.core.routing import RoutingTable
from gateway.edge.metrics import AgentMetrics
from gateway.feedback import Feedback
from gateway.ports import Delivery, EventSink, Incoming, Outbox, OutcomeSource, Untold
from gateway.processes.fleet import Fleet
from gateway.settings import Settings

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Events or messages in hand at a time."""
_IDLE_S = 0.2
_TROUBLE_S = 1.0

_Result = TypeVar("_Result")
Run = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]
Count = Callable[[str, str, int], None]
"""Told how many of a kind became what."""


class Telling:
    """Tells what waits in the outbox, oldest first: gone from there only when the broker has said that it has it.

    Beyond ``most`` that wait the oldest are given up. ``count`` hears what became of events, ``wait`` how many wait.
    """

    def __init__(
        self,
        outbox: Outbox,
        sink: EventSink,
        wrap: Callable[[Untold], Envelope],
        run: Run,
        count: Count,
        wait: Callable[[int], None] = lambda _: None,
        most: int = 1_000_000,
    ) -> None:
        self._outbox, self._sink, self._wrap, self._run, self._most = outbox, sink, wrap, run, most
        self._count, self._wait = count, wait
        self._aside = _Aside("tell")

    async def run(self) -> None:
        """Tell, for ever; a store or a broker that is away is waited for."""
        try:
            while True:
                try:
                    await asyncio.sleep(0.0 if await self.once() else _IDLE_S)
                except StoreUnavailable:  # the drain says so
                    await asyncio.sleep(_TROUBLE_S)
        finally:
            self._wait(0)  # whoever leads now counts them

    async def once(self) -> bool:
        """Tell one handful; whether to go on at once. Raises StoreUnavailable."""
        await self._bound()
        found: list[Untold] = await self._run(lambda: self._outbox.untold(AT_ONCE))
        if not found:
            return False
        became = await self._aside.run(lambda: self._sink.send([self._wrap(one) for one in found]))
        over = [one.number for one, word in zip(found, became, strict=True) if word is not Delivery.FAILED]
        if over:
            await self._run(lambda: self._outbox.told(over))
        for one, word in zip(found, became, strict=True):
            self._count(kind_of(one.event), word.value, 1)
            if word is Delivery.REFUSED:
                log.error("event_refused", id=one.id)
        return len(over) == len(found)

    async def _bound(self) -> None:
        given_up = await self._run(lambda: self._outbox.give_up(self._most))
        self._wait(await self._run(self._outbox.waiting))
        if given_up:
            log.error("events_given_up", count=given_up)
            self._count("any", "given_up", given_up)

    def close(self) -> None:
        """Hang up."""
        self._sink.close()


class Taking:
    """Takes outcomes as ``POST /feedback`` does: on disk first, then said to be done.

    ``count`` hears of ``accepted`` and ``refused`` messages, and of those to come ``again``.
    """

    def __init__(
        self,
        source: OutcomeSource,
        read: Callable[[Incoming], object],
        feedback: Feedback,
        count: Callable[[str, int], None],
    ) -> None:
        self._source, self._read, self._feedback, self._count = source, read, feedback, count
        self._aside = _Aside("take")

    async def run(self) -> None:
        """Take, for ever."""
        while True:
            if not await self.once():
                await asyncio.sleep(_TROUBLE_S)

    async def once(self, within_s: float = 0.5) -> bool:
        """Take one handful; False when it has to come again."""
        found = await self._aside.run(lambda: self._source.take(AT_ONCE, within_s))
        if not found:
            return True
        refused = await self._accept(found)
        if refused is None or not await self._put_aside(refused):
            self._count("again", len(found))
            await self._aside.run(lambda: self._source.again(found))
            return False
        await self._aside.run(lambda: self._source.done(found))
        self._count("accepted", len(found) - len(refused))
        self._count("refused", len(refused))
        return True

    async def _accept(self, found: Sequence[Incoming]) -> list[tuple[Incoming, str]] | None:
        """Put everything on disk that can be; what cannot be taken, with the reason. None: the disk took not all."""
        try:
            said = await asyncio.gather(*(self._tell(one) for one in found))
        except LogRefused as error:
            log.warning("outcomes_wait", reason=str(error))
            return None
        return [(one, why) for one, why in zip(found, said, strict=True) if why]

    async def _put_aside(self, refused: Sequence[tuple[Incoming, str]]) -> bool:
        return not refused or await self._aside.run(lambda: self._source.put_aside(refused))

    async def _tell(self, one: Incoming) -> str:
        """Why a message, or a part of it, cannot be taken; "" when all of it is on disk."""
        try:
            receipt = await self._feedback(self._read(one))
        except InvalidBody as error:
            return "; ".join(f"{problem.pointer} {problem.detail}".strip() for problem in error.problems)
        return "; ".join(f"/items/{one.index} {one.detail}" for one in receipt.rejected)

    def close(self) -> None:
        """Leave."""
        self._source.close()


class Drawn:
    """The Routing port as outcomes need it, over the tables that an agent has drawn: nobody is routed by it."""

    def __init__(self, tables: Callable[[], Mapping[str, RoutingTable]]) -> None:
        self._tables = tables

    def table(self, deployment: str | None) -> RoutingTable:
        """Raise UnknownDeployment."""
        del deployment
        raise UnknownDeployment

    def table_by_tag(self, tag: str) -> RoutingTable | None:
        """The table whose deployment an id's tag stands for."""
        return next((table for table in self._tables().values() if table.tag == tag), None)

    def able(self, table: RoutingTable) -> frozenset[str]:
        """Know nobody."""
        del table
        return frozenset()


class _Aside:
    """A thread of one's own for calls that block; it keeps nobody from ending."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def wrapper(keys: SigningKeys, deployment_of: Callable[[str], str]) -> Callable[[Untold], Envelope]:
    """Envelopes with the ids that callers know; ``deployment_of`` names a deployment by its tag."""

    def wrap(one: Untold) -> Envelope:
        event: Told = one.event
        if isinstance(event, Decision):
            return envelope(event, one.id, event.deployment, "")
        return envelope(event, one.id, deployment_of(event.tag), mint(keys, event.tag, event.body))

    return wrap


class Streams:
    """What this agent has to do with brokers, by its settings: nothing, one duty or both."""

    def __init__(
        self,
        settings: Settings,
        parts: Controlling,
        metrics: AgentMetrics,
        tables: Callable[[], Mapping[str, RoutingTable]],
        run: Run,
    ) -> None:
        self._telling: Telling | None = None
        self._taking: Taking | None = None
        self._lane: SegmentSpool | None = None
        if (sink := compose.open_sink(settings)) is not None and settings.kafka is not None:
            wrap = wrapper(parts.keys, lambda tag: next((name for name in tables() if tag_of(name) == tag), tag))
            most = settings.kafka.most_waiting
            self._telling = Telling(parts.store.outbox, sink, wrap, run, metrics.told, metrics.waiting, most)
        if (opened := compose.open_source(settings)) is not None:
            self._lane = compose.outcome_lane(settings)
            feedback = Feedback(self._lane, Drawn(tables), parts.clock, lambda: parts.keys)
            self._taking = Taking(*opened, feedback, metrics.taken)

    def duties(self, fleet: Fleet) -> dict[str, Coroutine[Any, Any, None]]:
        """What to do for ever: one host tells for all, each takes its share."""
        found: dict[str, Coroutine[Any, Any, None]] = {}
        if self._telling is not None:
            found["tell"] = fleet.while_leading(self._telling.run)
        if self._taking is not None:
            found["take"] = self._taking.run()
        return found

    def close(self) -> None:
        """Hang up, leave, and seal what was written. May block for a moment."""
        for one in (self._telling, self._taking, self._lane):
            if one is not None:
                one.close()
