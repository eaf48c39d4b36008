"""``ETag`` and 304 for what operators read, so that a page may ask every other second and redraw only what has changed.

Server-sent events would save the asking. But a browser's EventSource cannot send an API key, proxies buffer it, and of
six connections to a host it takes one for each tab; a conditional GET needs none of that. The answer is still worked
out: a 304 spares the wire and the page, not the store.
"""

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READ = "/admin"


class Fresh:
    """ASGI middleware: a GET below ``/admin`` that answers 200 gets an ETag of its body, unless it has its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 304 where the reader has it already."""
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(_READ):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await self._app(scope, receive, hold)
        for message in _answer(held, Headers(scope=scope).get("if-none-match", "")):
            await send(message)


def _answer(held: list[Message], known: str) -> list[Message]:
    """The messages of one response as they go out."""
    start, *parts = held
    headers = MutableHeaders(raw=start["headers"])
    if start["status"] != 200 or "etag" in headers:
        return held
    body = b"".join(part.get("body", b"") for part in parts)
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    if tag in (each.strip().removeprefix("W/") for each in known.split(",")):
        kept = [(b"etag", tag.encode()), (b"cache-control", b"no-cache")]
        return [{**start, "status": 304, "headers": kept}, {"type": "http.response.body", "body": b""}]
    headers["ETag"] = tag
    headers["Cache-Control"] = "no-cache"
    return [{**start, "headers": headers.raw}, *parts]
