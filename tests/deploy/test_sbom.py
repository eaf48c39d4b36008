"""The bill of materials says what is locked, by name, version and hash: no more and no less."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT

LOCK = ROOT / "requirements" / "runtime.txt"


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Made by the Makefile's own line."""
    make = shutil.which("make")
    assert make is not None
    target = tmp_path_factory.mktemp("sbom") / "sbom.json"
    recipe = (ROOT / "Makefile").read_text().partition("\nsbom:")[2].partition("\n\n")[0]
    [line] = [line for line in recipe.splitlines() if "cyclonedx-py" in line]
    words = line.strip().lstrip("@").replace("$(BIN)/", "").replace("sbom.json", str(target)).split()
    tool = Path(sys.executable).with_name(words[0])
    subprocess.run([str(tool), *words[1:]], cwd=ROOT, check=True, capture_output=True)
    found: dict[str, Any] = json.loads(target.read_text())
    return found


def locked() -> dict[str, set[str]]:
    """Hashes by ``name==version``."""
    text = LOCK.read_text().replace("\\\n", " ")
    return {
        line.split()[0]: set(re.findall(r"sha256:(\w+)", line))
        for line in text.splitlines()
        if line and not line.lstrip().startswith("#")
    }


def test_it_names_every_locked_package_and_no_other(bill: dict[str, Any]) -> None:
    named = {re.sub(r"[-_.]+", "-", each["name"]).lower() + "==" + each["version"] for each in bill["components"]}
    assert named == {re.sub(r"\[.*?\]", "", each) for each in locked()}


def test_it_carries_every_hash(bill: dict[str, Any]) -> None:
    told = {
        hash_["content"]
        for each in bill["components"]
        for reference in each.get("externalReferences", ())
        for hash_ in reference.get("hashes", ())
    }
    assert told == set().union(*locked().values())


def test_it_is_cyclonedx_and_says_whose_it_is(bill: dict[str, Any]) -> None:
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "gateway"
