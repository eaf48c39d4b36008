"""uvicorn's protocol with a short way for plain predictions: from the parser to :class:`Turns` and back.

Everything else - another route, a header with a meaning, a connection that is to be closed, a request that was sent
before the last one's answer - goes uvicorn's way, through ASGI, and so does everything once the process is traced. The
cycle here stands in for uvicorn's own, so that pipelining, idle connections and the end of the server are its business.
"""

import asyncio
import re
from time import perf_counter
from typing import Any, Final

from starlette.exceptions import HTTPException
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.core.access import LOCAL, Principal
from gateway.edge.turns import Headers, Turns
from gateway.processes.patience import PatientProtocol

_OK: Final = STATUS_LINE[200]
_PREDICT: Final = re.compile(rb"/predict(?:/([A-Za-z0-9._~-]+))?")


class ExpressProtocol(PatientProtocol):
    """The protocol of one connection."""

    def __init__(self, *arguments: Any, turns: Turns, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*arguments, **options)
        self._turns = turns
        turns.tasks = self.tasks
        self._default: list[tuple[bytes, bytes]] | None = None
        self._common, self._closes = b"", False
        self._idle_since: float | None = None
        self._idle_alarm: asyncio.TimerHandle | None = None

    def on_message_begin(self) -> None:
        """Begin to hear a head; what uvicorn makes of it waits until it is known whether it is needed."""
        if self._since is None:
            self._since = self.loop.time()
        self._idle_since = None
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Choose the way."""
        found = _PREDICT.fullmatch(self.url)
        length = self._turns.takes(self.headers) if found is not None and self._is_free() else None
        if found is not None and length is not None:
            self._since = None
            self._begin(found[1], length)
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        cycle = self.cycle
        if not isinstance(cycle, Cycle):
            super().on_body(body)
        elif not cycle.response_complete:
            cycle.raw += body

    def on_message_complete(self) -> None:
        """Hear that the body is whole."""
        cycle = self.cycle
        if not isinstance(cycle, Cycle):
            super().on_message_complete()
        elif not cycle.response_complete:
            cycle.whole()
            self._turns.arrive(cycle)

    def data_received(self, data: bytes) -> None:
        """Read on; a body that did not come along with its head has so much time and no more."""
        super().data_received(data)
        cycle = self.cycle
        if isinstance(cycle, Cycle) and cycle.more_body and not cycle.response_complete:
            cycle.wait(self._turns.patience_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what has not come whole."""
        cycle = self.cycle
        if self._idle_alarm is not None:
            self._idle_alarm.cancel()
        super().connection_lost(exc)
        if isinstance(cycle, Cycle) and cycle.more_body and not cycle.response_complete:
            cycle.lost()

    def common(self) -> tuple[bytes, bool]:
        """The headers that the server adds to every answer, and whether they end the connection.

        It makes them anew once a second, and when it is about to leave.
        """
        default = self.server_state.default_headers
        if default is not self._default:
            self._default = default
            self._common = b"".join([b"%b: %b\r\n" % header for header in default])
            self._closes = (b"connection", b"close") in default
        return self._common, self._closes

    def answered(self) -> None:
        """Go on after an answer of ours: with what was sent meanwhile, or idle for as long as uvicorn allows.

        One alarm per connection is enough, whatever its number of requests.
        """
        if self.pipeline or self.joined.is_closing():
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        self._idle_since = self.loop.time()
        if self._idle_alarm is None:
            self._idle_alarm = self.loop.call_later(self.timeout_keep_alive, self._look_idle)

    def _look_idle(self) -> None:
        self._idle_alarm = None
        if self._idle_since is None:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0.0:
            self.timeout_keep_alive_handler()
        else:
            self._idle_alarm = self.loop.call_later(left, self._look_idle)

    def _is_free(self) -> bool:
        """Whether nothing is under way on this connection, and it is to stay open."""
        parser, cycle = self.parser, self.cycle
        return (
            (cycle is None or cycle.response_complete)
            and not self.pipeline
            and not self.flow.write_paused
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and self.limit_concurrency is None
            and not self.root_path
        )

    def _begin(self, deployment: bytes | None, length: int) -> None:
        """Stand a cycle of ours in for uvicorn's, if whoever asks may."""
        cycle = Cycle(self, self._turns, None if deployment is None else deployment.decode(), length)
        self.cycle = cycle  # type: ignore[assignment]  # as much of one as uvicorn looks at
        try:
            cycle.principal = self._turns.admit(self.headers, self.client)
        except HTTPException as refusal:
            self._turns.refuse(cycle, refusal)


class _Nobody:
    """Waits for nothing: uvicorn wakes its cycles by an event."""

    def set(self) -> None:
        """Wake nobody."""


class Cycle:
    """One plain request and its answer. To uvicorn it is the cycle of its connection, to ``Turns`` a knock."""

    __slots__ = (
        "_alarm", "_protocol", "_turns", "arrived", "began", "body", "deployment", "disconnected", "keep_alive",
        "more_body", "principal", "raw", "received", "response_complete",
    )  # fmt: skip

    message_event = _Nobody()

    def __init__(self, protocol: ExpressProtocol, turns: Turns, deployment: str | None, received: int) -> None:
        self._protocol, self._turns = protocol, turns
        self._alarm: asyncio.TimerHandle | None = None
        self.deployment, self.received = deployment, received
        self.principal: Principal = LOCAL
        self.raw = b""
        self.body: object = None
        self.began, self.arrived = perf_counter(), 0.0
        self.keep_alive = self.more_body = True
        self.disconnected = self.response_complete = False

    def say(self, status: int, headers: Headers, body: bytes) -> None:
        """Write the answer, and let the connection go on or end."""
        own = b"".join([b"%b: %b\r\n" % header for header in headers])
        self._say(STATUS_LINE[status], own, body, closes=(b"connection", b"close") in headers)

    def say_json(self, body: bytes) -> None:
        """Write a good answer."""
        self._say(_OK, b"content-length: %d\r\ncontent-type: application/json\r\n" % len(body), body)

    def _say(self, status: bytes, own: bytes, body: bytes, *, closes: bool = False) -> None:
        protocol = self._protocol
        if self.disconnected or protocol.joined.is_closing():
            return
        common, leaves = protocol.common()
        if not (closes or leaves or self.keep_alive):
            own += b"connection: close\r\n"
        protocol.joined.write_whole(b"%b%b%b\r\n%b" % (status, common, own, body))
        self.response_complete = True
        if closes or leaves or not self.keep_alive:
            protocol.transport.close()
        protocol.answered()

    def drop(self) -> None:
        """Close the connection."""
        self._protocol.transport.close()

    def whole(self) -> None:
        """Hear that the body has come."""
        self.more_body = False
        if self._alarm is not None:
            self._alarm.cancel()

    def wait(self, patience_s: float) -> None:
        """Wait so long for the rest of the body, from when its head came."""
        if self._alarm is None:
            late = HTTPException(408, f"The body did not arrive within {patience_s:g} s.", {"Connection": "close"})
            self._alarm = self._protocol.loop.call_later(patience_s, self._turns.refuse, self, late)

    def lost(self) -> None:
        """The connection has ended before the body had."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._turns.refuse(self, HTTPException(400, "The body ended early."))
