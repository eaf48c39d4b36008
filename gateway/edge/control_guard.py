"""Who may knock at the control plane: this machine's own pages and commands, with JSON of a sensible size.

Without keys the control plane trusts its address, so it must not trust names that merely resolve to it: a foreign
``Host`` (DNS rebinding) or ``Origin`` (another site's form) is 403 before any route is looked for. With keys it may be
reached by any name, and a browser's own password still serves no other site.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.edge.bodies import is_json
from gateway.edge.locks import Locks
from gateway.edge.problems import PROTOCOL, Row, problem

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
MAX_BODY = 2**20
"""Largest body taken, in bytes."""
_TOO_LARGE = f"A body may have at most {MAX_BODY} bytes."


class ControlGuard:
    """ASGI middleware: 403 for foreign names, 413 for large bodies, 415 for bodies that are not said to be JSON.

    ``HEAD`` is answered as ``GET`` is; the server leaves the body out.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = (), locks: Locks | None = None) -> None:
        """``hosts`` are names beside the loopback ones under which this control plane may be reached.

        Once there are ``locks`` that ask for keys, every name will do; a page's ``Origin`` must be the name asked for.
        """
        self._app = app
        self._locks = locks
        self._hosts = LOOPBACK | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer for it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._known(headers):
            row = Row(403, "foreign-host", "Foreign host")
            await problem(row, "The control plane answers to its own names only.")(scope, receive, send)
        elif _announced(headers) > MAX_BODY:
            row = Row(413, PROTOCOL[413], "The body is too large")
            await problem(row, _TOO_LARGE)(scope, receive, send)
        elif _has_body(headers) and not is_json(headers.get("content-type", "")):
            row = Row(415, PROTOCOL[415], "The body is not JSON")
            await problem(row, "Send application/json in UTF-8.")(scope, receive, send)
        else:
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            await self._app({**scope, "method": method}, _measured(receive), send)

    def _known(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if self._locks is not None and self._locks.locked:
            return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
        named = [headers.get("host", ""), *([urlsplit(origin).netloc] if origin is not None else [])]
        return all(_name(host) in self._hosts for host in named)


def _name(host: str) -> str:
    """Strip the port.

    >>> _name("LocalHost:8001"), _name("[::1]:8001"), _name("[::1]")
    ('localhost', '[::1]', '[::1]')
    """
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def _announced(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _measured(receive: Receive) -> Receive:
    """Refuse a body that grows beyond the limit without having announced it."""
    taken = 0

    async def measured() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY:
            raise HTTPException(413, _TOO_LARGE)
        return message

    return measured
