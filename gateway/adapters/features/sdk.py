"""Reads through the Feast SDK, for stores and views no direct reader knows. Slow, but asks only the public API.

One thread holds the SDK. Reads that arrive while it is busy become its next call, so throughput is that of batches.
A row is checked before it is sent: the SDK would coerce a wrong key, or fail the whole batch for it. What the SDK
cannot tell apart stays so: on Redis, a feature newer than the entity's last write reads as NULL, not MISSING.
"""

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.adapters.features.coalescer import Breaker, Coalescer, StoreRefused, TaskLane
from gateway.adapters.features.encoding import KINDS, KeyEncoder
from gateway.adapters.features.feast_compiler import uses_full_names
from gateway.adapters.features.reading import OnError, ignore
from gateway.core.deployments import Scalar
from gateway.core.features import FeatureBatch, FeaturePlan, Status, unavailable

_GIVE_UP_AFTER = 3
"""Rows that fail one after the other, each read alone, before the store counts as down."""

_NOT_FOUND = 3
"""``feast.serving.FieldStatus.NOT_FOUND``."""
_NO_KIND = {None, "null_val"}
_ALL_KINDS = frozenset[str]().union(*KINDS.values())

Row: TypeAlias = Mapping[str, Scalar]
Cell: TypeAlias = tuple[Scalar, Status, float | None]
Cells: TypeAlias = Mapping[str, Cell]
"""By feature name: value, status, event time."""


@dataclass(frozen=True, slots=True)
class _Service:
    """One feature service to call: the SDK's object, how it names features, and the keys each of its rows must have."""

    feast: Any
    full_names: bool
    names: frozenset[str]
    request: tuple[str, ...]
    key: KeyEncoder


@dataclass(frozen=True, slots=True)
class _Ask:
    plan: FeaturePlan
    rows: Sequence[Row]


