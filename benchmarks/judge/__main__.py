"""``python -m benchmarks.judge [--quick] [--row P1 ...]``: exit code 0 only if every figure reaches its goal."""

import argparse
import sys
from pathlib import Path

from benchmarks.judge.figures import Effort
from benchmarks.judge.peers import compare
from benchmarks.judge.table import MEASURES, clock, heading, line, measured, peers_table, report, write

RESULTS = Path(__file__).parents[1] / "results" / "judge.md"


def main() -> int:
    """Print the table, write it down when it is the whole one, and say whether every figure was reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judge", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few lives, limits with three standard errors of noise")
    parser.add_argument("--row", action="append", choices=list(MEASURES), default=[], help="only this row; repeatable")
    asked = parser.parse_args()
    effort, began, figures = Effort(asked.quick), clock(), []
    print(heading())
    for figure in measured(effort, asked.row):
        figures.append(figure)
        print(line(figure), flush=True)
    if not asked.row:
        compared = compare(effort)
        print("\n" + peers_table(compared))
        if not asked.quick:
            write(RESULTS, report(figures, compared, clock() - began))
    missed = [one for one in figures if not one.ok]
    print(f"\n{len(figures) - len(missed)} of {len(figures)} figures reached in {clock() - began:,.0f} s.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
