"""uvicorn's protocol with one write per answer: it hands head and body to the kernel apart, at a system call each.

A head is held for the body that follows it in the same turn of the loop; without one it leaves at the turn's end.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_GOODBYE_S = 0.05


class JoinedProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol over a :class:`JoinedTransport`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Stand between the protocol and its transport."""
        self.joined = JoinedTransport(transport)
        super().connection_made(self.joined)  # type: ignore[arg-type]


class JoinedTransport:
    """A transport that joins an answer's head with what is written next."""

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Write, or hold a head for a moment."""
        if self._head:
            self._transport.write(self._head + data)
            self._head = b""
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            asyncio.get_running_loop().call_soon(self._flush)
        else:
            self._transport.write(data)

    def write_whole(self, data: bytes) -> None:
        """Write an answer that has its head and its body."""
        self._flush()
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether the connection is at its end."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close, after what is held has been written.

        TLS asks the peer to say goodbye too, and reads on until it does: a body that nobody wants must not come in by
        that, so its goodbye is not waited for long.
        """
        self._flush()
        self._transport.close()
        if self._transport.get_extra_info("sslcontext") is not None:
            asyncio.get_running_loop().call_later(_GOODBYE_S, self._transport.abort)

    def _flush(self) -> None:
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the transport's
        return getattr(self._transport, name)