class SdkFeatureSource:
    """A FeatureSource through ``FeatureStore.get_online_features``. A service is read only for rows with all its keys.

    ``on_error`` hears ``timeout``, ``refused`` (breaker open), ``failed`` (the SDK raised) and ``row`` (it raised for
    one row alone).
    """

    def __init__(self, location: str, on_error: OnError = ignore, breaker: Breaker | None = None) -> None:
        self._location = location
        self._on_error = on_error
        self._store: Any = None
        self._services: dict[str, list[_Service]] = {}
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="features-sdk")
        self._coalescer: Coalescer[_Ask, FeatureBatch] = Coalescer([TaskLane(self._call)], breaker)

    async def read(self, plan: FeaturePlan, rows: Sequence[Row], budget_s: float) -> FeatureBatch:
        """Deliver what the SDK finds for each row within ``budget_s``; UNAVAILABLE rows when it cannot say."""
        try:
            return await self._coalescer.ask(_Ask(plan, rows), budget_s)
        except TimeoutError:
            self._on_error("timeout")
        except StoreRefused:
            self._on_error("refused")
        except Exception:  # noqa: BLE001 - Feast lets each store raise its own
            self._on_error("failed")
        return unavailable(plan, len(rows))

    async def close(self) -> None:
        """Take no more reads. A call still under way ends in its thread; the SDK cannot be interrupted."""
        await self._coalescer.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _call(self, asks: Sequence[_Ask]) -> list[FeatureBatch]:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._read_all, asks)

    def _read_all(self, asks: Sequence[_Ask]) -> list[FeatureBatch]:
        """Answer every ask; asks of one plan share their SDK calls. Runs in the thread."""
        batches: dict[int, FeatureBatch] = {}
        for plan in {ask.plan.plan_id: ask.plan for ask in asks}.values():
            mine = [index for index, ask in enumerate(asks) if ask.plan.plan_id == plan.plan_id]
            cells = self._read(plan, [row for index in mine for row in asks[index].rows])
            start = 0
            for index in mine:
                end = start + len(asks[index].rows)
                batches[index] = _batch(plan, cells[start:end])
                start = end
        return [batches[index] for index in range(len(asks))]

    def _read(self, plan: FeaturePlan, rows: Sequence[Row]) -> list[dict[str, Cell]]:
        services = self._services.get(plan.plan_id)
        if services is None:
            services = self._services[plan.plan_id] = self._open(plan)
        cells: list[dict[str, Cell]] = [{} for _ in rows]
        for service in services:
            complete = [index for index, row in enumerate(rows) if service.key(row) is not None]
            asked = [{name: rows[index][name] for name in service.request} for index in complete]
            for index, found in zip(complete, self._read_rows(service, asked), strict=True):
                cells[index].update(found)
        return cells

    def _read_rows(self, service: _Service, rows: Sequence[Row]) -> Sequence[Cells]:
        """Read the rows in one call, or, if that fails, each alone: one bad row must not fail its neighbours."""
        if not rows:
            return []
        try:
            return self._get(service, rows)
        except Exception:
            if len(rows) == 1:
                raise
        found: list[Cells] = []
        failed = 0
        for row in rows:
            try:
                found += self._get(service, [row])
                failed = 0
            except Exception:
                failed += 1
                if failed == _GIVE_UP_AFTER:
                    raise
                self._on_error("row")
                found.append(_unread(service))
        return found

    def _get(self, service: _Service, rows: Sequence[Row]) -> list[dict[str, Cell]]:
        response = self._store.get_online_features(
            features=service.feast, entity_rows=[dict(row) for row in rows], full_feature_names=service.full_names
        ).proto
        found = [_unread(service) for _ in rows]
        for name, vector in zip(response.metadata.feature_names.val, response.results, strict=True):
            if name in service.names:
                for row, *cell in zip(found, vector.values, vector.statuses, vector.event_timestamps, strict=True):
                    row[name] = _cell(*cell)
        return found

    def _open(self, plan: FeaturePlan) -> list[_Service]:
        """Choose services that together deliver the plan, the largest first, and fetch them from the registry."""
        if self._store is None:
            feast = importlib.import_module("feast")
            self._store = feast.FeatureStore(repo_path=self._location)
            self._store.registry.serve_features_while_materializing = True  # else every refresh is an outage
        chosen: list[_Service] = []
        covered: set[str] = set()
        for name, features in sorted(plan.services.items(), key=lambda item: (-len(item[1]), item[0])):
            if not covered.issuperset(features):
                covered.update(features)
                chosen.append(self._service(plan, name))
        return chosen

    def _service(self, plan: FeaturePlan, name: str) -> _Service:
        service = self._store.get_feature_service(name)
        names = frozenset(plan.services[name])
        views = [view for view in plan.views if names.intersection(feature.name for feature in view.features)]
        keys = {key.request: key for view in views for key in view.keys}
        full = uses_full_names(service.feature_view_projections)
        return _Service(service, full, names, tuple(keys), KeyEncoder(tuple(keys.values())))


def _unread(service: _Service) -> dict[str, Cell]:
    return dict.fromkeys(service.names, (None, Status.UNAVAILABLE, None))


def _cell(value: Any, status: int, event_timestamp: Any) -> Cell:  # noqa: ANN401 - Feast's protobuf messages
    time = event_timestamp.seconds + event_timestamp.nanos / 1_000_000_000 or None
    kind = value.WhichOneof("val")
    if kind in _ALL_KINDS:
        return getattr(value, kind), Status.PRESENT, time
    if kind not in _NO_KIND:
        return None, Status.UNAVAILABLE, time
    absent = time is None or status == _NOT_FOUND  # Redis calls an absent entity PRESENT, at time zero
    return None, Status.MISSING if absent else Status.NULL, time


def _batch(plan: FeaturePlan, rows: Sequence[Cells]) -> FeatureBatch:
    nothing: Cell = (None, Status.MISSING, None)
    values, statuses, times = [], [], []
    for row in rows:
        by_view = [[row.get(feature.name, nothing) for feature in view.features] for view in plan.views]
        values.append(tuple(value for cells in by_view for value, _, _ in cells))
        statuses.append(bytes(status for cells in by_view for _, status, _ in cells))
        times.append(tuple(max((time for _, _, time in cells if time), default=None) for cells in by_view))
    return FeatureBatch(values, statuses, times)
