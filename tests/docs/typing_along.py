"""Types what a page says into a shell, against a real gateway, and holds it to the statuses it promises.

A page's ``bash`` blocks run in order in one shell, so that a later block may use what an earlier one found. A comment
line that begins with a status says what the requests after it are answered with, until the next such line.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests.docs.pages import blocks
from tests.e2e.harness import Gateway

DATA, CONTROL = "http://localhost:8000", "http://localhost:8001"
_PROMISE = re.compile(r"^\s*# (\d{3})\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Typed:
    """What came of a page: statuses promised and met, block by block, and what the terminal showed."""

    promised: list[list[int]]
    met: list[list[int]]
    shown: str


def commands(page: Path) -> list[str]:
    """The blocks of a page that ask the gateway something."""
    return [block.text for block in blocks(page, "bash") if "curl" in block.text]


def promises(command: str) -> list[int]:
    """The statuses a block says it gets."""
    return _changes([int(status) for status in _PROMISE.findall(command)])


def type_along(page: Path, gateway: Gateway, folder: Path) -> Typed:
    """Run every command of a page. Fails when the shell does."""
    typed = commands(page)
    log, tools = folder / "requests.log", folder / "tools"
    tools.mkdir(exist_ok=True)
    log.write_text("")
    stand_in, python = tools / "curl", f'"{sys.executable}" -S -E'
    stand_in.write_text(f'#!/bin/sh\nexec {python} "{Path(__file__).parent / "curl_stand_in.py"}" "$@"\n')
    stand_in.chmod(0o755)
    addresses = {DATA: str(gateway.data.base_url).rstrip("/"), CONTROL: str(gateway.control.base_url).rstrip("/")}
    said = [*(f"{old}={new}" for old, new in addresses.items()), str(log)]
    path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = "\n".join(f"{command}\necho -- >> '{log}'" for command in typed)
    done = subprocess.run(
        ["bash", "-euc", script],
        env=os.environ | {"PATH": path, "GATEWAY_STAND_IN": " ".join(said)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    notes = log.read_text().splitlines()
    assert done.returncode == 0, (
        f"{page.name} stopped after {notes[-3:]}:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}"
    )
    return Typed([promises(command) for command in typed], _by_block(notes), done.stdout)


def _by_block(notes: list[str]) -> list[list[int]]:
    found: list[list[int]] = [[]]
    for line in notes:
        if line == "--":
            found.append([])
        else:
            found[-1].append(int(line[:3]))
    return [_changes(statuses) for statuses in found[:-1]]


def _changes(statuses: list[int]) -> list[int]:
    """Every status where it changes: how often one is asked again does not matter."""
    return [status for status, _ in groupby(statuses)]
