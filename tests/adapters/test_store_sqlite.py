"""The SQLite store's own promises: one writer, a sound library, whole transactions, a schema that grows."""

import threading
from contextlib import closing
from pathlib import Path

import apsw
import msgspec
import pytest

from gateway.adapters.store import documents, open_store, sqlite_drift
from gateway.adapters.store import sqlite_queries as queries
from gateway.adapters.store.database import Database, require_sqlite
from gateway.core.errors import SettingsError, StoreUnavailable
from gateway.core.events import Decision
from gateway.ports import Window
from tests.records import DEPLOYMENT, T0, outcome, prediction


@pytest.mark.parametrize("url", ["sqlit:events.db", "events.db", "sqlite:", "mysql://host/db", ""])
def test_a_url_that_names_no_store_is_answered_with_the_words_that_do(url: str) -> None:
    with pytest.raises(SettingsError, match="sqlite:PATH, memory:"):
        open_store(url)


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.9.0"])
def test_a_library_that_can_corrupt_the_log_is_refused(version: str) -> None:
    with pytest.raises(SettingsError, match=r"needs 3\.51\.3 or later"):
        require_sqlite(version)


def test_a_second_writer_is_kept_out_until_the_first_has_gone(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/store.db"
    first = open_store(url)
    with pytest.raises(StoreUnavailable, match="Another process writes the store"):
        open_store(url)
    first.close()
    open_store(url).close()


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/deep/folder/store.db"
    first = open_store(url)
    first.events.append("w-p000000", [(0, prediction()), (100, outcome())], 200)
    books, window = first.events.books(), Window(T0 - 1, T0, first.events.cursors())
    evidence = first.events.evidence(DEPLOYMENT, "g-canary", window)
    first.close()
    second = open_store(url)
    assert (second.events.books(), second.events.evidence(DEPLOYMENT, "g-canary", window)) == (books, evidence)
    second.close()


def test_a_commit_is_synced_and_logged_ahead(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "store.db")) as database, database.reading() as connection:
        assert connection.execute("PRAGMA synchronous").get == 2  # FULL
        assert connection.execute("PRAGMA journal_mode").get == "wal"


def test_the_file_is_its_owners_only(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "store.db")):
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_batch_that_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    store = open_store(f"sqlite:{tmp_path}/store.db")
    broken = outcome(
        "b2", value=2**70
    )  # no spool lets it through; a fault in the middle of a batch is what it stands for
    with pytest.raises(OverflowError):
        store.events.append("w-p000000", [(0, prediction()), (100, broken)], 200)
    assert store.events.cursors() == {}
    assert store.events.books().predictions["received"] == 0
    store.events.append("w-p000000", [(0, prediction())], 100)
    assert store.events.books().predictions["received"] == 1
    store.close()


def test_a_full_disk_is_a_store_that_is_unavailable_and_works_again_once_there_is_room(tmp_path: Path) -> None:
    database = Database(tmp_path / "store.db")
    with database.reading() as connection:
        pages = connection.execute("PRAGMA page_count").get
    with database.reading() as connection:
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="full"), database.writing() as connection:
        connection.execute("INSERT INTO judges VALUES ('d', 'g', zeroblob(100000))")
    with database.reading() as connection:
        connection.execute("PRAGMA max_page_count = 100000")
    with database.writing() as connection:
        connection.execute("INSERT INTO judges VALUES ('d', 'g', zeroblob(100000))")
    database.close()


def test_a_closed_store_is_unavailable(tmp_path: Path) -> None:
    store = open_store(f"sqlite:{tmp_path}/store.db")
    store.close()
    with pytest.raises(StoreUnavailable):
        store.events.cursors()


def test_a_file_that_is_no_database_is_unavailable_and_its_lock_let_go(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database" * 1_000)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="not a database"):
            open_store(f"sqlite:{path}")


def test_a_store_of_a_later_gateway_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/store.db"
    open_store(url).close()
    with closing(apsw.Connection(str(tmp_path / "store.db"))) as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM schema_files ORDER BY number")] == [
            "0001_events.sql",
            "0002_control.sql",
            "0003_looks.sql",
            "0004_days.sql",
            "0005_courses.sql",
            "0006_drift.sql",
            "0007_audit.sql",
            "0008_outbox.sql",
            "0009_forgotten.sql",
        ]
        connection.execute("INSERT INTO schema_files VALUES (9000, '9000_future.sql')")
    with pytest.raises(SettingsError, match="9000_future"):
        open_store(url)


