"""Rows on disks: the power goes, the disk is full, the library is old, the store is away."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from random import Random

import httpx
import numpy as np

from gateway.adapters.spool.drain import SpoolReader
from gateway.adapters.spool.names import OUTCOMES
from gateway.adapters.spool.segment import SegmentSpool
from gateway.adapters.store import open_store
from gateway.adapters.store.database import require_sqlite
from gateway.core.errors import LogRefused, SettingsError, StoreUnavailable
from gateway.core.events import OutcomeRecord
from tests.chaos.clients import ARMS, Seen, audit, load, probe
from tests.chaos.disk_model import DiskModel
from tests.chaos.models import Coded, put
from tests.chaos.report import NotRun, Outcome, Row, Setting
from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, until
from tests.records import T0, outcome, prediction

_TMPFS_MIB = 16
_FULL_PAUSE_S = 0.5


def power_cuts(setting: Setting) -> Outcome:
    """D2: the power goes at any verb. What a flush has covered is found again; with a disk that lies it is not."""
    result = Outcome(what="power cuts")
    seeds = setting.pick(200, 2_000)
    honest = [_spool_cut(setting.folder / f"s{n}", setting.dice.random(), lying=False) for n in range(seeds)]
    lying = [_spool_cut(setting.folder / f"l{n}", setting.dice.random(), lying=True) for n in range(seeds // 4)]
    cuts, toothless = setting.pick(20, 2_000), setting.pick(20, 200)  # that NORMAL loses rows, few cuts show
    full, normal = _store_cuts(setting, "FULL", cuts), _store_cuts(setting, "NORMAL", toothless)
    result.faults = seeds + cuts + toothless
    result.at_least("records flushed before the cut", sum(made for made, _ in honest), seeds)
    result.exactly("of them lost", sum(lost for _, lost in honest), 0)
    result.at_least("lost by a disk that only says it synced (teeth)", sum(lost for _, lost in lying), 1)
    result.exactly("committed batches of the store lost, stores spoilt", full[1:], (0, 0))
    result.at_least("committed batches", full[0], cuts)
    result.at_least("rows lost with synchronous=NORMAL (teeth)", normal[1], 1)
    return result


def _spool_cut(folder: Path, seed: float, *, lying: bool) -> tuple[int, int]:
    """Append and flush until the power goes; how many records had been flushed, and how many of them are gone."""
    dice = Random(seed)
    disk = DiskModel(dice.randrange(5, 120), lying=lying)
    spool = SegmentSpool(folder / "before", OUTCOMES, writer="h-b-1-1", segment_bytes=4_096, files=disk)
    flushed: list[str] = []

    async def tell(number: int) -> None:
        for turn in range(40):
            body = f"b{number}-{turn}"
            spool.append(outcome(body, number, T0))
            await spool.flush()
            flushed.append(body)

    async def work() -> None:
        tellers = [asyncio.create_task(tell(number)) for number in range(dice.randrange(1, 5))]
        await asyncio.gather(*tellers, return_exceptions=True)
        with suppress(OSError, LogRefused):
            spool.close()

    asyncio.run(work())
    disk.recover(folder / "after", dice)
    kept = _found(folder / "after")
    return len(flushed), sum(body not in kept for body in flushed)


def _found(folder: Path) -> set[str]:
    """Prediction ids' bodies of every outcome that the next start can read."""
    reader, bodies = SpoolReader(folder), set[str]()
    for segment in reader.segments():
        offset = -1
        batch = reader.read(segment.spool_id, 0)
        while batch.end > offset:
            bodies |= {event.body for _, event in batch.events if isinstance(event, OutcomeRecord)}
            offset = batch.end
            batch = reader.read(segment.spool_id, offset)
    return bodies


