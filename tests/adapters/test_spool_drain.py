"""Draining: everything once, nothing deleted before it is stored, nothing skipped in silence."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from crc32c import crc32c

from gateway.adapters.spool.drain import BATCH_RECORDS, SpoolReader, drain
from gateway.adapters.spool.frames import Unreadable, encode
from gateway.adapters.spool.marks import MarksFile
from gateway.adapters.spool.segment import SegmentSpool
from gateway.adapters.store.memory import MemoryEventLog
from gateway.core.errors import StoreUnavailable
from gateway.core.events import Event, Punctuation
from gateway.ports import Window
from tests.records import DEPLOYMENT, T0, outcome, prediction, shadow


def write(folder: Path, *events: Event, writer: str = "w", close: bool = True) -> SegmentSpool:
    spool = SegmentSpool(folder, writer=writer)
    for event in events:
        spool.append(event)
    if close:
        spool.close()
    return spool


def test_what_is_drained_is_stored_and_a_sealed_segment_deleted(tmp_path: Path) -> None:
    write(tmp_path, prediction("b1"), prediction("b2"))
    live = write(tmp_path, outcome("b1"), writer="other", close=False)
    log, reader = MemoryEventLog(), SpoolReader(tmp_path)
    drained = drain(reader, log)
    assert drained.events == {"prediction": 2, "outcome": 1}
    assert drained.removed == ["w-p000000"]
    assert [segment.spool_id for segment in reader.segments()] == ["other-p000000"]
    live.append(outcome("b2"))
    assert drain(reader, log).events == {"outcome": 1}
    assert log.books().outcomes["joined"] == 2
    live.close()


def test_in_small_batches_everything_arrives_and_the_drain_says_that_it_is_behind(tmp_path: Path) -> None:
    bodies = [f"b{n}" for n in range(20)]
    write(tmp_path, *map(prediction, bodies))
    log, reader = MemoryEventLog(), SpoolReader(tmp_path)
    passes = 1
    while drain(reader, log, limit_bytes=1_500).behind:
        passes += 1
    assert passes > 5
    assert log.books().predictions == {"received": 20, "stored": 20, "duplicates": 0, "crashed": 0}
    assert reader.segments() == []


def test_nothing_is_deleted_while_the_store_is_down(tmp_path: Path) -> None:
    class Down(MemoryEventLog):
        def append(self, *_: object) -> None:
            raise StoreUnavailable("The store is down.")

    write(tmp_path, prediction())
    reader = SpoolReader(tmp_path)
    with pytest.raises(StoreUnavailable):
        drain(reader, Down())
    assert len(reader.segments()) == 1


def test_a_crash_between_the_commit_and_the_deletion_stores_nothing_twice(tmp_path: Path) -> None:
    write(tmp_path, prediction(), outcome())
    log, reader = MemoryEventLog(), SpoolReader(tmp_path)
    batch = reader.read("w-p000000", 0)
    log.append("w-p000000", batch.events, batch.end)
    drain(reader, log)
    assert log.books().predictions["received"] == 1
    assert reader.segments() == []


def test_a_live_writers_half_frame_is_waited_for_and_a_dead_ones_is_torn(tmp_path: Path) -> None:
    spool = write(tmp_path, outcome("b1"), close=False)
    whole = (tmp_path / "w-p000000.seg").stat().st_size
    with (tmp_path / "w-p000000.seg").open("ab") as file:
        file.write(encode(outcome("b2"))[:-3])
    reader = SpoolReader(tmp_path)
    batch = reader.read("w-p000000", 0)
    assert (len(batch.events), batch.end, batch.torn) == (1, whole, False)
    spool.close()
    batch = reader.read("w-p000000", whole)
    assert (batch.events, batch.torn, batch.unreadable) == ([], True, ())
    assert drain(reader, MemoryEventLog()).torn == ["w-p000000"]
    assert reader.segments() == []


@pytest.mark.parametrize("limit", [64, 1_000_000])
def test_damage_in_the_middle_is_reported_set_aside_and_does_not_stop_the_drain(tmp_path: Path, limit: int) -> None:
    write(tmp_path, *(outcome(f"b{n}") for n in range(5)))
    path, size = tmp_path / "w-p000000.seg", len(encode(outcome("b0")))
    data = bytearray(path.read_bytes())
    data[size + 4 : size + 8] = b"\xff\xff\xff\xff"  # a length beyond all measure
    data[3 * size + 20] ^= 1
    path.write_bytes(data)
    log, reader, found = MemoryEventLog(), SpoolReader(tmp_path), []
    while reader.segments():
        found += [hole for holes in drain(reader, log, limit).unreadable.values() for hole in holes]
    assert log.books().outcomes["accepted"] == 3
    assert found == [Unreadable(n * size, (n + 1) * size, "bad checksum") for n in (1, 3)]
    assert (tmp_path / "damaged" / f"w-p000000-{size}.bin").read_bytes() == data[size : 2 * size]


def test_damage_at_a_dead_writers_end_is_reported_too(tmp_path: Path) -> None:
    write(tmp_path, outcome("b1"), outcome("b2"))
    path, size = tmp_path / "w-p000000.seg", len(encode(outcome("b1")))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    [hole] = SpoolReader(tmp_path).read("w-p000000", 0).unreadable
    assert (hole.offset, hole.end) == (size, 2 * size)


def test_a_record_of_a_later_version_is_set_aside_not_lost(tmp_path: Path) -> None:
    write(tmp_path, outcome("b1"))
    later = bytearray(encode(outcome("b2")))
    later[3] = 99  # a kind of record that this version does not know ...
    later[8:12] = struct.pack(">I", crc32c(bytes(later[12:]), crc32c(bytes(later[:8]))))  # ... whole and well
    path = tmp_path / "w-p000000.seg"
    path.write_bytes(path.read_bytes() + later)
    drained = drain(SpoolReader(tmp_path), MemoryEventLog())
    [[hole]] = drained.unreadable.values()
    assert hole.reason == "record kind 99"
    assert (tmp_path / "damaged" / f"w-p000000-{hole.offset}.bin").read_bytes() == later


def test_what_is_spooled_and_not_yet_stored_is_counted_by_kind(tmp_path: Path) -> None:
    write(tmp_path, prediction("b1"), prediction("b2"), shadow("b1"), outcome("b1"))
    reader = SpoolReader(tmp_path)
    assert reader.pending("w-p000000", 0) == {"prediction": 2, "shadow": 1, "outcome": 1}
    assert reader.pending("w-p000000", len(encode(prediction("b1")))) == {"prediction": 1, "shadow": 1, "outcome": 1}
    assert reader.pending("gone-p000000", 0) == {}


def test_the_last_punctuation_of_each_spool_is_passed_on(tmp_path: Path) -> None:
    write(tmp_path, Punctuation(T0, T0), Punctuation(None, T0 + 1))
    assert drain(SpoolReader(tmp_path), MemoryEventLog()).punctuations == {"w-p000000": Punctuation(None, T0 + 1)}


def test_a_worker_that_left_cleanly_owes_no_shadows_once_all_it_wrote_is_stored(tmp_path: Path) -> None:
    marks = MarksFile(tmp_path, writer="w")
    spool = write(tmp_path, prediction("b1", shadows=("v8", "v9")), shadow("b1"), close=False)
    reader, log = SpoolReader(tmp_path), MemoryEventLog()
    drain(reader, log)
    assert log.books().shadows["pending"] == 1
    spool.close()
    drain(reader, log)
    assert log.books().shadows["pending"] == 1  # its marks say that it lives
    write(tmp_path, prediction("b2"))
    marks.close()
    drain(reader, log)
    assert log.books().shadows == {"eligible": 2, "done": 1, "dropped": 1, "pending": 0, "dropped:worker_died": 1}
    assert log.books().predictions["stored"] == 2


WORKER = """
import sys
from pathlib import Path
from gateway.adapters.spool.marks import MarksFile
from gateway.adapters.spool.segment import SegmentSpool
from tests.records import T0, TAG, prediction

