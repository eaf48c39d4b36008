"""Where models run on a worker: a small pool of threads per variant, so that none can hurt another or the event loop.

The loop hands a call to its variant's pool and waits no longer than the deadline. Python cannot stop a thread, so one
that outlives its deadline is *stuck*: it is counted, and its variant is refused on this worker until it returns. All
counts are kept on the loop's thread, which is why there is no lock. The threads are daemons: a stuck one must never
keep a worker from ending, as those of ``concurrent.futures`` would.

Compiled models, which hold no user's Python and are measured in microseconds, run on the loop itself (``inline``).
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue

from gateway.adapters.models.compiled import CompiledModel
from gateway.adapters.models.inline import Inline
from gateway.adapters.models.rows import example_row
from gateway.core.deployments import Scalar
from gateway.core.errors import DeadlinePassed, ModelFailed, NoModelReady, Overloaded
from gateway.core.routing import STABLE, Part
from gateway.ports import Model, Output

STUCK = "stuck"
_WARM_UPS = 3


@dataclass(frozen=True, slots=True)
class PoolSize:
    """How many threads a variant's pool has, and how many calls may wait for one."""

    threads: int
    waiting: int


@dataclass(frozen=True, slots=True)
class PoolSizes:
    """The pools by what their variant does. A worker has few cores: more threads would only change places."""

    stable: PoolSize = PoolSize(threads=4, waiting=64)
    candidate: PoolSize = PoolSize(threads=2, waiting=32)
    watching: PoolSize = PoolSize(threads=1, waiting=32)


@dataclass(slots=True, eq=False)
class _Call:
    """One call under way. ``wanted`` is the loop's word to the thread, ``begun`` the thread's to the loop.

    ``until`` is when its deadline passes, in the loop's time: a loop that is late says ``wanted`` for too long.
    """

    model: Model
    rows: Sequence[Sequence[Scalar]]
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[list[Output]]"
    until: float
    timer: asyncio.TimerHandle | None = None
    wanted: bool = True
    begun: bool = False
    stuck: bool = False


