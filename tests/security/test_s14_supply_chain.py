"""Row S14, as far as a repository can show it: every dependency locked by hash, and nothing downloaded at start.

The image's user, file system and command are held in ``tests/docs/test_image.py``, which runs it so.
"""

import re
import tomllib
from pathlib import Path

import pytest

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
