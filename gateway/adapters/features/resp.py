"""One Redis connection for everybody: what one turn of the loop asks is one write, and replies come in its order.

redis-py opens the connection - addresses, TLS, AUTH, SELECT are its business - and then hands its transport to the
protocol here, which only counts replies off hiredis. redis-py's own reading costs more than the round trip.

A caller whose budget is over walks away from its future; its place in the row of replies stays, so nobody can be
handed a reply meant for somebody else. A connection that has stopped answering is dropped with all that was to come.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import hiredis
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from gateway.adapters.features.coalescer import Breaker, StoreRefused

Command: TypeAlias = bytes
"""One command as it goes over the wire."""
Reply: TypeAlias = list[bytes | None] | ResponseError


def head_of(fields: Sequence[bytes]) -> bytes:
    """Everything of an HMGET for these fields that comes before its key."""
    return b"*%d\r\n$5\r\nHMGET\r\n" % (len(fields) + 2)


def tail_of(fields: Sequence[bytes]) -> bytes:
    """Everything of an HMGET that comes after its key."""
    return b"\r\n" + b"".join([b"$%d\r\n%b\r\n" % (len(field), field) for field in fields])


class _Batch:
    """What one turn asked: the commands of each ask, who waits for it, and the replies so far to the distinct ones.

    ``reported``: the breaker knows its outcome. ``again``: it was sent on a new connection, and is not sent once more.
    """

    __slots__ = ("again", "asks", "commands", "replies", "reported", "sent", "waiting")

    def __init__(self) -> None:
        self.asks: list[Sequence[Command]] = []
        self.waiting: list[asyncio.Future[Sequence[Reply]]] = []
        self.commands: Sequence[Command] = ()
        self.replies: list[Reply] = []
        self.reported = self.again = False
        self.sent = 0.0

    def forget_the_gone(self) -> None:
        """Leave out who has walked away, and find the distinct commands of the others."""
        if any(future.done() for future in self.waiting):
            live = [index for index, future in enumerate(self.waiting) if not future.done()]
            self.asks = [self.asks[index] for index in live]
            self.waiting = [self.waiting[index] for index in live]
        every = self.asks[0] if len(self.asks) == 1 else [command for ask in self.asks for command in ask]
        self.commands = list(dict.fromkeys(every))

    def settle(self) -> None:
        """Hand the replies out."""
        if len(self.asks) == 1 and len(self.asks[0]) == len(self.commands):
            shares: Sequence[Sequence[Reply]] = [self.replies]
        else:
            by_command = dict(zip(self.commands, self.replies, strict=True))
            shares = [[by_command[command] for command in ask] for ask in self.asks]
        for future, share in zip(self.waiting, shares, strict=True):
            if not future.done():
                future.set_result(share)

    def fail(self, error: Exception) -> None:
        """Tell everybody that nothing will come."""
        for future in self.waiting:
            if not future.done():
                future.set_exception(error)


class Pipe:
    """A connection, opened when needed. ``stalled_s`` bounds its opening, and the silence before it is dropped."""

    def __init__(self, connect: Callable[[], Connection], stalled_s: float, breaker: Breaker | None = None) -> None:
        self._connect = connect
        self._stalled_s = stalled_s
        self._breaker = breaker or Breaker()
        self._turn: _Batch | None = None
        self._unsent: list[_Batch] = []
        self._line: _Line | None = None
        self._opening: asyncio.Task[None] | None = None
        self._dropping: set[asyncio.Task[None]] = set()

    async def ask(self, commands: Sequence[Command], budget_s: float) -> Sequence[Reply]:
        """Return the replies to ``commands`` within ``budget_s`` machine seconds.

        Raises StoreRefused at once while the breaker is open, TimeoutError when the budget is over, and RedisError or
        OSError for a connection that could not be had or was lost.
        """
        if not self._breaker.admits():
            raise StoreRefused
        loop = asyncio.get_running_loop()
        batch = self._turn
        if batch is None:
            batch = self._turn = _Batch()
            loop.call_soon(self._send)
        future: asyncio.Future[Sequence[Reply]] = loop.create_future()
        batch.asks.append(commands)
        batch.waiting.append(future)
        timer = loop.call_later(budget_s, self._expire, batch, future)
        try:
            return await future
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Drop the connection; whoever still waits gets ConnectionError."""
        self._breaker.close()
        left, self._unsent = self._unsent, []
        if self._turn is not None:
            left.append(self._turn)
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        line, self._line = self._line, None
        if line is not None:
            left += line.flying
            await line.drop()
        if self._dropping:
            await asyncio.wait(self._dropping)
        for batch in left:
            batch.fail(ConnectionError("closed"))

    def _send(self) -> None:
        """Write what this turn has asked, or open the connection for it."""
        batch, self._turn = self._turn, None
        if batch is None or not self._is_waited_for(batch):
            return
        if self._line is not None:
            self._line.send(batch)
        else:
            self._put_off(batch)

    def _is_waited_for(self, batch: _Batch) -> bool:
        batch.forget_the_gone()
        if not batch.waiting and not batch.reported:
            self._breaker.untried()
        return bool(batch.waiting)

    def _put_off(self, batch: _Batch) -> None:
        """Send a batch once there is a connection."""
        self._unsent.append(batch)
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        """Let redis-py connect, take the connection over, and send what has waited for it."""
        try:
            async with asyncio.timeout(self._stalled_s):
                line = _Line(await self._connected(), self._stalled_s, self._landed, self._lost)
        except Exception as error:  # noqa: BLE001 - the border of redis-py: its error goes to whoever waits
            unsent, self._unsent = self._unsent, []
            for batch in unsent:
                self._report(batch, succeeded=False)
                batch.fail(error)
        else:
            self._line, unsent, self._unsent = line, self._unsent, []
            for batch in filter(self._is_waited_for, unsent):
                batch.again = True
                line.send(batch)
        finally:
            self._opening = None

    async def _connected(self) -> Connection:
        connection = self._connect()  # made here, on the loop that uses it
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    def _landed(self, batch: _Batch) -> None:
        self._report(batch, succeeded=True)
        batch.settle()

    def _lost(self, line: "_Line", error: Exception) -> None:
        """The connection is gone: what a kept one had under way is asked once more on another."""
        if self._line is line:
            self._line = None
        dropping = asyncio.get_running_loop().create_task(line.drop())
        self._dropping.add(dropping)
        dropping.add_done_callback(self._dropping.discard)
        left, line.flying = line.flying, deque()
        stalled = left[0] if left and isinstance(error, TimeoutError) else None
        for batch in left:
            if batch.again or batch is stalled:
                self._report(batch, succeeded=False)
                batch.fail(error)
            else:
                batch.replies = []
                self._put_off(batch)

    def _expire(self, batch: _Batch, future: "asyncio.Future[Sequence[Reply]]") -> None:
        """The budget is over: whoever asked walks away, and its batch has failed."""
        if not future.done():
            self._report(batch, succeeded=False)
            future.set_exception(TimeoutError())

    def _report(self, batch: _Batch, *, succeeded: bool) -> None:
        if batch.reported:  # a batch that was late for somebody has failed, also when it arrives in the end
            return
        batch.reported = True
        if succeeded:
            self._breaker.succeeded()
        else:
            self._breaker.failed()


