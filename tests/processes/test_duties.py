"""What runs all the time, and what runs aside: a duty that ends takes the process along, something stuck does not."""

import asyncio
import subprocess
import sys
import threading

import pytest

from gateway.processes.duties import Duties, aside

LOSES_A_DUTY = """
import asyncio, signal, sys
from gateway.processes.duties import Duties

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: sys.exit(7))
    async def brief(): raise RuntimeError("no more")
    Duties().start(brief(), "brief")
    await asyncio.sleep(10)

asyncio.run(main())
"""

LEAVES_SOMETHING_STUCK = """
import asyncio, threading
from gateway.processes.duties import aside

async def main():
    stuck = asyncio.ensure_future(aside(threading.Event().wait))
    await asyncio.sleep(0)
    stuck.cancel()

asyncio.run(main())
"""


async def test_what_runs_aside_answers_or_fails_where_it_is_waited_for() -> None:
    assert await aside(sorted, [2, 1]) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        await aside(divmod, 1, 0)


async def test_the_loop_turns_while_something_runs_aside() -> None:
    release = threading.Event()
    waiting = asyncio.ensure_future(aside(release.wait, 5.0))
    await asyncio.sleep(0)
    release.set()
    assert await waiting


async def test_duties_end_when_they_are_stopped() -> None:
    duties, ended = Duties(), asyncio.Event()

    async def duty() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    duties.start(duty(), "duty")
    await asyncio.sleep(0)
    await duties.stop()
    assert ended.is_set()


def test_a_duty_that_ends_by_itself_takes_the_process_along() -> None:
    ended = subprocess.run([sys.executable, "-c", LOSES_A_DUTY], capture_output=True, timeout=20, check=False)
    assert ended.returncode == 7
    assert b"duty_ended" in ended.stdout


def test_something_stuck_aside_keeps_no_process_from_ending() -> None:
    ended = subprocess.run([sys.executable, "-c", LEAVES_SOMETHING_STUCK], timeout=20, check=False)
    assert ended.returncode == 0
