"""Reads Feast's SQLite online store directly: one UNION ALL over the plan's views, on a read-only connection.

A read of a few rows takes less time than the hop to a thread that would keep it off the event loop, so it runs
inline, and never waits: when a writer holds the file, it goes to the worker thread with the rest of its budget, as
large reads do at once. Readers neither write nor checkpoint. apsw's SQLite is not the one Feast writes with, and two
SQLites in one process undo each other's locks on a file: never write the store from a process that reads it here.
"""

import asyncio
import calendar
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import apsw

from gateway.adapters.features.encoding import table_name
from gateway.adapters.features.reading import Cells, OnError, ViewLayout, assemble, ignore, lay_out
from gateway.core.deployments import Scalar
from gateway.core.features import FeatureBatch, FeaturePlan, unavailable

_INLINE_CELLS = 200
"""Rows x features up to which a read runs on the event loop (about 0.3 ms)."""
_CHUNK = 256
"""Rows per statement; a larger read is several statements in one transaction."""

Keys: TypeAlias = Sequence[Sequence[bytes | None]]
Found: TypeAlias = dict[tuple[int, bytes], dict[str, tuple[bytes, int]]]
"""By view index and entity key: each feature's stored value and event time, as Feast wrote them."""


@dataclass(frozen=True, slots=True)
class _Layout:
    views: tuple[ViewLayout, ...]
    tables: tuple[str, ...]
    width: int

    def statement(self, rows: int) -> str:
        """One SELECT per view for ``rows`` entity keys each; bind all keys of the first view, then the second's."""
        marks = ",".join("?" * rows)
        return " UNION ALL ".join(
            f"SELECT {index}, entity_key, feature_name, value, event_ts FROM {table} WHERE entity_key IN ({marks})"  # noqa: S608 - quoted names of the plan
            for index, table in enumerate(self.tables)
        )


class SqliteFeatureSource:
    """A FeatureSource on the SQLite file that Feast writes.

    ``on_error`` hears ``locked`` (a writer held the file; retried within the budget), ``timeout``, ``failed`` (no
    such file or table, or not a database) and ``undecodable``.
    """

    def __init__(self, location: str, on_error: OnError = ignore) -> None:
        self._on_error = on_error
        self._layouts: dict[str, _Layout] = {}
        self._inline = _Reader(Path(location))
        self._threaded = _Reader(Path(location))
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="features-sqlite")

    async def read(self, plan: FeaturePlan, rows: Sequence[Mapping[str, Scalar]], budget_s: float) -> FeatureBatch:
        """Deliver what the file holds for each row within ``budget_s``; UNAVAILABLE rows when it cannot say."""
        layout = self._layouts.get(plan.plan_id)
        if layout is None:
            layout = self._layouts[plan.plan_id] = _lay_out(plan)
        try:
            if len(rows) * layout.width <= _INLINE_CELLS:
                try:
                    return self._batch(self._inline, layout, rows)
                except apsw.BusyError:
                    self._on_error("locked")
            async with asyncio.timeout(budget_s):
                return await asyncio.get_running_loop().run_in_executor(
                    self._executor, self._read_in_thread, layout, rows, budget_s
                )
        except TimeoutError:
            self._on_error("timeout")
        except (apsw.Error, OSError):
            self._on_error("failed")
        return unavailable(plan, len(rows))

    async def close(self) -> None:
        """Close both connections; a read still in the thread ends first."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._threaded.close)
        self._executor.shutdown(wait=False)
        self._inline.close()

    def _read_in_thread(self, layout: _Layout, rows: Sequence[Mapping[str, Scalar]], budget_s: float) -> FeatureBatch:
        self._threaded.wait_s = budget_s
        return self._batch(self._threaded, layout, rows)

    def _batch(self, reader: "_Reader", layout: _Layout, rows: Sequence[Mapping[str, Scalar]]) -> FeatureBatch:
        keys = [[view.key(row) for row in rows] for view in layout.views]
        found = reader.fetch(layout, keys)
        cells = (_row_cells(layout, [view[row] for view in keys], found) for row in range(len(rows)))
        return assemble(layout.views, cells, self._on_error)


class _Reader:
    """One read-only connection, opened at first use and anew when the file is replaced. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self.wait_s = 0.0

    def fetch(self, layout: _Layout, keys: Keys) -> Found:
        """Read all keys in one snapshot. Raises apsw.Error or OSError."""
        connection = self._current()
        connection.set_busy_timeout(round(self.wait_s * 1000))
        rows = len(keys[0]) if keys else 0
        found: Found = {}
        if rows <= _CHUNK:
            self._collect(connection, layout, keys, found)
            return found
        with connection:
            for start in range(0, rows, _CHUNK):
                self._collect(connection, layout, [view[start : start + _CHUNK] for view in keys], found)
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _collect(self, connection: apsw.Connection, layout: _Layout, keys: Keys, found: Found) -> None:
        if not keys or not keys[0]:
            return
        bindings = tuple([key for view in keys for key in view])
        for view, key, feature, value, event_ts in connection.execute(layout.statement(len(keys[0])), bindings):
            found.setdefault((view, key), {})[feature] = (value, event_ts)

    def _current(self) -> apsw.Connection:
        stat = self._path.stat()
        identity = (stat.st_dev, stat.st_ino)
        if self._connection is None or identity != self._identity:
            self.close()
            self._connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            self._identity = identity
        return self._connection


def _lay_out(plan: FeaturePlan) -> _Layout:
    tables = tuple(_quoted(table_name(plan.project, view.stored)) for view in plan.views)
    return _Layout(lay_out(plan), tables, len(plan.names()))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _row_cells(layout: _Layout, keys: Sequence[bytes | None], found: Found) -> list[Cells]:
    return [
        _view_cells(view, None if key is None else found.get((index, key)))
        for index, (view, key) in enumerate(zip(layout.views, keys, strict=True))
    ]


def _view_cells(view: ViewLayout, stored: Mapping[str, tuple[bytes, int]] | None) -> Cells:
    if stored is None:
        return view.nothing
    cells = [cell[0] if (cell := stored.get(feature.stored)) else None for feature in view.view.features]
    return cells, event_time(min(stamp for _, stamp in stored.values()))


def event_time(stored: int) -> float:
    """Read Feast's ``event_ts``: whole seconds of a UTC time that was taken for local time when it was written.

    Writer and reader must share a time zone, best UTC: Feast itself reads it back this way.
    """
    return float(calendar.timegm(time.localtime(stored)))
