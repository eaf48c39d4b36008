"""Row S14: every dependency locked by hash and without a known hole, and nothing downloaded at start.

The image's user, file system and command are held in ``tests/docs/test_image.py``, which runs it so; its bill of
materials in ``tests/deploy/test_sbom.py``; the workflows in ``tests/deploy/test_pipelines.py``. ``make security`` runs
them all as one row.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.security.advisories import FOLDER, Known, audited, in_folder, named, newest, pins
from tests.security.form import Form

LONGEST = timedelta(days=14)
"""No known hole is waived for longer."""
WAIVERS = "requirements/waivers.json"
ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_is_pinned_to_a_version_and_its_hashes(lock: Path) -> None:
    for block in re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", lock.read_text()).strip()):
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z0-9,_-]+\])?==\S+", block), block[:80]
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", block)) >= 1, block[:80]


def test_every_dependency_of_the_package_is_in_its_lock() -> None:
    assert named(ROOT / "pyproject.toml") - pins(ROOT / "requirements" / "dev.txt").keys() == set()


def test_tokens_are_checked_by_a_library_past_its_known_holes() -> None:
    """PYSEC-2026-4142 let a header nested deeply end the process; the lock may not fall behind its fix."""
    [version] = re.findall(r"(?m)^pyjwt(?:\[[a-z]+\])?==(\S+)", (ROOT / "requirements" / "runtime.txt").read_text())
    assert tuple(map(int, version.split("."))) >= (2, 15)


def waivers() -> dict[str, date]:
    """Known holes that are borne until a day, each ``{"id", "package", "why", "until"}`` in the list of waivers."""
    listed = json.loads((ROOT / WAIVERS).read_text())
    return {each["id"]: date.fromisoformat(each["until"]) for each in listed if each["package"] and each["why"]}


def test_a_waiver_has_its_reason_and_a_day_no_further_off_than_a_fortnight() -> None:
    today = datetime.now(UTC).date()
    assert len(waivers()) == len(json.loads((ROOT / WAIVERS).read_text()))
    assert [name for name, until in waivers().items() if not today <= until <= today + LONGEST] == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("lock", ["runtime.txt", "dev.txt"])
def test_no_locked_package_has_a_known_hole_that_is_not_waived(lock: str, form: Form) -> None:
    """Asks the package index through pip-audit: only in the full form, for it takes the network and changes by the day.

    Where the index tells nothing of versions, what this project names itself is asked about once more, by its newest
    release; and of everything else a folder of advisories may know. What nobody knows of is a row that was not run.
    """
    if not form.full:
        pytest.skip("asks the package index, so only `make security` does it")
    locked = pins(ROOT / "requirements" / lock)
    known = audited(ROOT / "requirements" / lock)
    form.note(_found(known, len(locked), f"packages of {lock} by pip-audit"), "0, or waived")
    holes = dict(known.holes)
    if first := sorted(named(ROOT / "pyproject.toml") & known.untold):
        told = newest({name: locked[name] for name in first})
        known.untold -= set(first) - told.untold
        holes |= told.holes
        form.note(_found(told, len(first), "packages that we name, at their newest release"), "0, or waived")
    if (said := in_folder(locked)) is not None:
        by_folder, last = said
        holes |= by_folder.holes
        form.note(
            f"{len(by_folder.holes)} known holes in {len(locked)} packages, by advisories up to {last}", "0, or waived"
        )
    assert {ident: name for ident, name in holes.items() if ident not in waivers()} == {}
    if known.untold:
        pytest.skip(f"the package index tells nothing of the holes of {len(known.untold)} of {len(locked)} packages")


def _found(known: Known, asked: int, what: str) -> str:
    return f"{len(known.holes)} known holes in {asked - len(known.untold)} of {asked} {what}"


VULNERABLE = {"info": {"version": "1.2"}, "vulnerabilities": [{"id": "PYSEC-1"}, {"id": "GHSA-2", "withdrawn": "2026"}]}


def test_an_index_that_tells_of_newest_releases_only_is_believed_for_those(
    server: Callable[[dict[str, Any]], str],
) -> None:
    index = server({"/ours/json": VULNERABLE, "/behind/json": VULNERABLE, "/quiet/json": {"info": {}}})
    known = newest({"ours": "1.2", "behind": "1.1", "quiet": "1.0", "nowhere": "1.0"}, index)
    assert (known.holes, known.untold) == ({"PYSEC-1": "ours"}, {"behind", "quiet", "nowhere"})


def test_a_folder_of_advisories_is_read_for_the_versions_that_are_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [{"introduced": "0"}, {"fixed": "1.5"}]
    said = {"affected": [{"package": {"name": "Ours"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]}
    folder = tmp_path / "vulns" / "ours"
    folder.mkdir(parents=True)
    for number, more in enumerate(({}, {"withdrawn": "2026-01-01"})):
        advisory = {"id": f"PYSEC-{number}", "modified": f"2026-0{number + 2}-03T00:00:00Z", **said, **more}
        (folder / f"{number}.yaml").write_text(yaml.safe_dump(advisory))
    monkeypatch.delenv(FOLDER, raising=False)
    assert in_folder({"ours": "1.4"}) is None
    monkeypatch.setenv(FOLDER, str(tmp_path))
    told = in_folder({"ours": "1.4", "others": "1.0"})
    assert told is not None
    assert (told[0].holes, told[1]) == ({"PYSEC-0": "ours"}, date(2026, 3, 3))
    assert in_folder({"ours": "1.5"}) == (Known(), date(2026, 3, 3))


@pytest.fixture
def server() -> Iterator[Callable[[dict[str, Any]], str]]:
    """Serve documents by path on this machine; anything else is 404."""
    with ExitStack() as stack:

        def serve(documents: dict[str, Any]) -> str:
            class Answers(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    found = documents.get(self.path)
                    body = json.dumps(found).encode()
                    self.send_response(404 if found is None else 200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *_: Any) -> None:
                    return

            made = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Answers))
            threading.Thread(target=made.serve_forever, daemon=True).start()
            stack.callback(made.shutdown)
            return f"http://127.0.0.1:{made.server_port}"

        yield serve