def _store_cuts(setting: Setting, mode: str, cuts: int) -> tuple[int, int, int]:
    arguments = [str(setting.folder / mode), str(setting.dice.random()), mode, str(cuts)]
    command = [sys.executable, "-m", "tests.chaos.power_vfs", *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(said[-3]), int(said[-2]), int(said[-1])


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A file system of a few megabytes. Raises NotRun where nobody may mount one."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_TMPFS_MIB}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        raise NotRun(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def full_disk(setting: Setting) -> Outcome:
    """D4: the disk is filled to the last byte and freed again. 503, never 500, and nothing acknowledged is lost."""
    result, seen, slowest = Outcome(what="times the disk was full"), Seen(), 0.0
    put(setting.folder / "models", "1", Coded(ARMS["stable"]))
    with _small_disk(setting.folder / "disk") as disk:
        gateway = Gateway(disk, simple_config(setting.folder, workers=2, deployment={"guardrails": ["error_rate"]}))
        try:
            gateway.start()
            with load([gateway], 40.0, seen, Random(setting.dice.random())):
                until(lambda: len(seen.told) > 20, 30.0)
                for _ in range(setting.pick(2, 20)):
                    _fill(disk / "filler")
                    time.sleep(setting.pick(1, 5))
                    result.faults += 1
                    (disk / "filler").unlink()
                    freed = time.monotonic()
                    until(lambda: all(_logs(gateway, seen) for _ in range(6)), 30.0)
                    slowest = max(slowest, time.monotonic() - freed)
            audit([gateway], seen, result)
            odd = [status for _, status in seen.refused if status != 503]
            result.exactly("refusals but 503", odd, [])
            result.exactly("requests without an answer", len(seen.failed), 0)
            result.at_least("refused or unlogged while full", len(seen.refused) + seen.unlogged, 1)
            result.at_most("recovered after", slowest, 5.0, " s")
        finally:
            gateway.close()
    return result


def _fill(path: Path) -> None:
    """Take every byte that is left."""
    size = 1024 * 1024
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while size:
        try:
            os.write(descriptor, bytes(size))
        except OSError:
            size //= 2
    os.close(descriptor)


def _logs(gateway: Gateway, seen: Seen) -> bool:
    before = len(seen.acknowledged)
    return probe(gateway, seen) is not None and len(seen.acknowledged) > before


def refused_shapes(setting: Setting) -> Outcome:
    """D11: an old library and a second writer are refused at the start; eight workers commit beside each other."""
    result = Outcome(what="shapes that corrupt a store, refused")
    try:
        require_sqlite("3.40.1")
    except SettingsError:
        result.faults += 1
    first = open_store(f"sqlite:{setting.folder}/store.db")
    try:
        open_store(f"sqlite:{setting.folder}/store.db")
    except StoreUnavailable:
        result.faults += 1
    first.close()
    result.exactly("refused", result.faults, 2)
    seconds = setting.pick(3, 60)
    with ProcessPoolExecutor(8, mp_context=get_context("spawn")) as pool:
        times = [
            took
            for one in pool.map(_commit, [(str(setting.folder / "spool"), n, seconds) for n in range(8)])
            for took in one
        ]
    result.at_least("commits a second, all workers", len(times) / seconds, 300.0, timed=True)
    result.at_most("p99 of a commit", float(np.quantile(times, 0.99)), max(0.025, setting.noisy(0.0)), " s")
    result.at_most("longest", max(times), 0.1 if not setting.quick else 1.0, " s")
    return result


def _commit(said: tuple[str, int, float]) -> list[float]:
    """One worker: forty records a second, each on disk before the next; how long each took."""
    folder, number, seconds = said

    async def work() -> list[float]:
        spool = SegmentSpool(Path(folder), writer=f"h-b-{number}-1")
        times, due = [], time.monotonic()
        for turn in range(int(40 * seconds)):
            began = time.monotonic()
            spool.append(prediction(f"b{number}-{turn}", T0))
            await spool.flush()
            times.append(time.monotonic() - began)
            due += 1.0 / 40.0
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        spool.close()
        return times

    return asyncio.run(work())


def sink_away(setting: Setting) -> Outcome:
    """D10: the store is away; the spool takes it all, and is drained faster than it fills. At its cap it says so."""
    from tests.chaos.rows_fleet import fleet

    result, started = Outcome(what="the store away, and a spool at its cap"), time.time()
    rate, away_s = setting.pick(60, 200), setting.pick(5, 1_800)
    with fleet(setting) as both:
        seen = both.seen
        with load(both.gateways, rate, seen, Random(setting.dice.random()), tell=0.3):
            time.sleep(setting.pick(3, 60))
            stopped = time.time()
            both.store.stop()
            result.faults += 1
            time.sleep(away_s)
            back = time.time()
        base, meanwhile = seen.p99(started, stopped), seen.p99(stopped, back)
        both.store.start()
        began = time.monotonic()
        until(lambda: _drained(both.gateways), 60.0 + away_s)
        took = time.monotonic() - began
        result.at_most("p99 while it was away", meanwhile, setting.noisy(1.05 * base), " s")
        result.at_least("drained over what came in", away_s / took, 2.0, timed=True)
        failed = [at for at in [*seen.failed, *(at for at, _ in seen.refused)] if at > started]
        result.exactly("failed or refused", len(failed), 0)
        audit(both.gateways, seen, result)
    _at_the_cap(setting, result)
    return result


def _drained(gateways: tuple[Gateway, ...]) -> bool:
    with suppress(httpx.HTTPError, KeyError):
        hosts = [host for gateway in gateways for host in gateway.ledger(0.0)["spooled"]]
        return len(hosts) == 4 and not any(host["predictions"] + host["outcomes"] for host in hosts)
    return False


def _at_the_cap(setting: Setting, result: Outcome) -> None:
    """A small spool that nobody drains: every refusal is counted, exactly."""
    folder = setting.folder / "capped"
    put(folder / "models", "1", Coded(ARMS["stable"]))
    deployment = {"guardrails": ["error_rate"]}
    gateway = Gateway(folder, simple_config(folder, workers=1, max_spool="256KiB", deployment=deployment))
    try:
        gateway.start()
        [agent] = gateway.children("agent")
        os.kill(agent, 19)
        refused = 0
        for number in range(3_000):
            answer = gateway.data.post(f"/predict/{DEPLOYMENT}", json={"features": {"entity": float(number)}})
            refused += answer.status_code == 503
            if refused >= 20:
                break
        os.kill(agent, 18)
        result.faults += 1
        result.exactly("refused at the cap", refused, 20)
        until(lambda: sum(gateway.sample("gateway_log_refused_total").values()) >= refused, 10.0)
        result.exactly("refusals counted", sum(gateway.sample("gateway_log_refused_total").values()), float(refused))
    finally:
        gateway.close()


ROWS = (
    Row("D2", "power cut: what was flushed is there", power_cuts),
    Row("D4", "disk full: 503, and back without a restart", full_disk),
    Row("D10", "the store is away for long: spooled, bounded, drained", sink_away),
    Row("D11", "shapes that corrupt are refused; commits are quick", refused_shapes),
)
