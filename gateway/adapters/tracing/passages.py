"""One request's spans while it is under way: the whole of it, and within it route, features, model and spool.

A request that is not sampled has no passage, and the traced ports then only pass on what they are asked.
"""

from contextvars import ContextVar
from time import time_ns
from typing import Final

from opentelemetry.trace import Span, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

_MODEL_SPANS: Final = 32
"""A batch that fails is run row by row; so many of its calls have spans of their own."""

PASSAGE: Final[ContextVar["Passage | None"]] = ContextVar("gateway_passage", default=None)
"""The passage of the request that runs here, if it is sampled."""


class Passage:
    """The spans of one sampled request. ``whole`` is the span around all others, ``context`` what they begin under."""

    def __init__(self, tracer: Tracer, whole: Span) -> None:
        self._tracer, self.whole = tracer, whole
        self.context = set_span_in_context(whole)
        self._route: Span | None = None
        self._spool: Span | None = None
        self._spooled_at = 0
        self._models = 0

    def routes(self, deployment: str, revision: int) -> None:
        """A table was found; until the first read or run it is settled who answers."""
        if self._route is None:
            self._route = self.begin("route", {"gateway.deployment": deployment, "gateway.revision": revision})

    def begin(self, name: str, attributes: dict[str, AttributeValue]) -> Span:
        """Begin a part; the routing ends where another part begins."""
        if self._route is not None and self._route.is_recording():
            self._route.end()
        return self._tracer.start_span(name, self.context, attributes=attributes)

    def model(self, attributes: dict[str, AttributeValue]) -> Span | None:
        """Begin a run of a model, unless there were too many."""
        self._models += 1
        return self.begin("model", attributes) if self._models <= _MODEL_SPANS else None

    def spools(self) -> None:
        """The first record is written; all writes of a request are one span."""
        if self._spool is None:
            self._spool = self.begin("spool", {})

    def spooled(self) -> None:
        """So far everything is written."""
        self._spooled_at = time_ns()

    def end(self, status: int) -> None:
        """End everything, with the status the caller was told (0: none)."""
        if self._route is not None and self._route.is_recording():
            self._route.end()
        if self._spool is not None:
            self._spool.end(self._spooled_at or None)
        if status:
            self.whole.set_attribute("http.response.status_code", status)
        if status == 0 or status >= 500:
            self.whole.set_status(StatusCode.ERROR)
        self.whole.end()
