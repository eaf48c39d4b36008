"""One host among the others around its store: its heartbeat, whether it leads, and how far all of them have drained.

The leader alone looks at rollouts, up to the smallest data time drained on any live host. A host that has been silent
leaves that set; what it delivers below the watermark later is reported and never bet on. With a store of its own a host
is alone here, and leads.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from gateway.adapters.store import Store
from gateway.core import watermark
from gateway.core.errors import StoreUnavailable
from gateway.core.events import Punctuation
from gateway.core.watermark import Watermark
from gateway.edge.run import Run
from gateway.ports import Clock, HostWord
from gateway.processes.channel import Peer
from gateway.processes.drainer import Drainer


class Fleet:
    """The hosts as this one last saw them."""

    def __init__(self, store: Store, host: str, drainer: Drainer, clock: Clock) -> None:
        self.live: Sequence[HostWord] = ()
        """The last word of every live host, this one's among them."""
        self._store = store
        self._host = host
        self._drainer = drainer
        self._clock = clock
        self._leads = False
        self._lead, self._lost = asyncio.Event(), asyncio.Event()
        self._looking_in: int | None = None
        self._mark = Watermark()

    @property
    def leads(self) -> bool:
        """Whether this host looks at rollouts, as far as it knows. What it writes is checked in the store again."""
        return self._leads

    async def while_leading(self, duty: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do what only one host around the store may do: ``duty`` runs while this one leads, and begins anew each time.

        It is cancelled within a heartbeat of losing the lead; until then two hosts may be at it, so what it writes has
        to go through the leader's own story (``Controlling.judge``), which checks the lead again.
        """
        while True:
            await self._lead.wait()
            task = asyncio.create_task(duty())
            lost = asyncio.create_task(self._lost.wait())
            try:
                await asyncio.wait((task, lost), return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    return task.result()
            finally:
                for one in (task, lost):
                    one.cancel()
                await asyncio.gather(task, lost, return_exceptions=True)

    def _note(self, leads: bool) -> None:
        self._leads = leads
        self._lead.set() if leads else self._lead.clear()
        self._lost.clear() if leads else self._lost.set()

    def others(self) -> list[HostWord]:
        """Every live host but this one."""
        return [word for word in self.live if word.host != self._host]

    def loaded(self, digest: str) -> bool:
        """Whether every worker of every live host has a model warm."""
        return bool(self.live) and all(digest in word.loaded for word in self.live)

    def failed(self, digest: str) -> str | None:
        """Why no worker of any live host can load a model; None while one of them may."""
        reasons = [word.failed.get(digest) for word in self.live]
        return reasons[0] if reasons and all(reasons) else None

    async def beat(self, peers: Sequence[Peer], run: Run) -> None:
        """Say how this host is, hear how the others are, and take the lead or renew it. Raises StoreUnavailable.

        A host says nothing before it has drained what an earlier run left behind: its last word stands until then.
        """
        word = _word(self._host, peers, self._drainer, self._clock.wall())
        try:
            leads, self.live = await run(lambda: self._meet(word))
        except StoreUnavailable:
            self._note(leads=False)
            raise
        self._note(leads)

    def watermark(self) -> float | None:
        """Data time up to which every live host has drained; None before the first word. The leader's store thread.

        Offsets that are read after this hold everything up to it. Raises NotLeading, StoreUnavailable.
        """
        store, now, epoch = self._store, self._clock.machine(), self._store.leadership.epoch()
        if epoch != self._looking_in:
            self._mark = Watermark(store.leadership.reach(None))
            self._looking_in = epoch
        words = {word.host: _punctuation(word) for word in store.hosts.live()}
        words[self._host] = self._drainer.word()
        mark = self._mark
        for host in mark.words.keys() - {host for host, word in words.items() if word is not None}:
            mark = watermark.leave(mark, host)
        for host, word in words.items():
            if word is not None:
                mark = watermark.hear(mark, host, word, now)
        mark = watermark.advance(mark, now)
        if mark.value is not None and mark.value != self._mark.value:
            mark = replace(mark, value=store.leadership.reach(mark.value))
        self._mark = mark
        return mark.value

    def leave(self) -> None:
        """Let another host lead, and let nobody wait for this one. Raises StoreUnavailable."""
        self._leads = False
        self._store.leadership.resign()
        self._store.hosts.leave(self._host)

    def _meet(self, word: HostWord) -> tuple[bool, list[HostWord]]:
        if self._drainer.begun:
            self._store.hosts.beat(word)
        leads = self._drainer.begun and self._store.leadership.acquire() is not None
        return leads, self._store.hosts.live()


def _word(host: str, peers: Sequence[Peer], drainer: Drainer, as_of: float) -> HostWord:
    statuses = [peer.status for peer in peers]
    loaded = frozenset.intersection(*(status.loaded for status in statuses)) if statuses else frozenset()
    failed = set.intersection(*(set(status.failed) for status in statuses)) if statuses else set()
    said = drainer.word()
    return HostWord(
        host,
        low=None if said is None else said.low,
        high=None if said is None else said.high,
        workers=len(statuses),
        loaded=loaded,
        failed={digest: statuses[0].failed[digest] for digest in failed},
        spooled=dict(drainer.left),
        as_of=as_of,
    )


def _punctuation(word: HostWord) -> Punctuation | None:
    return None if word.high is None else Punctuation(word.low, word.high)
