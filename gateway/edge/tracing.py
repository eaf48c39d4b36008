"""The door's part of tracing: takes ``traceparent`` in, answers ``traceresponse``, and ends a request's spans.

It stands before the hot route and before FastAPI, and only where the settings say where traces go.
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.adapters.tracing import Tracing
from gateway.adapters.tracing.passages import PASSAGE

_PROBES: Final = frozenset({"/livez", "/readyz"})
_CONTEXT: Final = frozenset({b"traceparent", b"tracestate"})


class TracedApp:
    """An app, each request of which is a span; probes are left out."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on within its span."""
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return
        carrier = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"] if k in _CONTEXT}
        method, route = scope["method"], _route(scope["path"])
        said = {"http.request.method": method, "http.route": route}
        passage, response = self._tracing.arrive(f"{method} {route}", carrier, said)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"traceresponse", response.encode())]
            await send(message)

        token = PASSAGE.set(passage)
        try:
            await self._app(scope, receive, answer)
        finally:
            PASSAGE.reset(token)
            if passage is not None:
                passage.end(status)


def _route(path: str) -> str:
    """The route's template: callers must not make span names.

    >>> _route("/predict/churn"), _route("/etc/passwd")
    ('/predict/{deployment}', 'elsewhere')
    """
    if path in ("/predict", "/feedback", "/invocations"):
        return path
    if path.startswith("/predict/"):
        return "/predict/{deployment}"
    return "/v2" if path.startswith("/v2/") else "elsewhere"