class _Pool:
    """The threads of one variant. Every method but ``_work`` and ``_answer`` runs on the event loop's thread."""

    def __init__(self, name: str, size: PoolSize, tolerates: int) -> None:
        """``tolerates``: as many stuck threads do not refuse the variant yet."""
        self.name = name
        self.under_way = 0
        self.stuck = 0
        self._size = size
        self._tolerates = tolerates
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"model-{name}-{index}", daemon=True)
            for index in range(size.threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def refused(self) -> bool:
        """Whether so many threads are stuck that the variant gets no more calls."""
        return self.stuck > self._tolerates

    def submit(self, model: Model, rows: Sequence[Sequence[Scalar]], deadline_s: float) -> _Call:
        """Queue a call that gives up after ``deadline_s`` seconds. Raises ModelFailed (stuck) or Overloaded.

        Being stuck is a candidate's failure; stable's callers are asked to come again, for another worker may answer.
        """
        if self.refused and self.name == STABLE:
            raise Overloaded("Every thread of stable's pool on this worker is stuck.")
        if self.refused:
            raise ModelFailed(STUCK)
        if self.under_way >= self._size.threads + self._size.waiting:
            raise Overloaded(f"The pool of {self.name} has {self.under_way} calls under way and takes no more.")
        loop = asyncio.get_running_loop()
        call = _Call(model, rows, loop, loop.create_future(), loop.time() + max(0.0, deadline_s))
        call.timer = loop.call_at(call.until, self._expire, call)
        self.under_way += 1
        self._queue.put(call)
        return call

    def close(self) -> None:
        """Let the threads end after the calls already queued."""
        for _ in self._threads:
            self._queue.put(None)

    def _expire(self, call: _Call) -> None:
        """The deadline has passed: nobody waits any longer, and a thread already at it counts as stuck."""
        call.wanted = False
        if call.begun:
            call.stuck = True
            self.stuck += 1
        if not call.answer.done():
            call.answer.set_exception(DeadlinePassed(f"the model call of {self.name}"))

    def _finish(self, call: _Call, outcome: list[Output] | ModelFailed | None) -> None:
        self.under_way -= 1
        if call.timer is not None:
            call.timer.cancel()
        if call.stuck:
            self.stuck -= 1
        if call.answer.done():  # its caller has gone
            return
        if outcome is None:
            call.answer.set_exception(DeadlinePassed(f"the model call of {self.name}"))
        elif isinstance(outcome, ModelFailed):
            call.answer.set_exception(outcome)
        else:
            call.answer.set_result(outcome)

    def _work(self) -> None:
        while (call := self._queue.get()) is not None:
            call.begun = True  # first this, then the look at ``wanted``: ``_expire`` does it the other way round
            outcome = _answer(call) if call.wanted and call.loop.time() < call.until else None
            with suppress(RuntimeError):  # the loop has been closed: nobody is left to tell
                call.loop.call_soon_threadsafe(self._finish, call, outcome)
            del call, outcome  # a waiting thread must not keep a dropped model alive


def _answer(call: _Call) -> list[Output] | ModelFailed:
    try:
        outputs = call.model.predict(call.rows)
    except ModelFailed as failure:
        return failure
    except BaseException as error:  # noqa: BLE001  # foreign code in our thread: even SystemExit must not end it
        return ModelFailed(type(error).__name__)
    return outputs if len(outputs) == len(call.rows) else ModelFailed("NotAnAnswer")


class PoolRunner:
    """The Runner port: loaded models by digest, and one pool per part of a deployment.

    A pool is made at a part's first call and closed when its model is dropped. Calls under way finish on the model
    they began with.
    """

    def __init__(self, sizes: PoolSizes = PoolSizes()) -> None:
        self._sizes = sizes
        self._models: dict[str, Model] = {}
        self._inline: dict[str, Inline] = {}
        self._pools: dict[tuple[str, str, str], _Pool] = {}
        self._watching: frozenset[str] = frozenset()

    async def predict(self, part: Part, rows: Sequence[Sequence[Scalar]], deadline_s: float) -> list[Output]:
        """Answer rows within ``deadline_s`` machine seconds.

        Raises ModelFailed, DeadlinePassed, NoModelReady, Overloaded.
        A caller that is cancelled leaves at once; its call is skipped, or runs out unheard if a thread is at it.
        """
        inline = self._inline.get(part.model.digest)
        if inline is not None and inline.takes(rows):
            return inline.predict(rows)
        model = self._models.get(part.model.digest)
        if model is None:
            raise NoModelReady(part.model.name)
        call = self._pool(part).submit(model, rows, deadline_s)
        try:
            return await call.answer
        finally:
            call.wanted = False

    def loaded(self, digest: str) -> bool:
        """Whether a model is loaded and warm on this worker."""
        return digest in self._models

    def digests(self) -> frozenset[str]:
        """Every model that is loaded and warm."""
        return frozenset(self._models)

    def install(self, model: Model) -> None:
        """Warm a model with its example row, then let it answer. Raises ModelFailed if it fails at its own example.

        Blocks while the model answers: call it from a loader's thread.
        """
        row, own = example_row(model.card.inputs)
        for _ in range(_WARM_UPS):
            try:
                model.predict([row])
            except ModelFailed:
                if own:
                    raise
        if isinstance(model, CompiledModel):
            self._inline[model.card.digest] = Inline(model)
        self._models[model.card.digest] = model

    def together(self, digest: str) -> int:
        """How many rows of a model are best asked for at once: 0 of one that runs in threads, 1 without a gain."""
        inline = self._inline.get(digest)
        return 0 if inline is None else inline.together

    def drop(self, digest: str) -> None:
        """Forget a model and close its pools; unknown digests are fine. Call it on the event loop."""
        self._models.pop(digest, None)
        self._inline.pop(digest, None)
        for key in [key for key in self._pools if key[2] == digest]:
            self._pools.pop(key).close()

    def watch(self, names: Collection[str]) -> None:
        """Say which part names only watch (shadows): pools made for them from now on are the smallest."""
        self._watching = frozenset(names)

    def refused(self, part: Part) -> bool:
        """Whether the part gets no calls on this worker now, because of stuck threads.

        One is enough for a candidate or shadow; stable goes on while a thread is left.
        """
        pool = self._pools.get(_key(part))
        return pool is not None and pool.refused

    def stuck(self) -> dict[str, int]:
        """Count stuck threads by part name; names without any are left out."""
        return _sum((pool.name, pool.stuck) for pool in self._pools.values())

    def under_way(self) -> dict[str, int]:
        """Count calls queued or running by part name; names without any are left out."""
        return _sum((pool.name, pool.under_way) for pool in self._pools.values())

    def _pool(self, part: Part) -> _Pool:
        key = _key(part)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._new_pool(part.name)
        return pool

    def _new_pool(self, name: str) -> _Pool:
        if name == STABLE:
            return _Pool(name, self._sizes.stable, tolerates=self._sizes.stable.threads - 1)
        size = self._sizes.watching if name in self._watching else self._sizes.candidate
        return _Pool(name, size, tolerates=0)


def _key(part: Part) -> tuple[str, str, str]:
    """Generation and digest belong to it: two deployments may each have a part called ``canary``."""
    return part.name, part.generation, part.model.digest


def _sum(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for name, count in counts:
        total[name] += count
    return dict(+total)
