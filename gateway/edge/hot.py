"""The hot route: a plain ``POST /predict``, answered before FastAPI's routing, validation and middleware.

It takes what most callers send - JSON, nothing special in the headers - and leaves everything else to the app, whose
route tells the same story; a test holds the two to one answer. What it answers is counted as the instrumentator
would. Middleware added to the app does not see these requests.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TypeAlias

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from gateway.core.access import LOCAL, Principal
from gateway.core.errors import GatewayError
from gateway.edge import problems
from gateway.edge.http_metrics import Seen
from gateway.edge.plain import ROUTE, TEMPLATE, length_of_plain
from gateway.edge.turns import Turns

Answering: TypeAlias = Callable[[Principal, bytes, str | None], Awaitable[bytes]]
"""Tells the story of a request: by whom, its body and deployment. Returns what to say; raises as the route does."""
Admitting: TypeAlias = Callable[[Scope], Principal]
"""Says who asks, if they may predict. Raises HTTPException."""

_JSON_HEADER = (b"content-type", b"application/json")


class HotRoute:
    """Answers what :meth:`takes` lets through. ``limit`` is the most bytes of a body, ``patience_s`` its time to come.

    ``admit`` is the lock, the same one that the app's routes have. ``answered`` is told of every answer, if anybody
    listens.
    """

    def __init__(self, answering: Answering, limit: int, patience_s: float, admit: Admitting = lambda _: LOCAL) -> None:
        self._answering = answering
        self._admit = admit
        self._limit = limit
        self._patience_s = patience_s
        self.answered: Callable[[Seen], None] | None = None

    def takes(self, scope: Scope) -> bool:
        """Whether a request is plain enough to be answered here."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope.get("root_path"):
            return False
        path: str = scope["path"]
        if not path.startswith(ROUTE) or (path != ROUTE and (path[8] != "/" or len(path) == 9 or "/" in path[9:])):
            return False
        return length_of_plain(scope["headers"], self._limit) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that :meth:`takes` let through."""
        began, path = perf_counter(), scope["path"]
        unforeseen: Exception | None = None
        try:
            principal = self._admit(scope)
            raw = await self._body(receive)
            said = await self._answering(principal, raw, None if len(path) == len(ROUTE) else path[9:])
            status, length = 200, len(said)
            await send({"type": "http.response.start", "status": 200, "headers": _headers(length)})
            await send({"type": "http.response.body", "body": said})
        except Exception as error:  # noqa: BLE001 - the last border before the server: every error leaves as a problem
            response = problems.respond(error)
            status, length = response.status_code, len(response.body)
            unforeseen = None if isinstance(error, (GatewayError, HTTPException)) else error
            await response(scope, receive, send)
        if self.answered is not None:
            handler = ROUTE if len(path) == len(ROUTE) else TEMPLATE
            received = next(int(value) for name, value in scope["headers"] if name == b"content-length")
            self.answered(Seen(handler, "POST", str(status), received, length, perf_counter() - began))
        if unforeseen is not None:
            raise unforeseen  # the server logs it

    async def _body(self, receive: Receive) -> bytes:
        """Read a body whose length was declared. Raises HTTPException 400 or 408."""
        late = False
        task = asyncio.current_task()

        def expire() -> None:
            nonlocal late
            late = True
            if task is not None:
                task.cancel()

        timer = asyncio.get_running_loop().call_later(self._patience_s, expire)  # asyncio.timeout costs three times it
        try:
            message = await receive()
            raw: bytes = message.get("body", b"")
            while message.get("more_body", False):
                message = await receive()
                raw += message.get("body", b"")
        except asyncio.CancelledError:
            if not late or task is None or task.uncancel() > 0:
                raise
            close = {"Connection": "close"}
            raise HTTPException(408, f"The body did not arrive within {self._patience_s:g} s.", close) from None
        finally:
            timer.cancel()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "The body ended early.")
        return raw


class HotApp(FastAPI):
    """A FastAPI app with a hot route in front of it, and ``turns`` for a server that can do without ASGI."""

    hot: HotRoute | None = None
    turns: Turns | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the hot route what it takes, else as FastAPI does."""
        if self.hot is not None and self.hot.takes(scope):
            await self.hot(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _headers(length: int) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", b"%d" % length), _JSON_HEADER]
