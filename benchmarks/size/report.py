"""The page of figures."""

import platform
from collections.abc import Sequence
from pathlib import Path

import apsw
import psycopg

from benchmarks.size.measuring import LIMIT_S, Sized

FILE = Path(__file__).parents[1] / "results" / "size.md"
_ASKED = "| store | asked | median ms | slowest ms | below 1 s |"
_STORES = "| store | GB on disk | filled in minutes | load average while asked |"


def write(found: Sequence[Sized], n: int, rate: float, before: str = "") -> str:
    """The page as text. A store that was not measured keeps its lines of the page ``before``."""
    kept = [line for line in before.splitlines() if line.startswith("| ") and not _told(line, found)]
    asked = [line for one in found for line in _asked(one)]
    stores = [
        f"| {one.filled.name} | {one.filled.bytes / 1e9:.1f} | {one.filled.load_s / 60.0:.1f} | {one.load:.0f} |"
        for one in found
    ]
    lines = [
        "# The event log at size",
        "",
        f"`python -m benchmarks.size --n {n}`: {n:,} predictions (ten features and one bet each, an outcome for three",
        f"in ten) over {n / rate / 86_400.0:.1f} days of data time, filled in bulk into the gateway's schema, then",
        f"asked through its own ports. Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()},",
        f"psycopg {psycopg.__version__}; 2 CPUs. The slowest of 15, which met a cold cache, has to stay below",
        f"{LIMIT_S:g} s, whatever else the machine does.",
        "",
        _ASKED,
        "|---|---|---|---|---|",
        *asked,
        *(line for line in kept if line.count("|") == _ASKED.count("|")),
        "",
        _STORES,
        "|---|---|---|---|",
        *stores,
        *(line for line in kept if line.count("|") == _STORES.count("|")),
    ]
    return "\n".join(lines) + "\n"


def _told(line: str, found: Sequence[Sized]) -> bool:
    """Whether a line is a head, or of a store that was measured now."""
    return line.startswith(("| store |", *(f"| {one.filled.name} |" for one in found)))


def _asked(one: Sized) -> list[str]:
    return [
        f"| {one.filled.name} | {figure.what} | {figure.median * 1e3:.1f} | {max(figure.took) * 1e3:.1f} "
        f"| {'yes' if figure.held else '**no**'} |"
        for figure in one.figures
    ]
