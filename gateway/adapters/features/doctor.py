"""What to say about a plan's store before it carries traffic. Only looks: the gateway never writes the store."""

import time
from pathlib import Path

import apsw

from gateway.core.features import FeaturePlan

_FIXED_SQLITE = (3, 51, 3)
"""The first SQLite release without the WAL-reset bug."""


def complaints(plan: FeaturePlan) -> list[str]:
    """List what is wrong or slow about reading this plan, each as a sentence that says what to do."""
    found = [f"Features are read through the Feast SDK, slowly: {plan.reason}."] if plan.tier == "sdk" else []
    if plan.tier == "sqlite":
        found += _sqlite_complaints(Path(plan.location))
    return found


def _sqlite_complaints(path: Path) -> list[str]:
    found = []
    if tuple(map(int, apsw.sqlite_lib_version().split("."))) < _FIXED_SQLITE:
        found.append(f"SQLite {apsw.sqlite_lib_version()} can lose a WAL; upgrade apsw to 3.51.3 or later.")
    if time.localtime(0).tm_gmtoff or time.daylight:
        found.append("Feast stores event times in local time here; run writer and gateway with TZ=UTC.")
    if not path.exists():
        return [*found, f"The online store {path} does not exist yet; materialise the views first."]
    mode = _journal_mode(path)
    if mode != "wal":
        found.append(
            f"The online store {path} is in journal mode {mode}: each write locks readers out. "
            f'Run once: sqlite3 {path} "PRAGMA journal_mode=WAL".'
        )
    return found


def _journal_mode(path: Path) -> str:
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        return f"unknown ({error})"
    try:
        return str(connection.pragma("journal_mode"))
    except apsw.Error as error:
        return f"unknown ({error})"
    finally:
        connection.close()
