"""What prometheus-fastapi-instrumentator counts of every HTTP request, kept so that the hot route can count it too.

Names, labels and buckets are the instrumentator's own. It calls :meth:`HttpMetrics.instrumentation` for requests that
pass its middleware; the hot route, which runs before any middleware, calls :meth:`HttpMetrics.answered`.
"""

from collections import defaultdict
from typing import NamedTuple

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, Summary
from prometheus_fastapi_instrumentator.metrics import Info

from gateway.edge.tally import Folding, observe_all, sum_up


class Seen(NamedTuple):
    """One answered request: its route's template, method and status, bytes in and out, and machine seconds."""

    handler: str
    method: str
    status: str
    received: int
    sent: int
    seconds: float


class HttpMetrics:
    """The metrics of one process's HTTP requests."""

    def __init__(
        self, fine: tuple[float, ...], coarse: tuple[float, ...], registry: CollectorRegistry = REGISTRY
    ) -> None:
        """``fine`` and ``coarse`` are buckets in seconds. Raises ValueError where the process has these metrics."""
        self._seen: list[Seen] = []
        self._total = Counter(
            "http_requests_total",
            "Total number of requests by method, status and handler.",
            ("method", "status", "handler"),
            registry=None,
        )
        self._received = Summary(
            "http_request_size_bytes", "Content length of incoming requests by handler.", ("handler",), registry=None
        )
        self._sent = Summary(
            "http_response_size_bytes", "Content length of outgoing responses by handler.", ("handler",), registry=None
        )
        self._fine = Histogram(
            "http_request_duration_highr_seconds", "Latency with many buckets.", buckets=fine, registry=None
        )
        self._coarse = Histogram(
            "http_request_duration_seconds",
            "Latency with few buckets by handler.",
            ("method", "handler"),
            buckets=coarse,
            registry=None,
        )
        self._folding = Folding(registry, self.fold)
        for metric in (self._total, self._received, self._sent, self._fine, self._coarse):
            registry.register(metric)

    def instrumentation(self, info: Info) -> None:
        """Take notice of a request that passed the instrumentator."""
        said = info.response.headers if info.response else {}
        seen = Seen(
            info.modified_handler,
            info.method,
            info.modified_status,
            int(info.request.headers.get("content-length", 0)),
            int(said.get("content-length", 0)),
            info.modified_duration,
        )
        self.answered(seen)

    def answered(self, seen: Seen) -> None:
        """Take notice of one answered request."""
        self._seen.append(seen)
        if len(self._seen) == 1:
            self._folding.soon()

    def fold(self) -> None:
        """Count what was seen."""
        seen, self._seen = self._seen, []
        if not seen:
            return
        groups: defaultdict[tuple[str, str, str], list[Seen]] = defaultdict(list)
        for each in seen:
            groups[each.method, each.status, each.handler].append(each)
        for (method, status, handler), group in groups.items():
            self._total.labels(method, status, handler).inc(len(group))
            sum_up(self._received.labels(handler), [each.received for each in group])
            sum_up(self._sent.labels(handler), [each.sent for each in group])
            observe_all(self._coarse.labels(method, handler), [each.seconds for each in group])
        observe_all(self._fine, [each.seconds for each in seen])
