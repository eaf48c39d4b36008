"""The agent's two rounds on the store's thread, a drain and a look; each is a span where traces go somewhere."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from gateway.adapters.spool.drain import Drained
from gateway.control import Control
from gateway.core.errors import GatewayError
from gateway.processes.drainer import Drainer

if TYPE_CHECKING:
    from gateway.adapters.tracing import AgentTraces

log = structlog.get_logger(__name__)


class Rounds:
    """Drains by ``drainer`` and looks by ``judge``. Everything blocks."""

    def __init__(self, drainer: Drainer, judge: Control, traces: "AgentTraces | None") -> None:
        self._drainer, self._judge, self._traces = drainer, judge, traces

    def drain(self) -> Drained:
        """Move what workers wrote into the store. Raises StoreUnavailable."""
        if self._traces is None:
            return self._drainer.drain()
        with self._traces.round("drain") as told:
            drained = self._drainer.drain()
            moved = {kind: count for kind, count in drained.events.items() if kind != "punctuation"}
            if moved:
                told.tell({f"gateway.{kind}s": count for kind, count in moved.items()})
            return drained

    def look(self, names: Sequence[str], mark: float) -> None:
        """Look at deployments, on everything up to ``mark`` (data time, seconds)."""
        try:
            if self._traces is None:
                self._look(names, mark)
                return
            with self._traces.round("look") as told:
                self._look(names, mark)
                if told.asked:
                    told.tell({"gateway.deployments": len(names)})
        except GatewayError as error:  # the drain goes on; the next look sees everything this one did not
            log.error("look_failed", reason=str(error))  # noqa: TRY400 - the sentence says it all

    def _look(self, names: Sequence[str], mark: float) -> None:
        self._judge.look_at_all(names, mark, self._drainer.visible())
