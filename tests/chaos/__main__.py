"""``python -m tests.chaos``: every row as an experiment on real processes, and a table of what came out.

Exit code 0: every row passed. 1: a row failed. 3: none failed, but the machine refused a row.

In the small form, which runs beside other work, a row that was late and nothing worse is measured again, twice at
most, and its line says so. What was lost, doubled, wrong or refused is never measured again, nor is the full form.
"""

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path
from platform import python_version
from random import Random

import apsw
import psycopg

from tests.chaos import (
    rows_books,
    rows_control,
    rows_disk,
    rows_features,
    rows_fleet,
    rows_models,
    rows_one_host,
    rows_outside,
    rows_overload,
    rows_proxy,
    rows_store,
)
from tests.chaos.report import Line, NotRun, Outcome, Row, Setting, Status

_HOUSES = (
    rows_store,
    rows_control,
    rows_disk,
    rows_one_host,
    rows_outside,
    rows_models,
    rows_overload,
    rows_features,
    rows_proxy,
    rows_fleet,
    rows_books,
)
ROWS = tuple(row for house in _HOUSES for row in house.ROWS)
_TAKES = 3


def main() -> int:
    """Run what was asked for, one row after the other."""
    said = _arguments()
    chosen = [row for row in ROWS if not said.rows or row.id in said.rows.split(",")]
    print(
        f"seed {said.seed}, {'small' if said.quick else 'full'} form, Python {python_version()}, "
        f"SQLite {apsw.sqlite_lib_version()}, psycopg {psycopg.__version__}, {len(chosen)} rows",
        flush=True,
    )
    began, lines = time.monotonic(), []
    try:
        for row in chosen:
            lines.append(line_of(row, Random(f"{said.seed}{row.id}"), quick=said.quick))
            print(lines[-1].show(), flush=True)
    finally:
        rows_fleet.let_go()
    found = {status: sum(line.status is status for line in lines) for status in Status}
    figures = ", ".join(f"{count} {status.value}" for status, count in found.items())
    print(f"{figures}, in {time.monotonic() - began:.0f} s")
    if found[Status.FAIL]:
        return 1
    return 3 if found[Status.NOT_RUN] else 0


def line_of(row: Row, dice: Random, *, quick: bool) -> Line:
    """Measure a row, in its small form up to three times while it is late and nothing worse."""
    began, before, reason = time.monotonic(), list[Outcome](), ""
    outcome = Outcome()
    try:
        outcome = _measured(row, dice, quick=quick)
        while quick and outcome.only_late and len(before) + 1 < _TAKES:
            before.append(outcome)
            outcome = _measured(row, dice, quick=quick)
        status = Status.PASS if outcome.held else Status.FAIL
        if outcome.faults == 0:
            status, reason = Status.FAIL, "no fault hit, so nothing was shown"
    except NotRun as refusal:
        status, reason = Status.NOT_RUN, str(refusal)
    except Exception as error:  # noqa: BLE001 - a row that breaks has failed, and the others still run
        status, reason = Status.FAIL, "".join(traceback.format_exception(error)[-3:])
    return Line(row, status, outcome, time.monotonic() - began, reason, tuple(before))


def _measured(row: Row, dice: Random, *, quick: bool) -> Outcome:
    with tempfile.TemporaryDirectory(prefix=f"gw-{row.id}-", ignore_cleanup_errors=True) as folder:
        return row.run(Setting(Path(folder), dice, quick))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small form of every row")
    parser.add_argument("--rows", default="", help="only these, such as D1,C2")
    parser.add_argument("--seed", type=int, default=20261124)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
