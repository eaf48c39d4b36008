"""``python -m tests.chaos.teeth``: row T1. Twelve sabotaged builds, each of which a row has to notice.

Each is a copy of the tree with one small change (:mod:`tests.chaos.sabotage`); the row that it belongs to runs in that
copy in its small form. The same row must pass in a copy without the change, or what it says of the other is worth
nothing. Exit code 0: twelve of twelve were caught.
"""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.chaos.sabotage import TWELVE, Sabotage

ROOT = Path(__file__).parents[2]
_LEFT_OUT = (".*", "__pycache__", "site", "state", "node_modules", "*.egg-info")
_LONGEST_S = 900.0
_FAILING = re.compile(r"^\s+! |^FAILED |^ERROR |^E   |^FAIL ", re.MULTILINE)
_TAKES = 2


@dataclass(frozen=True)
class Run:
    """How a row ended in one copy of the tree: whether it passed, and the lines of its failing figures."""

    passed: bool
    said: tuple[str, ...]


@dataclass(frozen=True)
class Bite:
    """What came of one sabotage."""

    sabotage: Sabotage
    whole: Run
    broken: Run

    @property
    def figure(self) -> str:
        """The figure that gave it away; "" where none that should did."""
        return next((line for line in self.broken.said if re.search(self.sabotage.shows, line)), "")

    @property
    def caught(self) -> bool:
        """Whether the row passes on the whole build, fails on the sabotaged one, and by the figure it should."""
        return self.whole.passed and not self.broken.passed and bool(self.figure)

    def show(self) -> str:
        """One line of the table."""
        if self.caught:
            said = self.figure
        elif not self.whole.passed:
            said = "the row fails on the whole build too: " + "; ".join(self.whole.said[:3])
        else:
            said = "nothing was noticed" if self.broken.passed else "by another: " + "; ".join(self.broken.said[:3])
        return f"{'caught' if self.caught else 'MISSED':7}| {self.sabotage.row:4}| {self.sabotage.name} | {said[:160]}"


def bite(sabotages: Sequence[Sabotage]) -> Iterator[Bite]:
    """Run each sabotage's row on the whole build (once for all that share it) and on the sabotaged one."""
    whole: dict[str, Run] = {}
    for sabotage in sabotages:
        if sabotage.row not in whole:
            with _copy() as tree:
                whole[sabotage.row] = _whole(tree, sabotage)
        with _copy() as tree:
            for edit in sabotage.edits:
                edit.apply(tree)
            broken = _run(tree, sabotage)
        yield Bite(sabotage, whole[sabotage.row], broken)


def _whole(tree: Path, sabotage: Sabotage) -> Run:
    """The row as it is. A machine that is busy may spoil one run, so it has another."""
    run = _run(tree, sabotage)
    for _ in range(_TAKES - 1):
        if not run.passed:
            run = _run(tree, sabotage)
    return run


@contextmanager
def _copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gw-teeth-", ignore_cleanup_errors=True) as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
        yield tree


def _run(tree: Path, sabotage: Sabotage) -> Run:
    if sabotage.test:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", sabotage.test]
        command += ["-k", sabotage.only] if sabotage.only else []
    else:
        command = [sys.executable, "-m", "tests.chaos", "--quick", "--rows", sabotage.row]
    narrow = None if sabotage.memory_gib is None else partial(_narrow, int(sabotage.memory_gib * 2**30))
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=narrow,
    )
    try:
        said, _ = process.communicate(timeout=_LONGEST_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return Run(passed=False, said=("did not end",))
    lines = [line.strip() for line in said.splitlines() if _FAILING.match(line)]
    return Run(process.returncode == 0, tuple(lines or said.splitlines()[-3:]))


def _narrow(most: int) -> None:
    """Bound what a process may take. Only softly: a child that loads a model sets a bound of its own."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def main() -> int:
    """Run all, or those whose row is named, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.teeth", description=__doc__)
    parser.add_argument("--rows", default="", help="only sabotages of these rows, such as D2,S5")
    said = parser.parse_args()
    chosen = [one for one in TWELVE if not said.rows or one.row in said.rows.split(",")]
    began, caught = time.monotonic(), 0
    print("        row   sabotage | caught by", flush=True)
    for one in bite(chosen):
        caught += one.caught
        print(one.show(), flush=True)
    print(f"{caught} of {len(chosen)} sabotaged builds caught, in {time.monotonic() - began:.0f} s")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
