"""The one writer of the online store: what has become known, in batches, through Feast's own provider.

It replays :mod:`models.flights.feed` from the beginning and writes what lies after the store's cursor, so it needs no
memory of its own. One at a time: SQLite lets an older row overwrite a newer one, and two writers would not know.

Rows go to the provider as it takes them. ``FeatureStore.write_to_online_store`` makes the same rows out of a data frame
by way of Arrow; for a batch of ten rows that is six sevenths of the work.
"""

import fcntl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pandas as pd
from feast import FeatureView
from feast.infra.provider import get_provider
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values

from models.flights import features
from models.flights.feed import VIEWS, Key, Publication, Values, publications
from models.flights.layout import Layout

Row: TypeAlias = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
"""Entity key, values by name, event time, and no time of creation: what an online store of Feast's takes."""


class StoreIsAhead(RuntimeError):
    """The online store knows a later time than the one asked for; older rows never overwrite newer ones."""

    def __init__(self, written: int, asked: float) -> None:
        super().__init__(
            f"The online store has been written up to {written}, after {asked:.0f}; "
            "`python -m models.flights.prepare` sets it back to the story's start."
        )


class OnlineWriter:
    """Brings the online store of ``folder`` to one data time after another, never back.

    ``start`` is the time (seconds) the caller goes on from; what the store lacks before it comes with the first batch.
    Raises StoreIsAhead when the store is later than ``start``, BlockingIOError while another writer is at work.
    """

    def __init__(self, folder: Path, start: float) -> None:
        self._layout = Layout(folder)
        with ExitStack() as opened:
            opened.enter_context(_only_writer(self._layout))
            self._written = self._going_on_from(start)
            self._closing = opened.pop_all()
        store = features.serving_store(self._layout)
        self._config, self._provider = store.config, get_provider(store.config)
        self._views = {name: store.get_feature_view(name) for name in VIEWS}
        self._feed = _after(self._written, publications(*self._tables()))
        self._next = next(self._feed, None)

    def advance(self, to: float) -> int:
        """Write everything published by data time ``to`` (seconds); returns how many rows that were.

        Afterwards a read sees, for every key, the row that training sees at ``to``.
        """
        if to < self._written:
            raise StoreIsAhead(self._written, to)
        batch: dict[str, dict[Key, tuple[int, Values]]] = {}
        while self._next is not None and self._next.at <= to:
            for view, rows in self._next.rows.items():
                batch.setdefault(view, {}).update((key, (self._next.at, values)) for key, values in rows.items())
            self._next = next(self._feed, None)
        for name, latest in batch.items():
            view = self._views[name]
            self._provider.online_write_batch(self._config, view, _rows(view, latest), None)
        self._written = int(to)
        self._layout.remember_written(self._written)
        return sum(len(latest) for latest in batch.values())

    def close(self) -> None:
        """Let another writer in."""
        self._closing.close()

    def _going_on_from(self, start: float) -> int:
        written = self._layout.written_until()
        if written is None:
            raise FileNotFoundError(
                f"There is no online store in {self._layout.root}: run `python -m models.flights.prepare` first."
            )
        if written > start:
            raise StoreIsAhead(written, start)
        return written

    def _tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return pd.read_parquet(self._layout.flights), pd.read_parquet(self._layout.weather)


@contextmanager
def _only_writer(layout: Layout) -> Iterator[None]:
    """Hold the lock of the one writer."""
    layout.feast.mkdir(parents=True, exist_ok=True)
    with (layout.feast / "writer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _after(written: int, feed: Iterator[Publication]) -> Iterator[Publication]:
    return (publication for publication in feed if publication.at > written)


def _rows(view: FeatureView, latest: Mapping[Key, tuple[int, Values]]) -> list[Row]:
    """Lay one view's rows out, each value in the type that the view declares."""
    shape = VIEWS[view.name]
    kinds = {field.name: field.dtype.to_value_type() for field in (*view.entity_columns, *view.features)}

    def columns(names: Iterable[str], rows: Iterable[tuple[object, ...]]) -> list[list[Value]]:
        by_name = zip(names, zip(*rows, strict=True), strict=True)
        return [python_values_to_proto_values(list(column), kinds[name]) for name, column in by_name]

    keys = zip(*columns(shape.keys, latest), strict=True)
    values = zip(*columns(shape.values, (known for _, known in latest.values())), strict=True)
    times = (datetime.fromtimestamp(at, UTC) for at, _ in latest.values())
    return [
        (EntityKey(join_keys=shape.keys, entity_values=key), dict(zip(shape.values, row, strict=True)), at, None)
        for key, row, at in zip(keys, values, times, strict=True)
    ]
