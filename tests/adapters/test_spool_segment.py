"""Segments: one lock, one cap, group commit, and a disk that fails."""

import asyncio
import errno
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.adapters.spool.drain import SpoolReader, drain
from gateway.adapters.spool.files import LocalFiles
from gateway.adapters.spool.frames import encode
from gateway.adapters.spool.names import OUTCOMES, this_writer, writer_of
from gateway.adapters.spool.segment import SegmentSpool
from gateway.adapters.store.memory import MemoryEventLog
from gateway.core.errors import LogRefused
from gateway.core.events import Event
from tests.records import outcome, prediction


class GatedFiles(LocalFiles):
    """A disk whose fsyncs wait for a turn, and fail when told to. ``synced`` lists what was synced, in order."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.begun = threading.Event()
        self.synced: list[str] = []
        self.broken = False

    def sync(self, path: Path) -> None:
        if path.suffix == ".seg":
            self.begun.set()
            self.gate.acquire()
            self.synced.append(path.name)
            if self.broken:
                raise OSError(errno.EIO, "Input/output error")
        super().sync(path)


def kept(folder: Path) -> list[Event]:
    reader = SpoolReader(folder)
    return [event for segment in reader.segments() for _, event in reader.read(segment.spool_id, 0).events]


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_worker_is_named_by_host_boot_process_and_start_and_its_lanes_apart(tmp_path: Path) -> None:
    predictions, outcomes = SegmentSpool(tmp_path), SegmentSpool(tmp_path, OUTCOMES)
    predictions.append(prediction())
    outcomes.append(outcome())
    names = sorted(path.stem for path in tmp_path.glob("*.seg"))
    assert names == [f"{this_writer()}-o000000", f"{this_writer()}-p000000"]
    assert {writer_of(name) for name in names} == {this_writer()}
    predictions.close()
    outcomes.close()


def test_a_segment_is_sealed_when_its_writer_has_closed_it_and_not_before(tmp_path: Path) -> None:
    spool, reader = SegmentSpool(tmp_path, writer="w"), SpoolReader(tmp_path)
    spool.append(outcome())
    assert [segment.sealed for segment in reader.segments()] == [False]
    spool.close()
    assert [segment.sealed for segment in reader.segments()] == [True]
    with pytest.raises(LogRefused, match="closed"):
        spool.append(outcome())


def test_a_new_segment_is_begun_at_the_size_given_and_the_old_one_sealed(tmp_path: Path) -> None:
    size = len(encode(outcome()))
    spool = SegmentSpool(tmp_path, writer="w", segment_bytes=2 * size)
    for _ in range(5):
        spool.append(outcome())
    segments = SpoolReader(tmp_path).segments()
    assert [segment.size for segment in segments] == [2 * size, 2 * size, size]
    assert [segment.sealed for segment in segments] == [True, True, False]
    assert spool.spool_id == segments[-1].spool_id
    spool.close()


def test_a_process_never_gives_a_segment_the_name_of_one_that_was_drained_and_deleted(tmp_path: Path) -> None:
    log, reader = MemoryEventLog(), SpoolReader(tmp_path)
    for body in ("b1", "b2"):
        spool = SegmentSpool(tmp_path, writer="w")
        spool.append(outcome(body))
        spool.close()
        drain(reader, log)
    assert log.books().outcomes["accepted"] == 2


def test_two_spools_of_one_process_never_share_a_segment(tmp_path: Path) -> None:
    one, other = SegmentSpool(tmp_path, writer="w"), SegmentSpool(tmp_path, writer="w")
    one.append(outcome("b1"))
    other.append(outcome("b2"))
    assert one.spool_id != other.spool_id
    one.close()
    other.close()


def test_at_its_cap_the_spool_refuses_until_the_agent_has_drained(tmp_path: Path) -> None:
    size = len(encode(outcome()))
    spool = SegmentSpool(tmp_path, writer="w", segment_bytes=size, cap_bytes=2 * size)
    spool.append(outcome("b1"))
    spool.append(outcome("b2"))
    with pytest.raises(LogRefused, match="drain it first"):
        spool.append(outcome("b3"))
    SpoolReader(tmp_path).remove("w-p000000")
    spool.append(outcome("b4"))
    assert kept(tmp_path) == [outcome("b2"), outcome("b4")]
    spool.close()


def test_a_full_disk_refuses_the_record_whole_and_the_spool_goes_on_once_there_is_room(tmp_path: Path) -> None:
    spool = SegmentSpool(tmp_path, writer="w")
    spool.append(outcome("b1"))
    size = len(encode(outcome("b1")))
    for room in (0, 1, size - 1):
        with files_no_longer_than(size + room), pytest.raises(LogRefused):
            spool.append(outcome("b2"))
    spool.append(outcome("b3"))
    assert kept(tmp_path) == [outcome("b1"), outcome("b3")]
    spool.close()


def test_where_half_a_frame_cannot_be_cut_back_nothing_follows_it(tmp_path: Path) -> None:
    class Stubborn(LocalFiles):
        def truncate(self, descriptor: int, size: int) -> None:  # noqa: ARG002
            raise OSError(errno.EIO, "Input/output error")

    spool = SegmentSpool(tmp_path, writer="w", files=Stubborn())
    spool.append(outcome("b1"))
    with files_no_longer_than(len(encode(outcome("b1"))) + 10), pytest.raises(LogRefused):
        spool.append(outcome("b2"))
    spool.append(outcome("b3"))
    reader = SpoolReader(tmp_path)
    assert [reader.read(segment.spool_id, 0).torn for segment in reader.segments()] == [True, False]
    assert kept(tmp_path) == [outcome("b1"), outcome("b3")]
    spool.close()


async def test_many_waiters_share_one_fsync_that_began_after_their_records(tmp_path: Path) -> None:
    files = GatedFiles()
    spool = SegmentSpool(tmp_path, OUTCOMES, writer="w", files=files)
    spool.append(outcome("b0"))
    first = asyncio.create_task(spool.flush())
    await asyncio.to_thread(files.begun.wait)
    late = []
    for n in range(50):
        spool.append(outcome(f"b{n + 1}"))
        late.append(asyncio.create_task(spool.flush()))
    files.gate.release()
    await first
    await asyncio.sleep(0)
    assert not any(task.done() for task in late)  # that fsync may not have seen their records
    files.gate.release()
    await asyncio.gather(*late)
    assert files.synced == ["w-o000000.seg"] * 2
    spool.close()


async def test_a_waiter_who_goes_away_takes_nobody_along(tmp_path: Path) -> None:
    files = GatedFiles()
    spool = SegmentSpool(tmp_path, writer="w", files=files)
    spool.append(outcome())
    impatient, patient = asyncio.create_task(spool.flush()), asyncio.create_task(spool.flush())
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    files.gate.release()
    await patient
    assert impatient.cancelled()
    assert files.synced == ["w-p000000.seg"]
    spool.close()


async def test_a_flush_covers_a_segment_that_was_left_in_between(tmp_path: Path) -> None:
    files = GatedFiles()
    spool = SegmentSpool(tmp_path, writer="w", segment_bytes=1, files=files)
    spool.append(outcome("b1"))
    spool.append(outcome("b2"))
    files.gate.release(2)
    await spool.flush()
    assert files.synced == ["w-p000000.seg", "w-p000001.seg"]
    spool.close()


async def test_after_a_failed_fsync_everybody_waiting_is_told_and_a_new_segment_is_begun(tmp_path: Path) -> None:
    files = GatedFiles()
    spool = SegmentSpool(tmp_path, writer="w", files=files)
    files.broken = True
    spool.append(outcome("b1"))
    first = asyncio.create_task(spool.flush())
    await asyncio.to_thread(files.begun.wait)
    spool.append(outcome("b2"))  # after the fsync began: nobody can tell whether its page was dropped
    second = asyncio.create_task(spool.flush())
    files.gate.release()
    failures = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(failure) for failure in failures] == [LogRefused, LogRefused]
    with pytest.raises(LogRefused):
        await spool.flush()
    files.broken = False
    spool.append(outcome("b3"))
    files.gate.release()
    await spool.flush()
    assert spool.spool_id == "w-p000001"
    spool.close()


async def test_a_flush_does_not_block_the_loop_while_the_disk_is_slow(tmp_path: Path) -> None:
    files = GatedFiles()
    spool = SegmentSpool(tmp_path, writer="w", files=files)
    spool.append(outcome())
    flushing = asyncio.create_task(spool.flush())
    for _ in range(100):
        await asyncio.sleep(0)  # the loop turns
    assert not flushing.done()
    files.gate.release()
    await flushing
    spool.close()


def test_segments_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    spool = SegmentSpool(tmp_path / "spool", writer="w")
    spool.append(outcome())
    [segment] = (tmp_path / "spool").glob("*.seg")
    assert segment.stat().st_mode & 0o777 == 0o600
    spool.close()


async def test_a_flush_that_comes_to_a_closing_spool_is_refused(tmp_path: Path) -> None:
    spool = SegmentSpool(tmp_path, writer="w")
    spool.append(outcome())
    flushing = asyncio.create_task(spool.flush())
    spool.close()
    with pytest.raises(LogRefused):
        await flushing
