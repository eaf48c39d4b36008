"""Many small reads of a slow store made few, and a store that is down not asked at all.

What is asked while every lane is busy travels together in the next batch; there is no timer, so a lone read waits for
nobody. A caller whose budget is over walks away from its future. The batch goes on, and its lane reads every reply it
asked for, so nobody can be handed a reply meant for somebody else.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeAlias, TypeVar

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
Asked = TypeVar("Asked", contravariant=True)
Answered = TypeVar("Answered", covariant=True)
Landed: TypeAlias = Callable[[Sequence[Answer] | Exception], None]
"""Told once what became of a list of asks: the answers in order, or what went wrong for all of them."""


class Lane(Protocol[Asked, Answered]):
    """A way to the store for one batch at a time."""

    def start(self, asks: Sequence[Asked], landed: Callable[[Sequence[Answered] | Exception], None]) -> None:
        """Send a batch off. ``landed`` is told in this turn of the loop or a later one."""

    async def close(self) -> None:
        """Break off what is under way, and tell nobody."""


class TaskLane(Generic[Ask, Answer]):
    """A lane that runs a coroutine function in a task for each batch."""

    def __init__(self, call: Callable[[Sequence[Ask]], Awaitable[Sequence[Answer]]]) -> None:
        self._call = call
        self._task: asyncio.Task[None] | None = None

    def start(self, asks: Sequence[Ask], landed: Landed[Answer]) -> None:
        """As the protocol."""
        self._task = asyncio.get_running_loop().create_task(self._run(asks, landed))

    async def close(self) -> None:
        """As the protocol."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, asks: Sequence[Ask], landed: Landed[Answer]) -> None:
        try:
            answers = await self._call(asks)
        except Exception as error:  # noqa: BLE001 - the border of a foreign store: its error goes to whoever asked
            landed(error)
        else:
            landed(answers)


class StoreRefused(Exception):
    """The store has just failed several times and is not asked for a moment."""


class Breaker:
    """Opens after ``failures`` in a row; ``pause_s`` seconds later lets one caller through to try.

    Its only sense of time is the event loop's timer. Every batch is reported once: as succeeded, failed or untried.
    """

    def __init__(self, failures: int = 3, pause_s: float = 0.5) -> None:
        self._limit = failures
        self.pause_s = pause_s
        self._failures = 0
        self._open = False
        self._may_probe = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether the store is being spared."""
        return self._open

    def admits(self) -> bool:
        """Whether the caller may ask the store. While open, True at most once per pause."""
        if not self._open:
            return True
        admitted, self._may_probe = self._may_probe, False
        return admitted

    def succeeded(self) -> None:
        """Note that the store answered in time."""
        self._failures = 0
        self._open = self._may_probe = False
        self.close()

    def failed(self) -> None:
        """Note that the store failed, or did not answer in time."""
        self._failures += 1
        if self._failures >= self._limit and self._timer is None and not self._may_probe:
            self._open = True
            self._timer = asyncio.get_running_loop().call_later(self.pause_s, self._half_open)

    def untried(self) -> None:
        """Note that whoever was admitted left before the store was asked; the next caller may try instead."""
        if self._open and self._timer is None:
            self._may_probe = True

    def close(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _half_open(self) -> None:
        self._timer = None
        self._may_probe = True


class _Batch(Generic[Ask, Answer]):
    """What travels together: what is asked, who waits for it, and whether its outcome was reported yet."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.waiting: list[asyncio.Future[Answer]] = []
        self.reported = False


class Coalescer(Generic[Ask, Answer]):
    """Shares ``lanes`` among concurrent callers, and closes them."""

    def __init__(self, lanes: Sequence[Lane[Ask, Answer]], breaker: Breaker | None = None) -> None:
        self._lanes = lanes
        self._idle = list(lanes)
        self._breaker = breaker or Breaker()
        self._pending: deque[_Batch[Ask, Answer]] = deque()
        self._flying: dict[int, _Batch[Ask, Answer]] = {}

    async def ask(self, ask: Ask, budget_s: float) -> Answer:
        """Answer ``ask`` within ``budget_s`` machine seconds.

        Raises StoreRefused at once while the breaker is open, TimeoutError when the budget is over, and whatever the
        lane raised.
        """
        if not self._breaker.admits():
            raise StoreRefused
        loop = asyncio.get_running_loop()
        if not self._pending or self._pending[-1].reported:  # who is late is no company for who has just come
            self._pending.append(_Batch())
            loop.call_soon(self._launch)
        batch = self._pending[-1]
        future: asyncio.Future[Answer] = loop.create_future()
        batch.asks.append(ask)
        batch.waiting.append(future)
        timer = loop.call_later(budget_s, self._expire, batch, future)
        try:
            return await future
        finally:
            timer.cancel()

    def _expire(self, batch: _Batch[Ask, Answer], future: "asyncio.Future[Answer]") -> None:
        """The budget is over: whoever asked walks away, and its batch has failed."""
        if not future.done():
            self._report(batch, succeeded=False)
            future.set_exception(TimeoutError())

    async def close(self) -> None:
        """Break off what is under way; whoever still waits gets ConnectionError."""
        self._breaker.close()
        for lane in self._lanes:
            await lane.close()
        for batch in [*self._flying.values(), *self._pending]:
            _settle_all(batch, ConnectionError("closed"))

    def _launch(self) -> None:
        while self._pending and self._idle:
            batch = self._pending.popleft()
            live = [index for index, future in enumerate(batch.waiting) if not future.done()]
            if live:
                batch.asks = [batch.asks[index] for index in live]
                batch.waiting = [batch.waiting[index] for index in live]
                lane = self._idle.pop()
                self._flying[id(batch)] = batch
                lane.start(batch.asks, partial(self._land, lane, batch))
            elif not batch.reported:
                self._breaker.untried()

    def _land(self, lane: Lane[Ask, Answer], batch: _Batch[Ask, Answer], answers: Sequence[Answer] | Exception) -> None:
        """Hand out what came of a batch, and let the next one go."""
        del self._flying[id(batch)]
        if isinstance(answers, Exception):
            self._report(batch, succeeded=False)
            _settle_all(batch, answers)
        else:
            self._report(batch, succeeded=True)
            for future, answer in zip(batch.waiting, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        self._idle.append(lane)
        self._launch()

    def _report(self, batch: _Batch[Ask, Answer], *, succeeded: bool) -> None:
        if batch.reported:  # a batch that was late for somebody has failed, also when it arrives in the end
            return
        batch.reported = True
        if succeeded:
            self._breaker.succeeded()
        else:
            self._breaker.failed()


def _settle_all(batch: _Batch[Ask, Answer], error: Exception) -> None:
    for future in batch.waiting:
        if not future.done():
            future.set_exception(error)
