"""Row S14: every dependency locked by hash and without a known hole, and nothing downloaded at start.

The image's user, file system and command are held in ``tests/docs/test_image.py``, which runs it so; its bill of
materials in ``tests/deploy/test_sbom.py``; the workflows in ``tests/deploy/test_pipelines.py``. ``make security`` runs
them all as one row.
"""

import json
import re
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

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
    said = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*said["dependencies"], *(each for extra in said["optional-dependencies"].values() for each in extra)]
    locked = (ROOT / "requirements" / "dev.txt").read_text().lower()
    for each in wanted:
        name = re.split(r"[\[<>=~! ]", each)[0].lower()
        assert re.search(rf"(?m)^{re.escape(name)}(\[[a-z0-9,_-]+\])?==", locked), name


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

    pip-audit passes what it could not look up; here that is a row that was not run.
    """
    if not form.full:
        pytest.skip("asks the package index, so only `make security` does it")
    found = audited(ROOT / "requirements" / lock)
    unknown = [each["name"] for each in found if "skip_reason" in each]
    if unknown:
        pytest.skip(f"the package index tells nothing of the holes of {len(unknown)} of {len(found)} packages")
    holes = {hole["id"]: each["name"] for each in found for hole in each["vulns"]}
    form.note(f"{len(holes)} known holes in {len(found)} packages of {lock}, {len(waivers())} waived", "0, or waived")
    assert {ident: name for ident, name in holes.items() if ident not in waivers()} == {}


def audited(lock: Path) -> list[dict[str, Any]]:
    """What pip-audit knows of each locked package: its name, and its holes or why it could not be looked up."""
    words = ["-m", "pip_audit", "-r", str(lock), "--no-deps", "--disable-pip", "-f", "json", "--progress-spinner=off"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        pytest.skip(f"pip-audit cannot ask: {done.stderr.strip().splitlines()[-1:]}")
    return found
