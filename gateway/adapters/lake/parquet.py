"""Parquet files by day, on a local folder or any file system that fsspec reaches (``s3://``, ``gs://``, ``memory://``).

``TO/DEPLOYMENT/date=2013-07-04/predictions.parquet``: the hive layout that pandas, Polars, DuckDB and Spark read as one
table. Beside the days stands ``_export.json``: with how many changes each day was written, and the columns so far.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from gateway.adapters.lake.columns import Columns
from gateway.core.errors import LakeUnavailable
from gateway.core.events import JoinedRow

_FILE: Final = "predictions.parquet"
_MANIFEST: Final = "_export.json"
_DAY_S: Final = 86_400


@dataclass
class _Manifest:
    """What a deployment's folder holds. ``stale`` days have an older schema and are to be written again."""

    days: dict[int, int] = field(default_factory=dict)
    columns: Columns = field(default_factory=Columns)
    stale: set[int] = field(default_factory=set)


class ParquetLake:
    """A Lake in the folder ``to``: a path or a URL of fsspec, with ``options`` for its file system."""

    def __init__(self, to: str, **options: Any) -> None:  # noqa: ANN401 - they are the file system's own
        with _translated(to):
            self._files, self._root = fsspec.core.url_to_fs(to, **options)
        self._manifests: dict[str, _Manifest] = {}

    def days(self, deployment: str) -> Mapping[int, int]:
        """Which days are written, as the manifest says."""
        return dict(self._manifest(deployment).days)

    def write(
        self, deployment: str, day: int, changes: int, batches: Callable[[], Iterable[Sequence[JoinedRow]]]
    ) -> int:
        """Replace a day's file. Where it brings columns that the other days lack, those are given them, empty."""
        with _translated(self._root):
            manifest = self._manifest(deployment)
            if self._learn(manifest.columns, batches()):
                manifest.stale |= manifest.days.keys()
                self._save(deployment, manifest)
            rows = self._write_day(deployment, day, map(manifest.columns.table, batches()), manifest.columns.schema())
            manifest.days[day] = changes
            manifest.stale.discard(day)
            self._save(deployment, manifest)
            self._renew(deployment, manifest)
            return rows

    def _learn(self, columns: Columns, batches: Iterable[Sequence[JoinedRow]]) -> bool:
        return sum(columns.learn(batch) for batch in batches) > 0  # every batch has its say

    def _renew(self, deployment: str, manifest: _Manifest) -> None:
        """Give days of an older schema the one that is now, from their own files: the log may have forgotten them."""
        schema = manifest.columns.schema()
        for day in sorted(manifest.stale):
            with self._files.open(self._path(deployment, day), "rb") as stream:
                old = pq.read_table(stream)
            self._write_day(deployment, day, [_fitted(old, schema)], schema)
            manifest.stale.discard(day)
            self._save(deployment, manifest)

    def _write_day(self, deployment: str, day: int, tables: Iterable[pa.Table], schema: pa.Schema) -> int:
        count = 0
        with self._replacing(self._path(deployment, day)) as stream, pq.ParquetWriter(stream, schema) as writer:
            for table in tables:
                writer.write_table(table)
                count += table.num_rows
        return count

    def _manifest(self, deployment: str) -> _Manifest:
        if deployment not in self._manifests:
            self._manifests[deployment] = self._load(deployment)
        return self._manifests[deployment]

    def _load(self, deployment: str) -> _Manifest:
        path = f"{self._root}/{deployment}/{_MANIFEST}"
        with _translated(path):
            if not self._files.exists(path):
                return _Manifest()
            said = json.loads(self._files.cat_file(path))
        days = {_day(date): changes for date, changes in said["days"].items()}
        return _Manifest(days, Columns(said["columns"], set(said["seen"])), {_day(date) for date in said["stale"]})

    def _save(self, deployment: str, manifest: _Manifest) -> None:
        said = {
            "days": {_date(day): changes for day, changes in sorted(manifest.days.items())},
            "columns": manifest.columns.learnt,
            "seen": sorted(manifest.columns.seen),
            "stale": [_date(day) for day in sorted(manifest.stale)],
        }
        with self._replacing(f"{self._root}/{deployment}/{_MANIFEST}") as stream:
            stream.write(json.dumps(said, indent=1).encode())

    def _path(self, deployment: str, day: int) -> str:
        return f"{self._root}/{deployment}/date={_date(day)}/{_FILE}"

    @contextmanager
    def _replacing(self, path: str) -> Iterator[Any]:
        """Open a file that takes another's place only once it is whole; an object store's own writes do that."""
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        beside = f"{path}.part" if "file" in self._protocols() else path
        with self._files.open(beside, "wb") as stream:
            yield stream
        if beside != path:
            self._files.mv(beside, path)

    def _protocols(self) -> tuple[str, ...]:
        said: str | tuple[str, ...] = self._files.protocol
        return (said,) if isinstance(said, str) else tuple(said)


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Widen and add columns, so that a table has the schema."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ImportError, ValueError, pa.ArrowException) as error:
        raise LakeUnavailable(f"The export to {where} failed: {error}") from error


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY_S, UTC).date().isoformat()


def _day(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) // _DAY_S
