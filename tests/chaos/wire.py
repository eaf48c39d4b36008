"""A proxy before a Redis that can dawdle or hang up, on a thread of its own, and notes what passes. Loopback only."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Wire:
    """What the proxy does now, and what it has seen."""

    to: tuple[str, int]
    port: int = 0
    delay_s: float = 0.0
    """Added before each piece of an answer."""
    cutting: bool = False
    """Whether it hangs up on whoever comes, and on whoever asks."""
    asked: list[float] = field(default_factory=list)
    """Wall time of each connection and of each read, whatever became of it."""

    def asked_between(self, after: float, before: float) -> int:
        """How often the store was asked in between."""
        return sum(after <= at < before for at in self.asked)


@contextmanager
def wire(to: tuple[str, int]) -> Iterator[Wire]:
    """Stand between clients and a Redis."""
    listener = socket.create_server(("127.0.0.1", 0))
    between, loop = Wire(to, listener.getsockname()[1]), asyncio.new_event_loop()
    thread = threading.Thread(target=_turn, args=(loop, listener, between))
    thread.start()
    try:
        yield between
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _turn(loop: asyncio.AbstractEventLoop, listener: socket.socket, between: Wire) -> None:
    asyncio.set_event_loop(loop)
    proxy = _Proxy(between)
    server = loop.run_until_complete(asyncio.start_server(proxy.serve, sock=listener))
    loop.run_forever()
    server.close()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()


class _Proxy:
    def __init__(self, between: Wire) -> None:
        self._between = between

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection both ways until either end is gone."""
        between, ends = self._between, [writer]
        try:
            between.asked.append(time.time())
            if between.cutting:
                return
            inner, outer = await asyncio.open_connection(*between.to)
            ends.append(outer)
            both = {asyncio.ensure_future(self._ask(reader, outer)), asyncio.ensure_future(self._answer(inner, writer))}
            _, left = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
        except (OSError, asyncio.CancelledError):  # the row has ended
            return
        finally:
            for end in ends:
                end.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                self._between.asked += [time.time()] * data.count(b"HMGET")
                if self._between.cutting:
                    return
                writer.write(data)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if self._between.cutting:
                    return
                if self._between.delay_s:
                    await asyncio.sleep(self._between.delay_s)
                writer.write(data)
