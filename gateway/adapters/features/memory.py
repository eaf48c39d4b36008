"""Features held in a dict, and plans made by hand: for tests, ours and our users', and for trying things out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateway.adapters.features.plans import merge, names_by_service, seal
from gateway.core.deployments import Scalar
from gateway.core.errors import PlanImpossible
from gateway.core.features import NO_FEATURES, FeatureBatch, FeaturePlan, PlannedView, Status, unavailable

_Key: TypeAlias = frozenset[tuple[str, type, Scalar]]


@dataclass(frozen=True, slots=True)
class _Entry:
    values: Mapping[str, Scalar]
    event_time: float


class MemoryFeatureSource:
    """A FeatureSource over a dict. Set ``available`` to False to play an outage.

    >>> import asyncio
    >>> from gateway.core.deployments import Type
    >>> from gateway.core.features import JoinKey, PlannedFeature
    >>> view = PlannedView("user", "user", (JoinKey("user_id", "user_id", Type.INTEGER, "INT64"),),
    ...                    (PlannedFeature("age", "age", Type.INTEGER, "INT64"),))
    >>> plan = MemoryPlanCompiler({"service": [view]}).compile(["service"])
    >>> source = MemoryFeatureSource()
    >>> source.write("user", {"user_id": 7}, {"age": 41}, event_time=1_000.0)
    >>> asyncio.run(source.read(plan, [{"user_id": 7}], budget_s=0.05)).values
    [(41,)]
    """

    def __init__(self) -> None:
        self.available = True
        self._views: dict[str, dict[_Key, _Entry]] = {}

    def write(self, view: str, key: Mapping[str, Scalar], values: Mapping[str, Scalar], event_time: float) -> None:
        """Store one entity's features, all by their stored names. ``event_time`` is data time in seconds."""
        self._views.setdefault(view, {})[_key(key)] = _Entry(values, event_time)

    async def read(self, plan: FeaturePlan, rows: Sequence[Mapping[str, Scalar]], budget_s: float) -> FeatureBatch:  # noqa: ARG002 - a dict is never late
        """Deliver what the dict holds for each row."""
        if not self.available:
            return unavailable(plan, len(rows))
        values: list[tuple[Scalar, ...]] = []
        statuses: list[bytes] = []
        times: list[tuple[float | None, ...]] = []
        for row in rows:
            entries = [self._entry(view, row) for view in plan.views]
            cells = [
                _cell(entry, feature.stored)
                for view, entry in zip(plan.views, entries, strict=True)
                for feature in view.features
            ]
            values.append(tuple(value for value, _ in cells))
            statuses.append(bytes(status for _, status in cells))
            times.append(tuple(entry.event_time if entry else None for entry in entries))
        return FeatureBatch(values, statuses, times)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _entry(self, view: PlannedView, row: Mapping[str, Scalar]) -> _Entry | None:
        key = _key({key.stored: row.get(key.request) for key in view.keys})
        return self._views.get(view.stored, {}).get(key)


def _key(values: Mapping[str, Scalar]) -> _Key:
    """Tell keys apart by type too: in Python, True and 1.0 are the key 1; in a store they are none."""
    return frozenset((name, type(value), value) for name, value in values.items())


def _cell(entry: _Entry | None, feature: str) -> tuple[Scalar, Status]:
    if entry is None or feature not in entry.values:
        return None, Status.MISSING
    value = entry.values[feature]
    return value, Status.NULL if value is None else Status.PRESENT


class MemoryPlanCompiler:
    """A PlanCompiler over services given by hand, each a list of planned views."""

    def __init__(self, services: Mapping[str, Sequence[PlannedView]] | None = None) -> None:
        self._services = dict(services or {})

    def compile(self, services: Sequence[str]) -> FeaturePlan:
        """Compile the union of ``services``. Raises PlanImpossible for a service nobody gave."""
        if not services:
            return NO_FEATURES
        unknown = sorted(set(services) - self._services.keys())
        if unknown:
            raise PlanImpossible(
                f"No feature service {unknown[0]}; known: {', '.join(sorted(self._services)) or 'none'}."
            )
        wanted = {service: self._services[service] for service in sorted(set(services))}
        names = names_by_service(wanted)
        return seal(FeaturePlan("", "memory", "made by hand", "memory", "", merge(wanted), names))
