"""A line for each request and each outcome, for those who ask for it: ids and what became of it, never what was sent.

Values of features and entities are in a line only where ``log_fields`` declares them by name. A thread writes the
lines, so a slow reader of standard error slows no request down; lines it cannot keep up with are dropped and counted.
"""

import queue
import threading
from collections.abc import Callable, Collection
from typing import Any, Literal, TypeAlias

import structlog

from gateway.core import ids
from gateway.core.events import OutcomeRecord, PredictionRecord, ShadowRecord
from gateway.core.routing import RoutingTable
from gateway.ports import Observer

log = structlog.get_logger(__name__)

Which: TypeAlias = Literal["none", "failed", "all"]
Line: TypeAlias = tuple[str, dict[str, Any]]
_MOST = 10_000


class RequestLog:
    """An observer that writes lines and passes on what it is told to ``inner``.

    ``failed`` writes requests that ended in 5xx and those at which the drawn variant failed; ``all`` writes every
    request and outcome. ``trace_id`` names the trace that a request belongs to, if it is sampled.
    """

    def __init__(
        self,
        inner: Observer,
        which: Which,
        fields: Collection[str],
        keys: Callable[[], ids.SigningKeys],
        trace_id: Callable[[], str | None] = lambda: None,
        write: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> None:
        self._inner, self._all, self._fields = inner, which == "all", frozenset(fields)
        self._keys, self._trace_id = keys, trace_id
        self._write = write or _write
        self._lines: queue.Queue[Line | None] = queue.Queue(_MOST)
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)
        self._thread.start()

    def predicted(self, record: PredictionRecord, table: RoutingTable, logged: bool) -> None:
        """As the port."""
        self._inner.predicted(record, table, logged)
        if self._all or record.status >= 500 or record.error is not None:
            self._put("predicted", self._predicted(record, logged))

    def shadowed(self, record: ShadowRecord, logged: bool) -> None:
        """As the port; shadows have no lines, the books have them."""
        self._inner.shadowed(record, logged)

    def outcome(self, record: OutcomeRecord, deployment: str) -> None:
        """As the port."""
        self._inner.outcome(record, deployment)
        if self._all:
            said = {"deployment": deployment, "prediction_id": self._id(record.tag, record.body)}
            self._put("outcome_accepted", {**said, "metric": record.metric})

    def rejected(self, reason: str, count: int) -> None:
        """As the port."""
        self._inner.rejected(reason, count)
        if self._all:
            self._put("outcomes_rejected", {"reason": reason, "count": count})

    def close(self) -> None:
        """Write what waits. Blocks for a second at most."""
        try:
            self._lines.put(None, timeout=0.5)
        except queue.Full:
            return
        self._thread.join(0.5)

    def _predicted(self, record: PredictionRecord, logged: bool) -> dict[str, Any]:
        said: dict[str, Any] = {
            "deployment": record.deployment,
            "prediction_id": self._id(record.tag, record.body),
            "request_hash": record.request_hash,
            "status": record.status,
            "assigned": record.assigned,
            "served": record.served,
            "revision": record.revision,
            "error": record.error,
            "degraded": record.degraded,
            "logged": logged,
            "trace_id": self._trace_id(),
            **{f"{part}_ms": round(1_000 * seconds, 3) for part, seconds in record.latency.items()},
        }
        if self._fields:
            values = zip(record.names, record.values, strict=False)
            said["fields"] = {name: value for name, value in values if name in self._fields}
        return {name: value for name, value in said.items() if value is not None}

    def _id(self, tag: str, body: str) -> str:
        return ids.mint(self._keys(), tag, body)

    def _put(self, event: str, said: dict[str, Any]) -> None:
        try:
            self._lines.put_nowait((event, said))
        except queue.Full:
            self._dropped += 1

    def _work(self) -> None:
        while True:
            line = self._lines.get()
            if line is None:
                return
            self._write(*line)
            if self._dropped and self._lines.empty():
                dropped, self._dropped = self._dropped, 0
                self._write("request_lines_dropped", {"count": dropped})


def _write(event: str, said: dict[str, Any]) -> None:
    log.info(event, **said)