folder = Path(sys.argv[1])
marks, spool = MarksFile(folder, writer="w"), SegmentSpool(folder, writer="w")
for n in range(3):
    spool.append(prediction(f"b{n}", T0 + n, shadows=("v9",)))
with marks.running(TAG, ["b9", "b1"], "g-canary", T0 + 9):
    print("running", flush=True)
    sys.stdin.read()
"""


def test_a_killed_workers_marks_are_stored_after_all_it_wrote_and_its_unpaid_shadows_dropped(tmp_path: Path) -> None:
    reader, log = SpoolReader(tmp_path), MemoryEventLog()
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "running\n"
        assert drain(reader, log).dead == []
        worker.kill()
    assert drain(reader, log).dead == ["w"]
    books = log.books()
    assert books.predictions == {"received": 3, "stored": 3, "duplicates": 0, "crashed": 2}
    assert books.shadows == {"eligible": 3, "done": 0, "dropped": 3, "pending": 0, "dropped:worker_died": 3}
    rows = log.evidence(DEPLOYMENT, "g-canary", Window(T0, T0 + 9, log.cursors()))
    assert [(row.position.spool_id, row.failed, row.candidate) for row in rows] == [
        ("w-p000000", False, False),
        ("w-p000000", False, False),
        ("w.marks", True, True),  # b9; b1 had its record
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_batch_is_no_longer_than_a_transaction_may_be_and_the_next_goes_on_behind_it(tmp_path: Path) -> None:
    write(tmp_path, *(outcome(f"b{number}") for number in range(2 * BATCH_RECORDS + 1)))
    log, reader, passes = MemoryEventLog(), SpoolReader(tmp_path), 0
    while drain(reader, log).behind:
        passes += 1
        assert log.books().outcomes["accepted"] == passes * BATCH_RECORDS
    assert (passes, log.books().outcomes["accepted"]) == (2, 2 * BATCH_RECORDS + 1)
    assert reader.segments() == []