class _Line(asyncio.Protocol):
    """The protocol on an open connection: ``landed`` is told of each batch that is answered, ``lost`` of its end."""

    def __init__(
        self,
        connection: Connection,
        stalled_s: float,
        landed: Callable[[_Batch], None],
        lost: "Callable[[_Line, Exception], None]",
    ) -> None:
        self._connection = connection  # keeps the socket open
        self._stalled_s, self._landed, self._lost = stalled_s, landed, lost
        self._loop = asyncio.get_running_loop()
        writer: Any = connection._writer  # public nowhere; a test opens a real connection
        self._transport: asyncio.Transport = writer.transport
        self._reader = hiredis.Reader(protocolError=RedisConnectionError, replyError=ResponseError)
        self.flying: deque[_Batch] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._ended = False
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    def send(self, batch: _Batch) -> None:
        """Send a batch's commands; their replies come after all that are under way."""
        self.flying.append(batch)
        batch.sent = self._loop.time()
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._stalled_s, self._look_stalled)
        if self._transport.is_closing():
            self._end(RedisConnectionError("The server has closed the connection."))
        else:
            self._transport.write(b"".join(batch.commands))

    async def drop(self) -> None:
        """Close at once: replies still to come reach nobody."""
        self._ended = True
        if self._alarm is not None:
            self._alarm.cancel()
        self._transport.abort()
        await self._connection.disconnect(nowait=True)

    def data_received(self, data: bytes) -> None:
        """Take in what came, and hand each batch over when its last reply is here."""
        gets, flying = self._reader.gets, self.flying
        try:
            self._reader.feed(data)
            while flying:
                batch = flying[0]
                replies, missing = batch.replies, len(batch.commands) - len(batch.replies)
                while missing and (reply := gets()) is not False:
                    replies.append(reply)
                    missing -= 1
                if missing:
                    return
                self._landed(flying.popleft())
        except RedisConnectionError as error:
            self._end(error)

    def connection_lost(self, error: BaseException | None) -> None:
        """Tell that nothing more will come."""
        lost = RedisConnectionError("The server has closed the connection.")
        lost.__cause__ = error
        self._end(lost)

    def _look_stalled(self) -> None:
        """Give the connection up if its oldest batch has waited too long. One alarm is enough, whatever is sent."""
        self._alarm = None
        if not self.flying:
            return
        left = self.flying[0].sent + self._stalled_s - self._loop.time()
        if left <= 0.0:
            self._end(TimeoutError())
        else:
            self._alarm = self._loop.call_later(left, self._look_stalled)

    def _end(self, error: Exception) -> None:
        if not self._ended:
            self._ended = True
            self._lost(self, error)
