"""Things a process does all the time, and slow things it does aside: small helpers around asyncio.

A duty that ends by itself takes the process along: a worker that no longer hears the agent, or an agent that no
longer drains, is better started again than left half alive.
"""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

_Result = TypeVar("_Result")


class Duties:
    """Tasks that run until the process ends."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, duty: Coroutine[Any, Any, None], name: str) -> None:
        """Run ``duty`` in the background from now on."""
        task = asyncio.get_running_loop().create_task(duty, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Cancel every duty and wait until it has let go."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task not in self._tasks:
            return
        log.critical("duty_ended", duty=task.get_name(), exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


async def aside(function: Callable[..., _Result], *arguments: object) -> _Result:
    """Run ``function`` in a daemon thread of its own: something slow, or stuck for ever, keeps nobody from ending."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[_Result] = loop.create_future()

    def tell(result: _Result | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        try:
            result, error = function(*arguments), None
        except BaseException as caught:  # noqa: BLE001 - handed to whoever waits
            result, error = None, caught
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=work, name=f"aside-{function.__name__}", daemon=True).start()
    return await answer
