"""The page of figures."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import apsw
import psycopg

from benchmarks.size.measuring import LIMIT_S, Sized

FILE = Path(__file__).parents[1] / "results" / "size.md"


def write(found: Sequence[Sized], n: int, rate: float) -> str:
    """The page as text."""
    lines = [
        "# The event log at size",
        "",
        f"`python -m benchmarks.size --n {n}`: {n:,} predictions (ten features and one bet each, an outcome for three",
        f"in ten) over {n / rate / 86_400.0:.1f} days of data time, filled in bulk into the gateway's schema, then",
        f"asked through its own ports. Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()},",
        f"psycopg {psycopg.__version__}; 2 CPUs, load average {os.getloadavg()[0]:.0f}. The slowest of 15, which met",
        f"a cold cache, has to stay below {LIMIT_S:g} s.",
        "",
        "| store | asked | median ms | slowest ms | below 1 s |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        for figure in one.figures:
            slowest = max(figure.took)
            held = "yes" if figure.held else "**no**"
            lines.append(
                f"| {one.filled.name} | {figure.what} | {figure.median * 1e3:.1f} | {slowest * 1e3:.1f} | {held} |"
            )
    lines += ["", "| store | GB on disk | filled in minutes |", "|---|---|---|"]
    lines += [f"| {one.filled.name} | {one.filled.bytes / 1e9:.1f} | {one.filled.load_s / 60.0:.1f} |" for one in found]
    return "\n".join(lines) + "\n"
