"""What is known of holes in packages that are pinned, by whoever can be asked: pip-audit, the index itself, a folder.

pip-audit asks the index about each version. An index that tells nothing of versions (many mirrors do) may still tell
of a package's newest release: for one that is pinned to it this is the same answer. And a clone of the advisories that
both are made of, such as github.com/pypa/advisory-database, can be read where no index says anything.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from packaging.version import Version

FOLDER = "ADVISORIES"
"""The variable that names a folder of advisories in OSV's format: a clone, or its ``vulns``."""
_INDEX = "https://pypi.org/pypi"


@dataclass
class Known:
    """Holes by id, each with its package; and packages that whoever was asked says nothing of."""

    holes: dict[str, str] = field(default_factory=dict)
    untold: set[str] = field(default_factory=set)


def pins(lock: Path) -> dict[str, str]:
    """Locked versions by canonical name."""
    found = re.findall(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", lock.read_text())
    return {canonical(name): version for name, version in found}


def canonical(name: str) -> str:
    """A package's one spelling.

    >>> canonical("Flask_SQLAlchemy.ext")
    'flask-sqlalchemy-ext'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def named(project: Path) -> set[str]:
    """The packages that a project names itself, extras included."""
    said = tomllib.loads(project.read_text())["project"]
    wanted = [*said["dependencies"], *(each for extra in said["optional-dependencies"].values() for each in extra)]
    return {canonical(re.split(r"[\[<>=~! ]", each)[0]) for each in wanted}


def audited(lock: Path) -> Known:
    """What pip-audit knows of each locked package; it passes what it could not look up, which is untold here."""
    words = ["-m", "pip_audit", "-r", str(lock), "--no-deps", "--disable-pip", "-f", "json", "--progress-spinner=off"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        pytest.skip(f"pip-audit cannot ask: {done.stderr.strip().splitlines()[-1:]}")
    known = Known()
    for each in found:
        if "skip_reason" in each:
            known.untold.add(canonical(each["name"]))
        known.holes |= {hole["id"]: each["name"] for hole in each.get("vulns", ())}
    return known


def newest(asked: Mapping[str, str], index: str = _INDEX) -> Known:
    """What the index knows of packages at these versions, by what it tells of the newest release of each."""
    known = Known()
    with httpx.Client(timeout=20.0, follow_redirects=True) as http:
        for name, version in asked.items():
            try:
                said = http.get(f"{index}/{name}/json").raise_for_status().json()
                same, holes = said["info"]["version"] == version, said["vulnerabilities"]
            except (httpx.HTTPError, ValueError, KeyError):
                known.untold.add(name)
                continue
            if same:
                known.holes |= {hole["id"]: name for hole in holes if not hole.get("withdrawn")}
            else:
                known.untold.add(name)
    return known


def in_folder(asked: Mapping[str, str]) -> tuple[Known, date] | None:
    """What the folder of advisories says of packages at these versions, and how old it is; None where none is named."""
    said = os.environ.get(FOLDER)
    if not said:
        return None
    folder = Path(said) / "vulns" if (Path(said) / "vulns").is_dir() else Path(said)
    files = sorted(folder.rglob("*.yaml"))
    assert files, f"{folder} holds no advisory"
    known, last = Known(), date.min
    for file in files:
        advisory = yaml.load(file.read_text(), yaml.CSafeLoader)
        last = max(last, date.fromisoformat(str(advisory["modified"])[:10]))
        for name in () if advisory.get("withdrawn") else affected(advisory, asked):
            known.holes[advisory["id"]] = name
    return known, last


def affected(advisory: Mapping[str, Any], asked: Mapping[str, str]) -> list[str]:
    """Which of the packages an advisory is about, at the versions they have.

    >>> events = [{"introduced": "1.0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"last_affected": "2.4"}]
    >>> about = {"package": {"name": "A_b"}, "ranges": [{"type": "ECOSYSTEM", "events": events}], "versions": ["0.3"]}
    >>> [affected({"affected": [about]}, {"a-b": v}) != [] for v in ("0.3", "0.4", "1.1.9", "1.2", "2.4", "2.5")]
    [True, False, True, False, True, False]
    """
    found = []
    for about in advisory.get("affected", ()):
        version = asked.get(name := canonical(about["package"]["name"]))
        if version is None:
            continue
        ranges = [each["events"] for each in about.get("ranges", ()) if each["type"] == "ECOSYSTEM"]
        if version in about.get("versions", ()) or any(_within(events, Version(version)) for events in ranges):
            found.append(name)
    return found


def _within(events: list[dict[str, str]], version: Version) -> bool:
    inside = False
    for event in events:
        [(kind, said)] = event.items()
        at = Version(said)
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside
