"""How long a caller may take to say what it wants: a connection whose next request's head does not arrive is closed.

uvicorn waits for a head for ever, so that a few hundred callers who send a byte a second would hold every place. Bodies
have a patience of their own, where they are read. An idle connection between two requests is uvicorn's to close.
"""

import asyncio

from gateway.processes.joined import JoinedProtocol

HEAD_S = 8.0
"""Longest time from a connection's beginning, or from a request's first byte, to the end of its head, in seconds."""


class PatientProtocol(JoinedProtocol):
    """The protocol with a bound on every head."""

    head_s = HEAD_S

    _since: float | None = None
    _alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._alarm = self.loop.call_later(self.head_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        if self._alarm is not None:
            self._alarm.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to wait for a head."""
        if self._since is None:
            self._since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hear that the head is here."""
        self._since = None
        super().on_headers_complete()

    def _look(self) -> None:
        """Close if the head is too late; one alarm per connection is enough, whatever its number of requests."""
        left = self.head_s if self._since is None else self._since + self.head_s - self.loop.time()
        if left <= 0.0:
            self.transport.close()
            return
        self._alarm = self.loop.call_later(left, self._look)
