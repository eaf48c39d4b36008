"""Row C12 (its trail): whatever is done to the SQLite file, ``gateway audit verify`` finds it."""

import random
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from gateway import compose
from gateway.adapters.store import open_store
from gateway.core import actors
from gateway.core.audit import BEGINNING, Head, faults, seal
from gateway.edge.cli import app
from gateway.settings import load_settings
from tests.control_house import NAME, SPEC, card

DECISIONS = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with a story in it, written as the agent writes it."""
    config = {"state_dir": str(tmp_path / "state"), "registry": "memory:"}
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(config))
    parts = compose.controlling(load_settings(tmp_path / "gateway.yaml"))
    parts.control.found(SPEC, card("1"), actor="ann")
    for number in range(DECISIONS - 1):
        parts.control.approve(NAME, actor=f"person-{number % 7}", reason=f"reason {number}", model=card("2"))
    parts.store.close()
    return tmp_path


def verify(folder: Path, *more: str) -> tuple[int, str]:
    said = CliRunner().invoke(app, ["audit", "verify", "--config", str(folder / "gateway.yaml"), *more])
    return said.exit_code, said.output


def test_what_nobody_touched_is_as_it_was_written(folder: Path) -> None:
    code, said = verify(folder)
    assert code == 0
    assert f"{NAME}: {DECISIONS} lines as they were written; head " in said


TAMPERINGS = {
    "a reason": "UPDATE decisions SET line = replace(line, 'reason 20', 'reason 02')",
    "an actor": "UPDATE decisions SET line = replace(line, 'person-3', 'person-4') WHERE decision = 5",
    "a time": "UPDATE decisions SET line = json_set(line, '$.machine_at', 1.0) WHERE decision = 7",
    "a space": "UPDATE decisions SET line = line || ' ' WHERE decision = 9",
    "a line in the middle": "DELETE FROM decisions WHERE decision = 20",
    "the first line": "DELETE FROM decisions WHERE decision = 1",
    "the last line": f"DELETE FROM decisions WHERE decision = {DECISIONS}",
    "the last ten lines": f"DELETE FROM decisions WHERE decision > {DECISIONS - 10}",
    "all lines": "DELETE FROM decisions",
    "a line twice": "INSERT INTO decisions (deployment, line, document, seal)"
    " SELECT deployment, line, document, seal FROM decisions WHERE decision = 40",
    "two lines swapped": "UPDATE decisions SET decision = CASE decision WHEN 10 THEN -1 ELSE decision END;"
    "UPDATE decisions SET decision = 10 WHERE decision = 11; UPDATE decisions SET decision = 11 WHERE decision = -1",
    "a line of another deployment": "UPDATE decisions SET deployment = 'churn' WHERE decision = 40",
    "a seal": "UPDATE decisions SET seal = replace(seal, substr(seal, 1, 1), 'x') WHERE decision = 30",
    "a document's digest": "UPDATE decisions SET document = '' WHERE decision = 30",
    "the control document": "UPDATE documents SET document = replace(document, '\"alpha\":0.05', '\"alpha\":0.50')",
    "the control document gone": "DELETE FROM documents",
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_change_by_hand_is_found(folder: Path, name: str) -> None:
    with sqlite3.connect(folder / "state" / "store.db") as database:
        before = database.execute(
            "SELECT * FROM decisions UNION ALL SELECT 0, deployment, document, '', '' FROM documents"
        )
        told = before.fetchall()
        database.executescript(TAMPERINGS[name])
        after = database.execute(
            "SELECT * FROM decisions UNION ALL SELECT 0, deployment, document, '', '' FROM documents"
        )
        assert after.fetchall() != told, "the tampering itself must have hit"
    database.close()
    code, said = verify(folder)
    assert code == 1
    assert NAME in said


def test_a_chain_that_was_forged_anew_is_found_by_a_head_noted_elsewhere(folder: Path) -> None:
    noted = folder / "noted.json"
    noted.write_bytes((folder / "state" / "audit-heads.json").read_bytes())
    with sqlite3.connect(folder / "state" / "store.db") as database:
        last = BEGINNING
        for number, text, document in database.execute(
            "SELECT decision, line, document FROM decisions ORDER BY 1"
        ).fetchall():
            forged = text.replace("person-3", "person-4")
            last = seal(last, NAME, document, forged)
            database.execute("UPDATE decisions SET line = ?, seal = ? WHERE decision = ?", (forged, last, number))
    database.close()
    assert verify(folder)[0] == 1
    (folder / "state" / "audit-heads.json").unlink()
    assert verify(folder)[0] == 0, "whoever rewrites the store and the heads leaves only what was noted elsewhere"
    assert verify(folder, "--heads", str(noted))[0] == 1


def test_a_thousand_random_changes_of_bytes_and_lines_are_all_found(folder: Path) -> None:
    """Bytes of the trail are flipped in the file itself, wherever SQLite put them; lines are taken out."""
    path, chance, found = folder / "state" / "store.db", random.Random(1), 0
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("VACUUM")  # no stale copy of a line is left that a flip could hit instead
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        stored = database.execute("SELECT line, document, seal FROM decisions").fetchall()
    database.close()
    whole = path.read_bytes()
    heads = {NAME: open_store(f"sqlite:{path}", read_only=True).control.head(NAME)}
    places = [whole.index(text.encode()) + at for row in stored[:-1] for text in row[:1] for at in range(len(text))]
    for place in chance.sample(places, 900):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << chance.randrange(8)
        found += broken(path, bytes(spoilt), heads)
    for _ in range(100):
        path.write_bytes(whole)
        with sqlite3.connect(path) as database:
            database.execute("DELETE FROM decisions WHERE decision = ?", (chance.randint(1, DECISIONS),))
        database.close()
        found += broken(path, None, heads)
    assert found == 1_000


def broken(path: Path, content: bytes | None, heads: Mapping[str, Head]) -> bool:
    """Whether the store with this content is told from the one that was written (or cannot be read at all)."""
    if content is not None:
        path.write_bytes(content)
    store = open_store(f"sqlite:{path}", read_only=True)
    try:
        return bool(faults(store.control.trail(), heads))
    except Exception:  # noqa: BLE001 - a store that cannot be read is found out, however SQLite puts it
        return True
    finally:
        store.close()


@pytest.mark.parametrize("name", sorted(actors.NOBODY))
def test_no_key_bears_the_name_of_who_acts_when_no_person_does(folder: Path, name: str) -> None:
    words = ["keys", "new", name, "--scope", "operate", "--config", str(folder / "gateway.yaml")]
    said = CliRunner().invoke(app, words)
    assert "who acts when no person does" in str(said.exception)
