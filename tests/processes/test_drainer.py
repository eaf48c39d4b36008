"""The agent's side of the spool: everything moves into the store, and the watermark says how far."""

from pathlib import Path

import pytest

from gateway.adapters.clock import ManualClock
from gateway.adapters.spool.drain import SpoolReader
from gateway.adapters.spool.segment import SegmentSpool
from gateway.adapters.store import open_store
from gateway.core.events import OutcomeRecord, Punctuation
from gateway.processes.drainer import Drainer

OUTCOME = OutcomeRecord("t", "b", "label", 1, 5.0, 5.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(machine=50.0)


@pytest.fixture
def spool(tmp_path: Path) -> SegmentSpool:
    return SegmentSpool(tmp_path / "spool", writer="host-boot-1-1")


@pytest.fixture
def drainer(tmp_path: Path, clock: ManualClock) -> Drainer:
    return Drainer(SpoolReader(tmp_path / "spool"), open_store("memory:").events, clock)


def test_what_a_live_worker_wrote_is_stored_and_its_word_moves_the_watermark(
    spool: SegmentSpool, drainer: Drainer, clock: ManualClock
) -> None:
    spool.append(OUTCOME)
    spool.append(Punctuation(100.0, 120.0))
    assert drainer.count().bytes > 0
    drainer.drain()
    assert drainer.count().bytes == 0
    assert drainer.watermark is not None
    assert 99.9 < drainer.watermark < 100.0
    assert clock.data() == 120.0
    spool.close()


def test_a_sealed_spool_is_drained_to_its_end_and_goes(spool: SegmentSpool, drainer: Drainer) -> None:
    for _ in range(200):
        spool.append(OUTCOME)
    spool.close()
    backlog = drainer.drain_all(until=60.0)
    assert (backlog.bytes, backlog.segments) == (0, 0)


def test_what_is_spooled_is_counted_by_kind(spool: SegmentSpool, drainer: Drainer) -> None:
    spool.append(OUTCOME)
    spool.append(Punctuation(None, 5.0))
    assert drainer.spooled() == {"outcome": 1, "punctuation": 1}
    spool.close()


def test_a_worker_that_falls_silent_holds_nobody_up(
    tmp_path: Path, spool: SegmentSpool, drainer: Drainer, clock: ManualClock
) -> None:
    other = SegmentSpool(tmp_path / "spool", writer="host-boot-2-2")
    spool.append(Punctuation(100.0, 100.0))
    other.append(Punctuation(500.0, 500.0))
    drainer.drain()
    assert drainer.watermark is not None
    assert drainer.watermark < 100.0
    clock.advance(4.0)
    other.append(Punctuation(500.0, 500.0))
    drainer.drain()
    assert drainer.watermark > 499.0
    spool.close()
    other.close()