def test_a_store_of_an_earlier_gateway_learns_its_days(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/store.db"
    store = open_store(url)
    store.events.append("w-p000000", [(0, prediction("b1")), (100, prediction("b2"))], 200)
    store.close()
    with closing(apsw.Connection(str(tmp_path / "store.db"))) as connection:
        connection.execute("DROP TABLE days; DELETE FROM schema_files WHERE number = 4")
    store = open_store(url)
    assert store.events.days(DEPLOYMENT) == {int(T0 // 86_400): 2}
    store.close()


def test_a_reader_sees_the_store_beside_its_writer_and_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/store.db"
    writer = open_store(url)
    reader = open_store(url, read_only=True)
    writer.events.append("s", [(0, prediction())], 10)
    assert reader.events.cursors() == {"s": 10}
    with pytest.raises(StoreUnavailable):
        reader.events.append("s", [], 20)
    reader.close()
    writer.close()
    with closing(reader := open_store(url, read_only=True)):
        assert reader.events.cursors() == {"s": 10}


def test_a_reader_makes_no_store_and_waits_for_one_to_be_brought_up_to_date(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/store.db"
    with pytest.raises(StoreUnavailable, match="There is no store"):
        open_store(url, read_only=True)
    assert not any(tmp_path.iterdir())
    open_store(url).close()
    with closing(apsw.Connection(str(tmp_path / "store.db"))) as connection:
        connection.execute("DELETE FROM schema_files WHERE number = 3")
    with pytest.raises(SettingsError, match="an earlier gateway"):
        open_store(url, read_only=True)


def test_threads_take_turns(tmp_path: Path) -> None:
    store = open_store(f"sqlite:{tmp_path}/store.db")

    def drain(spool: str) -> None:
        for n in range(20):
            store.events.append(spool, [(100 * n, prediction(f"{spool}-{n}"))], 100 * n + 100)
            store.events.books()

    threads = [threading.Thread(target=drain, args=(f"w{n}-p000000",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.events.books().predictions["stored"] == 80
    store.close()


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (queries.BETS, 4),
        (queries.OUTCOMES_OF_BETS, 4),
        (queries.STABLE_SIDES, 5),
        (queries.COUNTED, 3),
        (sqlite_drift.SAMPLE, 4),
    ],
)
def test_a_look_touches_its_window_only(tmp_path: Path, query: str, parameters: int) -> None:
    with closing(Database(tmp_path / "store.db")) as database, database.reading() as connection:
        steps = connection.execute(f"EXPLAIN QUERY PLAN {query}", ("t", 0.0, 1.0, "g", "s")[:parameters]).fetchall()
        assert str(steps[0][3]).startswith("SEARCH")
        assert "at>? AND at<?" in str(steps[0][3])


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (queries.OUTCOMES_OF_BETS, 4),
        (queries.OUTCOMES_OF_PAIRS, 5),
        (queries.LABELS_OF_COUNTED, 3),
        (queries.LABELS_OF_LATEST, 3),
        (queries.OUTCOMES_OF_NEWEST, 2),
        (queries.OUTCOMES_OF_BODIES, 2),
        (sqlite_drift.TRUTHS, 4),
    ],
)
def test_outcomes_are_looked_up_and_never_walked(tmp_path: Path, query: str, parameters: int) -> None:
    with closing(Database(tmp_path / "store.db")) as database, database.reading() as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", ("t", "[]", 1.0, 4, "s")[:parameters]).fetchall()
    steps = [str(step[3]) for step in plan if str(step[3]).startswith(("SEARCH o ", "SCAN o"))]
    assert steps
    assert all("tag=? AND body=?" in step for step in steps), steps


def test_a_document_with_a_field_from_the_future_is_read_and_one_that_is_none_is_named() -> None:
    line = Decision("d", 1, "advance", "judge", "because", 1.0, 2.0)
    assert documents.decode_decision(msgspec.json.encode(msgspec.to_builtins(line) | {"mood": "good"}).decode()) == line
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        documents.decode_state('{"deployment": 3}')
