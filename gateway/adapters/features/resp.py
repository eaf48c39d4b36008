"""One Redis connection that runs one batch of commands at a time, without an await per reply.

redis-py opens the connection - addresses, TLS, AUTH, SELECT are its business - and then hands its transport to the
protocol here, which only counts replies off hiredis. redis-py's own reading costs more than the round trip.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import hiredis
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from gateway.adapters.features.coalescer import Landed, TaskLane

PIPELINE = 128
"""Commands sent before their replies are read, and before others get a turn on the loop."""

Command: TypeAlias = bytes
"""One command as it goes over the wire."""
Reply: TypeAlias = list[bytes | None] | ResponseError


def head_of(fields: Sequence[bytes]) -> bytes:
    """Everything of an HMGET for these fields that comes before its key."""
    return b"*%d\r\n$5\r\nHMGET\r\n" % (len(fields) + 2)


def tail_of(fields: Sequence[bytes]) -> bytes:
    """Everything of an HMGET that comes after its key."""
    return b"\r\n" + b"".join([b"$%d\r\n%b\r\n" % (len(field), field) for field in fields])


class Lane:
    """One connection. Runs one batch at a time, and keeps the connection only if the batch's replies were all read."""

    def __init__(self, connect: Callable[[], Connection], stalled_s: float) -> None:
        self._connect = connect
        self._stalled_s = stalled_s
        self._line: _Line | None = None
        self._aside = TaskLane(self._ask_all)
        self._stall: asyncio.TimerHandle | None = None
        self._dropping: asyncio.Task[None] | None = None

    def start(self, asks: Sequence[Sequence[Command]], landed: Landed[list[Reply]]) -> None:
        """Run all commands of all asks; the same command asked twice runs once.

        On an open connection that is a write, here and now; what takes more - to connect, to take turns with others on
        the loop, to begin again on a connection that the server has closed - is done in a task.
        """
        commands = _distinct(asks)
        line = self._line
        if line is None or len(commands) > PIPELINE:
            self._aside.start(asks, landed)
            return
        self._stall = stall = line.loop.call_later(self._stalled_s, self._give_up, line, landed)

        def heard(replies: list[Reply] | None) -> None:
            stall.cancel()
            if replies is None:
                self._aside.start(asks, landed)
            else:
                landed(_shared(asks, commands, replies))

        line.send(commands, heard)

    async def close(self) -> None:
        """Break off what is under way and drop the connection."""
        if self._stall is not None:
            self._stall.cancel()
        if self._dropping is not None:
            await self._dropping
        await self._aside.close()
        await self._drop()

    def _give_up(self, line: "_Line", landed: Landed[list[Reply]]) -> None:
        """The connection has not answered for too long: replies still to come reach nobody."""
        self._line = None
        line.abandon()
        self._dropping = line.loop.create_task(line.drop())
        landed(TimeoutError())

    async def _ask_all(self, asks: Sequence[Sequence[Command]]) -> list[list[Reply]]:
        commands = _distinct(asks)
        try:
            async with asyncio.timeout(self._stalled_s):
                replies = await self._run(commands)
        except BaseException:
            await self._drop()
            raise
        return _shared(asks, commands, replies)

    async def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.drop()

    async def _run(self, commands: Sequence[Command]) -> list[Reply]:
        """Send and read. A kept connection the server has closed meanwhile is opened anew."""
        kept = self._line
        first = commands[:PIPELINE]
        try:
            replies = await (kept or await self._open()).ask(first)
        except RedisConnectionError:
            if kept is None:
                raise
            await self._drop()
            replies = await (await self._open()).ask(first)
        for start in range(PIPELINE, len(commands), PIPELINE):
            await asyncio.sleep(0)
            replies += await self._still_open().ask(commands[start : start + PIPELINE])
        return replies

    def _still_open(self) -> "_Line":
        if self._line is None:
            raise RedisConnectionError("closed")
        return self._line

    async def _open(self) -> "_Line":
        """Let redis-py connect, then take the connection over; made here, on the loop that uses it."""
        connection = self._connect()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._line = _Line(connection)
        return self._line


def _distinct(asks: Sequence[Sequence[Command]]) -> list[Command]:
    return list(dict.fromkeys([command for ask in asks for command in ask]))


def _shared(
    asks: Sequence[Sequence[Command]], commands: Sequence[Command], replies: Sequence[Reply]
) -> list[list[Reply]]:
    """Give each ask the replies to its own commands."""
    by_command = dict(zip(commands, replies, strict=True))
    return [[by_command[command] for command in ask] for ask in asks]


class _Line(asyncio.Protocol):
    """The protocol on an open connection. ``heard`` is told the replies once, or None when the connection is lost."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection  # keeps the socket open
        self.loop = asyncio.get_running_loop()
        writer: Any = connection._writer  # public nowhere; a test opens a real connection
        self._transport: asyncio.Transport = writer.transport
        self._reader = hiredis.Reader(protocolError=RedisConnectionError, replyError=ResponseError)
        self._replies: list[Reply] = []
        self._missing = 0
        self._heard: Callable[[list[Reply] | None], None] | None = None
        self._lost: BaseException | None = None
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    def send(self, commands: Sequence[Command], heard: Callable[[list[Reply] | None], None]) -> None:
        """Send the commands; ``heard`` is told their replies, in order."""
        if self._lost is not None or self._transport.is_closing():
            heard(None)
            return
        self._missing, self._heard = len(commands), heard
        self._transport.write(b"".join(commands))

    async def ask(self, commands: Sequence[Command]) -> list[Reply]:
        """Send the commands and return their replies, in order. Raises RedisConnectionError."""
        whole: asyncio.Future[list[Reply] | None] = self.loop.create_future()
        self.send(commands, lambda replies: None if whole.done() else whole.set_result(replies))
        replies = await whole
        if replies is None:
            raise RedisConnectionError("The server has closed the connection.") from self._lost
        return replies

    async def drop(self) -> None:
        """Close at once: replies still to come reach nobody."""
        self.abandon()
        await self._connection.disconnect(nowait=True)

    def abandon(self) -> None:
        """Close the socket: replies still to come reach nobody."""
        self._heard = None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take in what came, and hand the replies over when the last one is here."""
        reader, replies = self._reader, self._replies
        try:
            reader.feed(data)
            while self._missing and (reply := reader.gets()) is not False:
                replies.append(reply)
                self._missing -= 1
        except RedisConnectionError as error:
            self.connection_lost(error)
            self._transport.abort()
            return
        if not self._missing and self._heard is not None:
            heard, self._heard, self._replies = self._heard, None, []
            heard(replies)

    def connection_lost(self, error: BaseException | None) -> None:
        """Tell who waits that nothing more will come."""
        self._lost = error or ConnectionResetError()
        heard, self._heard = self._heard, None
        if heard is not None:
            heard(None)
