"""``python -m tests.security``: every row of locks in full, and a table of the figures beside those that pass.

Exit code 0: every row passed. 1: a row failed. 3: none failed, but the machine refused a row or a part of one.
A row is the tests under its name, of which each asserts its figures; one that was skipped was not run.
"""

import argparse
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.security.form import FULL

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_LONGEST = 400
PROMISES = {
    "S1": "a hostile corpus at every route: no 5xx, nobody falls",
    "S2": "what a fuzzer makes up from our own document: we keep our word",
    "S4": "300 MB, endless chunks, gzip bombs: cut off early",
    "S5": "every route by every principal: denied unless the table says so",
    "S7": "a flood of bad keys: limited, cheap, and bounded in the log",
    "S8": "abused tokens: 401",
    "S10": "bytes swapped between the check and the load: never loaded",
    "S11": "places the gateway must not call: not a packet",
    "S13": "invented names: no series",
    "S14": "dependencies known, listed, without known holes; least privilege",
    "S16": "cancelled reads of features: nobody gets another's",
    "P1": "prediction ids: not guessed, existence not told",
    "P2": "a tenth of the labels flipped: nobody framed, nobody hidden",
    "P5": "poisoned values: nothing that is not finite is stored",
    "P6": "blind deployments: the arm is not told",
    "P7": "late labels and replays: counted, no decision moved",
    "C12": "the timeline: any change is found",
}
ALSO = {
    "S1": ("tests/edge/test_hostile.py",),
    "S5": ("tests/security/test_locked_gateway.py",),
    "S14": ("tests/docs/test_image.py", "tests/deploy/test_sbom.py", "tests/deploy/test_pipelines.py"),
}
"""Tests of a row that live where their subject does."""


@dataclass(eq=False)  # a plugin of pytest has to be hashable
class Found:
    """What became of a row's tests."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a test's report down; pytest calls this."""
        self.seconds += report.duration
        name = report.nodeid.rpartition("/")[2]
        if report.failed:
            self.failed.append(f"{name}: {_crash(report)}")
        elif report.skipped:
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            self.skipped.append(f"{name}: {why}")
        elif report.when == "call":
            self.passed += 1
        if report.when == "call":
            self.figures += [(figure, str(passes)) for figure, passes in report.user_properties]

    @property
    def status(self) -> str:
        """``pass`` needs a test that passed, and none that did anything else."""
        if self.failed or not (self.passed or self.skipped):
            return "FAIL"
        return "NOT RUN" if self.skipped else "pass"

    def show(self, row: str) -> Iterator[str]:
        """The row as a person reads it."""
        yield f"{self.status:8}{row:4}{PROMISES[row]}  ({self.passed} tests, {self.seconds:.0f} s)"
        yield from (f"            {figure}   ({passes})" for figure, passes in self.figures)
        yield from (f"          ! {line}" for line in self.failed)
        yield from (f"          - {line}" for line in self.skipped)


def _crash(report: pytest.TestReport) -> str:
    """What a failed test said, in a line; else where it failed."""
    crash = getattr(report.longrepr, "reprcrash", None)
    said = report.longreprtext if crash is None else crash.message
    return " ".join(said.split())[:_LONGEST] or report.longreprtext.strip().splitlines()[-1]


def files_of(row: str) -> list[Path]:
    """Where a row's tests are: under its name, and beside their subjects."""
    named = [path for path in sorted(HERE.glob("test_*.py")) if re.match(rf"test_{row.lower()}_", path.name)]
    return named + [ROOT / each for each in ALSO.get(row, ())]


def main() -> int:
    """Run what was asked for, one row after the other."""
    said = _arguments()
    chosen = [row for row in PROMISES if not said.rows or row in said.rows.split(",")]
    form = [] if said.quick else [FULL, "-o", "timeout=0"]
    if not said.quick:
        os.environ.setdefault("FUZZ_EXAMPLES", "150")
    ended = []
    for row in chosen:
        found = Found()
        words = ["-p", "no:cacheprovider", *form, *map(str, files_of(row))]
        with redirect_stdout(io.StringIO()) as told:
            pytest.main(words, [found])
        if not (found.passed or found.failed or found.skipped):
            found.failed.append(told.getvalue().strip() or "no test")
        sys.stdout.write("\n".join(found.show(row)) + "\n")
        sys.stdout.flush()
        ended.append(found.status)
    sys.stdout.write(", ".join(f"{ended.count(each)} {each}" for each in ("pass", "FAIL", "NOT RUN")) + "\n")
    if not chosen or "FAIL" in ended:
        return 1
    return 3 if "NOT RUN" in ended else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.security", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small form of every row")
    parser.add_argument("--rows", default="", help="only these, such as S1,P2")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
