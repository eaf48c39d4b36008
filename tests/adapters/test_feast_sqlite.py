"""Reading a SQLite file that others write, lock, replace and delete."""

import dataclasses
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.adapters.features.feast_compiler import FeastPlanCompiler
from gateway.adapters.features.sqlite import SqliteFeatureSource, event_time
from gateway.core.deployments import Scalar
from gateway.core.features import FeaturePlan, Status
from tests.feast_sandbox import T0, FeastSandbox

pytest_plugins = ["tests.feast_sandbox"]

SEVEN: dict[str, Scalar] = {"user_id": 7}


@dataclass
class Copy:
    """A source on its own copy of the sandbox's online store, and what it said went wrong."""

    plan: FeaturePlan
    path: Path
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = SqliteFeatureSource(str(self.path), self.errors.append)

    async def count(self, user_id: int = 7, budget_s: float = 1.0) -> tuple[Scalar, Status]:
        batch = await self.source.read(self.plan, [{"user_id": user_id}], budget_s)
        place = self.plan.names().index("count")
        return batch.values[0][place], Status(batch.statuses[0][place])


@pytest.fixture
async def copy(sqlite_repo: FeastSandbox, tmp_path: Path) -> AsyncIterator[Copy]:
    plan = FeastPlanCompiler(sqlite_repo.path).compile(["small"])
    path = tmp_path / "online.db"
    shutil.copy(plan.location, path)
    copy = Copy(dataclasses.replace(plan, location=str(path)), path)
    yield copy
    await copy.source.close()


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the file from another process: two SQLites in one process do not see each other's locks."""
    writer = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"locked\n"
        yield


async def test_a_locked_file_is_waited_for_no_longer_than_the_budget(copy: Copy) -> None:
    with locked(copy.path):
        assert await copy.count(budget_s=0.05) == (None, Status.UNAVAILABLE)
    assert copy.errors[0] == "locked"
    assert copy.errors[1] in {"timeout", "failed"}
    assert await copy.count() == (3, Status.PRESENT)


async def test_a_writer_in_wal_mode_locks_nobody_out(copy: Copy) -> None:
    with closing(sqlite3.connect(copy.path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    with locked(copy.path):
        assert await copy.count() == (3, Status.PRESENT)
    assert copy.errors == []


async def test_a_replaced_file_is_opened_anew(copy: Copy, tmp_path: Path) -> None:
    assert await copy.count() == (3, Status.PRESENT)
    other = tmp_path / "other.db"
    shutil.copy(copy.path, other)
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("DELETE FROM sandbox_user_stats")
    other.replace(copy.path)
    assert await copy.count() == (None, Status.MISSING)


async def test_a_file_that_is_gone_or_no_database_is_unavailable_until_it_is_back(copy: Copy, tmp_path: Path) -> None:
    aside = tmp_path / "aside.db"
    copy.path.rename(aside)
    assert await copy.count() == (None, Status.UNAVAILABLE)
    copy.path.write_text("no database at all " * 100)
    assert await copy.count() == (None, Status.UNAVAILABLE)
    aside.replace(copy.path)
    assert await copy.count() == (3, Status.PRESENT)
    assert copy.errors == ["failed", "failed"]


async def test_a_view_that_was_never_materialised_is_unavailable(copy: Copy) -> None:
    with closing(sqlite3.connect(copy.path)) as connection, connection:
        connection.execute("DROP TABLE sandbox_user_stats")
    assert await copy.count() == (None, Status.UNAVAILABLE)


async def test_a_view_whose_features_were_written_at_different_times_is_as_old_as_the_oldest(copy: Copy) -> None:
    with closing(sqlite3.connect(copy.path)) as connection, connection:
        connection.execute("UPDATE sandbox_user_stats SET event_ts = event_ts - 100 WHERE feature_name = 'label'")
    batch = await copy.source.read(copy.plan, [SEVEN], 1.0)
    assert batch.event_times == [(T0 - 100,)]


async def test_the_reader_cannot_write(copy: Copy) -> None:
    before = copy.path.read_bytes()
    await copy.count()
    assert copy.path.read_bytes() == before
    assert [entry.name for entry in copy.path.parent.iterdir()] == ["online.db"]


@pytest.mark.parametrize("stored", [b"\xff\xff", b"\x12\x02\xc3\xa9", b"\x5a\x00"])
async def test_bytes_that_are_no_value_of_the_features_type_are_unavailable(copy: Copy, stored: bytes) -> None:
    with closing(sqlite3.connect(copy.path)) as connection, connection:
        connection.execute("UPDATE sandbox_user_stats SET value = ? WHERE feature_name = 'count'", (stored,))
    assert await copy.count() == (None, Status.UNAVAILABLE)
    assert copy.errors == ["undecodable"]


def test_event_times_are_read_in_the_time_zone_they_were_written_in(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        stored = int(moment.replace(tzinfo=None).timestamp())  # as Feast writes it
        assert stored != moment.timestamp()
        assert event_time(stored) == moment.timestamp()
    finally:
        monkeypatch.undo()
        time.tzset()
