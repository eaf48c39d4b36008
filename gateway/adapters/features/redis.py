"""Reads Feast's Redis hashes directly, over connections that redis-py opens (:mod:`gateway.adapters.features.resp`).

All views of one entity share one hash, so a read is one HMGET per distinct entity key and row; concurrent reads share
one connection, and those of one turn of the loop one write. redis-py's own pool and retries are not used: with retries
a stopped server costs seconds, and a reply left on a pooled connection reaches the next caller.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

from google.protobuf.message import DecodeError
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from gateway.adapters.features.coalescer import Breaker, StoreRefused
from gateway.adapters.features.encoding import KeyEncoder, decode_doubles, decode_timestamp, field_hash
from gateway.adapters.features.reading import Cells, OnError, ViewLayout, assemble, ignore, lay_out
from gateway.adapters.features.redis_location import connection_options
from gateway.adapters.features.resp import Command, Pipe, Reply, head_of, tail_of
from gateway.core.deployments import Scalar
from gateway.core.features import FeatureBatch, FeaturePlan, Status, unavailable

STALLED_S = 1.0
"""A connection that has not answered for so long is dropped. Callers have long walked away: this frees its lane."""
_INLINE_CELLS = 2_000
"""Rows x features up to which replies are decoded on the event loop (about 2 ms)."""


@dataclass(frozen=True, slots=True)
class _Hash:
    """The views of a plan that live in one entity's hash: one HMGET reads them all.

    ``head`` and ``tail`` are the command around its key, as it goes over the wire. ``spans`` has, by view index, where
    the view's cells stand in the reply; its event time stands right behind them.
    """

    key: KeyEncoder
    head: bytes
    tail: bytes
    spans: dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Layout:
    """``cells`` and ``stamps`` pick values and event times, in plan order, from a row's replies laid end to end.

    ``numbers``: every feature is a number, so that all cells may be doubles.
    """

    views: tuple[ViewLayout, ...]
    hashes: tuple[_Hash, ...]
    project: bytes
    width: int
    numbers: bool
    cells: Callable[[Sequence[bytes | None]], tuple[bytes | None, ...]]
    stamps: Callable[[Sequence[bytes | None]], tuple[bytes | None, ...]]
    present: bytes


class RedisFeatureSource:
    """A FeatureSource on a standalone Redis or Valkey that Feast writes.

    ``on_error`` hears ``timeout`` (budget over), ``refused`` (breaker open), ``connection`` (lost or stalled),
    ``response`` (the server refused a command) and ``undecodable``.
    """

    def __init__(
        self,
        location: str,
        on_error: OnError = ignore,
        breaker: Breaker | None = None,
        stalled_s: float = STALLED_S,
    ) -> None:
        self._on_error = on_error
        self._layouts: dict[str, _Layout] = {}
        self._pipe = Pipe(partial(_connection, location, stalled_s), stalled_s, breaker)

    async def read(self, plan: FeaturePlan, rows: Sequence[Mapping[str, Scalar]], budget_s: float) -> FeatureBatch:
        """Deliver what Redis holds for each row within ``budget_s``; UNAVAILABLE rows when it cannot say."""
        layout = self._layouts.get(plan.plan_id)
        if layout is None:
            layout = self._layouts[plan.plan_id] = _lay_out(plan)
        keys = [[entity.key(row) for entity in layout.hashes] for row in rows]
        commands: list[Command] = [
            b"%b$%d\r\n%b%b%b" % (entity.head, len(key) + len(layout.project), key, layout.project, entity.tail)
            for row_keys in keys
            for entity, key in zip(layout.hashes, row_keys, strict=True)
            if key is not None
        ]
        replies: Sequence[Reply] = ()
        if commands:
            try:
                replies = await self._pipe.ask(commands, budget_s)
            except (TimeoutError, StoreRefused, RedisError, OSError) as error:
                self._on_error(_kind(error))
                return unavailable(plan, len(rows))
        plain = _plain(layout, len(rows), replies)
        if plain is not None:
            return plain
        cells = self._cells(layout, keys, replies)
        if len(rows) * layout.width <= _INLINE_CELLS:
            return assemble(layout.views, cells, self._on_error)
        return await asyncio.to_thread(assemble, layout.views, cells, self._on_error)

    async def close(self) -> None:
        """Drop the connection; reads under way come back UNAVAILABLE."""
        await self._pipe.close()

    def _cells(
        self, layout: _Layout, keys: Sequence[Sequence[bytes | None]], replies: Sequence[Reply]
    ) -> list[list[Cells]]:
        reply = iter(replies)
        rows: list[list[Cells]] = []
        for row_keys in keys:
            row = [view.nothing for view in layout.views]
            for entity, key in zip(layout.hashes, row_keys, strict=True):
                if key is None:
                    continue
                found = next(reply)
                for index, (start, end) in entity.spans.items():
                    row[index] = self._view_cells(layout.views[index], found, start, end)
            rows.append(row)
        return rows

    def _view_cells(self, view: ViewLayout, found: Reply, start: int, end: int) -> Cells:
        if isinstance(found, ResponseError):
            self._on_error("response")
            return view.unreadable
        stamp = found[end]
        if stamp is None:  # Feast stamps every write, so the view was never written for this entity
            return view.nothing
        try:
            return found[start:end], decode_timestamp(stamp)
        except DecodeError:
            return view.unreadable


def _plain(layout: _Layout, rows: int, replies: Sequence[Reply]) -> FeatureBatch | None:
    """Decode the usual case in one go: every view of every row was written, and each value is a double; else None."""
    width = len(layout.hashes)
    if not layout.numbers or len(replies) != rows * width or rows * layout.width > _INLINE_CELLS:
        return None
    values: list[tuple[Scalar, ...]] = []
    times: list[tuple[float | None, ...]] = []
    for start in range(0, len(replies), width):
        row: list[bytes | None] = []
        for reply in replies[start : start + width]:
            if isinstance(reply, ResponseError):
                return None
            row += reply
        stamps, doubles = layout.stamps(row), decode_doubles(layout.cells(row))
        if doubles is None or None in stamps:
            return None
        try:
            times.append(tuple([decode_timestamp(stamp or b"") for stamp in stamps]))
        except DecodeError:
            return None
        values.append(doubles)
    return FeatureBatch(values, [layout.present] * rows, times)


def _connection(location: str, stalled_s: float) -> Connection:
    kind, options = connection_options(location)
    return kind(**options, socket_connect_timeout=stalled_s, retry=Retry(NoBackoff(), 0))


def _kind(error: Exception) -> str:
    if isinstance(error, StoreRefused):
        return "refused"
    return "timeout" if isinstance(error, TimeoutError) else "connection"


def _lay_out(plan: FeaturePlan) -> _Layout:
    views = lay_out(plan)
    shared: dict[object, list[int]] = {}
    for index, layout in enumerate(views):
        shared.setdefault(frozenset(layout.view.keys), []).append(index)
    hashes = tuple(_hash(views, indexes) for indexes in shared.values())
    return _Layout(
        views,
        hashes,
        plan.project.encode(),
        len(plan.names()),
        all(view.numbers for view in views),
        _picker([place for places, _ in _places(views, hashes) for place in places]),
        _picker([stamp for _, stamp in _places(views, hashes)]),
        bytes([Status.PRESENT]) * len(plan.names()),
    )


def _places(views: Sequence[ViewLayout], hashes: Sequence[_Hash]) -> list[tuple[range, int]]:
    """Where each view's cells and its event time stand in a row's replies laid end to end, in plan order."""
    found: dict[int, tuple[range, int]] = {}
    base = 0
    for entity in hashes:
        for index, (start, end) in entity.spans.items():
            found[index] = (range(base + start, base + end), base + end)
        base += sum(end - start + 1 for start, end in entity.spans.values())
    return [found[index] for index in range(len(views))]


def _picker(places: Sequence[int]) -> Callable[[Sequence[bytes | None]], tuple[bytes | None, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple([row[place] for place in places])  # an itemgetter of one gives no tuple


def _hash(views: Sequence[ViewLayout], indexes: Sequence[int]) -> _Hash:
    fields: list[bytes] = []
    spans: dict[int, tuple[int, int]] = {}
    for index in indexes:
        view = views[index].view
        start = len(fields)
        fields += [field_hash(view.stored, feature.stored) for feature in view.features]
        spans[index] = (start, len(fields))
        fields.append(f"_ts:{view.stored}".encode())
    return _Hash(views[indexes[0]].key, head_of(fields), tail_of(fields), spans)
