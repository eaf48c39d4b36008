"""Brings the models that the tables name onto this worker, one at a time, never on the event loop.

Models come from the prepared cache on disk; no registry is asked. One that cannot be loaded is reported and tried
again later, for the cache may have it then. One that nobody names any more is let go.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Protocol

import structlog

from gateway.core.deployments import ModelCard
from gateway.core.errors import GatewayError
from gateway.ports import Clock, Model
from gateway.processes.duties import aside
from gateway.processes.tables import TableBook

log = structlog.get_logger(__name__)

_AGAIN_S = 10.0


class Shelf(Protocol):
    """Where prepared models lie."""

    def load(self, card: ModelCard) -> Model:
        """Load one. May block for long. Raises ModelUnusable."""


class Holder(Protocol):
    """What runs models, as far as the loader knows it."""

    def install(self, model: Model) -> None:
        """Warm a model and let it answer. May block. Raises ModelFailed."""

    def drop(self, digest: str) -> None:
        """Let a model go."""

    def digests(self) -> frozenset[str]:
        """Every model that is loaded."""


class Loader:
    """Keeps what is loaded in step with what is wanted. ``changed`` is told after every step."""

    def __init__(
        self, book: TableBook, shelf: Shelf, holder: Holder, clock: Clock, changed: Callable[[], None]
    ) -> None:
        self.failed: dict[str, str] = {}
        self._book = book
        self._shelf = shelf
        self._holder = holder
        self._clock = clock
        self._changed = changed
        self._again: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._frozen = False

    def wake(self) -> None:
        """Look again at what is wanted: tables have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Load and let go until cancelled."""
        while True:
            self._wake.clear()
            card = self._next()
            if card is not None:
                await self._load(card)
                continue
            self._let_go()
            self._freeze_once()
            waits = [again - self._clock.machine() for again in self._again.values()]
            try:
                async with asyncio.timeout(max(0.0, min(waits)) if waits else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _next(self) -> ModelCard | None:
        held, now = self._holder.digests(), self._clock.machine()
        missing = (card for card in self._book.wanted() if card.digest not in held)
        return next((card for card in missing if self._again.get(card.digest, now) <= now), None)

    async def _load(self, card: ModelCard) -> None:
        try:
            await aside(self._bring, card)
        except (GatewayError, OSError) as error:
            self.failed[card.digest] = str(error)
            self._again[card.digest] = self._clock.machine() + _AGAIN_S
            log.warning("model_not_loaded", model=card.name, version=card.version, reason=str(error))
        else:
            self.failed.pop(card.digest, None)
            self._again.pop(card.digest, None)
            log.info("model_loaded", model=card.name, version=card.version, digest=card.digest[:12])
            self._book.settle()
        self._changed()

    def _bring(self, card: ModelCard) -> None:
        self._holder.install(self._shelf.load(card))

    def _let_go(self) -> None:
        wanted = {card.digest for card in self._book.wanted()}
        for digest in self._holder.digests() - wanted:
            self._holder.drop(digest)
            log.info("model_let_go", digest=digest[:12])
        for digest in self._failed_and_unwanted(wanted):
            self.failed.pop(digest, None)
            self._again.pop(digest, None)

    def _failed_and_unwanted(self, wanted: set[str]) -> list[str]:
        return [digest for digest in {*self.failed, *self._again} if digest not in wanted]

    def _freeze_once(self) -> None:
        """Take what start-up has made out of every later collection: a full one would halt the loop for 100 ms."""
        if not self._frozen and self._book.ready():
            self._frozen = True
            gc.collect()
            gc.freeze()
