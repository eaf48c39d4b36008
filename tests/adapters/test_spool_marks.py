"""Marks: kept where a crash cannot take them, cleared when the run ends, never in anybody's way."""

import shutil
import threading
from pathlib import Path

import pytest

from gateway.adapters.spool.drain import SpoolReader
from gateway.adapters.spool.marks import SLOT_BYTES, SLOTS, MarksFile, crashes
from gateway.core.events import CrashRecord, Event
from gateway.ports import Marks
from tests.records import T0, TAG


def found(folder: Path) -> list[Event]:
    """What the agent would read if the worker died now."""
    [path] = folder.glob("*.marks")
    return [event for _, event in crashes(path)[0]]


def test_a_run_is_marked_while_it_lasts_and_not_after(tmp_path: Path) -> None:
    file = MarksFile(tmp_path, writer="w")
    marks: Marks = file
    with marks.running(TAG, ["b1", "b2"], "g-canary", T0):
        assert found(tmp_path) == [CrashRecord(TAG, body, "g-canary", T0) for body in ("b1", "b2")]
    assert found(tmp_path) == []
    file.close()


def test_a_run_that_raises_is_cleared_too(tmp_path: Path) -> None:
    marks = MarksFile(tmp_path, writer="w")
    with pytest.raises(ZeroDivisionError), marks.running(TAG, ["b1"], "g-canary", T0):
        raise ZeroDivisionError
    assert found(tmp_path) == []
    marks.close()


def test_a_full_batch_fits_and_every_mark_has_a_place_of_its_own(tmp_path: Path) -> None:
    marks = MarksFile(tmp_path, writer="w")
    bodies = [f"{n:022d}" for n in range(1_000)]
    with marks.running(TAG, bodies, "g-canary", T0), marks.running(TAG, bodies, "g-other", T0):
        [path] = tmp_path.glob("*.marks")
        records, end = crashes(path)
    assert len({offset for offset, _ in records}) == 2_000
    assert max(offset for offset, _ in records) < end == SLOTS * SLOT_BYTES
    marks.close()


def test_with_no_room_left_a_run_goes_unnoted_and_unhindered(tmp_path: Path) -> None:
    marks = MarksFile(tmp_path, writer="w")
    runs = [marks.running(TAG, [f"b{n}"], "g-canary", T0) for n in range(SLOTS + 1)]
    for run in runs:
        run.__enter__()
    assert len(found(tmp_path)) == SLOTS
    with marks.running(TAG, ["x" * SLOT_BYTES], "g-canary", T0):
        assert len(found(tmp_path)) == SLOTS
    for run in runs:
        run.__exit__(None, None, None)
    assert found(tmp_path) == []
    marks.close()


def test_threads_mark_side_by_side(tmp_path: Path) -> None:
    marks, meeting, leaving = MarksFile(tmp_path, writer="w"), threading.Barrier(9), threading.Event()

    def run(body: str) -> None:
        with marks.running(TAG, [body], "g-canary", T0):
            meeting.wait()
            leaving.wait()

    threads = [threading.Thread(target=run, args=(f"b{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    meeting.wait()
    assert len(found(tmp_path)) == 8
    leaving.set()
    for thread in threads:
        thread.join()
    assert found(tmp_path) == []
    marks.close()


def test_a_half_written_mark_is_no_mark(tmp_path: Path) -> None:
    marks = MarksFile(tmp_path, writer="w")
    with marks.running(TAG, ["b1"], "g-canary", T0):
        copy = shutil.copy(tmp_path / "w.marks", tmp_path / "copy")
    data = bytearray(Path(copy).read_bytes())
    place = next(n for n, byte in enumerate(data) if byte)
    data[place + 12] ^= 1
    Path(copy).write_bytes(data)
    assert crashes(Path(copy))[0] == []
    marks.close()


def test_a_worker_that_leaves_cleanly_leaves_no_marks_even_with_a_run_that_never_ended(tmp_path: Path) -> None:
    marks, reader = MarksFile(tmp_path, writer="w"), SpoolReader(tmp_path)
    stuck = marks.running(TAG, ["b1"], "g-canary", T0)
    stuck.__enter__()
    assert reader.dead_writers() == {}
    marks.close()
    assert reader.dead_writers() == {}
    stuck.__exit__(None, None, None)  # the thread comes back after all
