"""kill -9, again and again: whatever was acknowledged is there."""

import random
import subprocess
import sys
from pathlib import Path

from gateway.adapters.spool.drain import SpoolReader, drain
from gateway.adapters.store.memory import MemoryEventLog
from tests.records import TAG

ROUNDS = 8
SEED = 20261124

# Appends without end, one prediction and one outcome at a time, and acknowledges each pair once both are kept.
WORKER = """
import asyncio, os, sys
from pathlib import Path
from gateway.adapters.spool.segment import SegmentSpool
from tests.records import outcome, prediction

async def work(folder, start):
    predictions = SegmentSpool(folder, "p", segment_bytes=20_000)
    outcomes = SegmentSpool(folder, "o", segment_bytes=20_000)
    for n in range(start, start + 1_000_000):
        predictions.append(prediction(f"b{n}"))
        outcomes.append(outcome(f"b{n}"))
        await outcomes.flush()
        os.write(1, b"%d\\n" % n)

asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
"""


def test_every_acknowledged_record_outlives_kill_9(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    log, reader = MemoryEventLog(), SpoolReader(tmp_path)
    acknowledged: list[int] = []
    for number in range(ROUNDS):
        command = [sys.executable, "-c", WORKER, str(tmp_path), str(number * 1_000_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as worker:
            assert worker.stdout is not None
            unread, enough = b"", dice.randrange(1, 200)
            while unread.count(b"\n") < enough:
                unread += worker.stdout.read(4_096)
                drain(reader, log)  # the agent drains while the worker writes
            worker.kill()
            unread += worker.stdout.read()
        acknowledged += map(int, unread[: unread.rfind(b"\n")].split())
    while reader.segments():
        drain(reader, log)
    kept = [log.prediction(TAG, f"b{n}") for n in acknowledged]
    assert len(kept) >= ROUNDS
    assert all(one is not None and len(one.outcomes) == 1 for one in kept), f"seed {SEED}"
    books = log.books()
    assert books.predictions["duplicates"] == books.outcomes["duplicate"] == 0
    assert len(acknowledged) <= books.predictions["stored"] <= len(acknowledged) + ROUNDS
