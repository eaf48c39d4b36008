"""Feature sources and plan compilers. What reads a plan is chosen by the plan's tier; nothing here imports Feast.

``memory`` a dict · ``sqlite`` and ``redis`` what Feast stored, read directly · ``sdk`` the Feast SDK, for the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from gateway.adapters.features.memory import MemoryFeatureSource, MemoryPlanCompiler
from gateway.adapters.features.reading import OnError, ignore
from gateway.core.deployments import Scalar
from gateway.core.errors import PlanImpossible
from gateway.core.features import FeatureBatch, FeaturePlan
from gateway.ports import FeatureSource, PlanCompiler

__all__ = [
    "FeatureReader",
    "MemoryFeatureSource",
    "MemoryPlanCompiler",
    "OnReadError",
    "open_compiler",
    "open_source",
]

OnReadError: TypeAlias = Callable[[str, str], None]
"""Told of each thing that went wrong in reading: the plan's tier, and the kind as the source names it."""


def _memory(_location: str, _on_error: OnError) -> FeatureSource:
    return MemoryFeatureSource()


def _sqlite(location: str, on_error: OnError) -> FeatureSource:
    from gateway.adapters.features.sqlite import SqliteFeatureSource

    return SqliteFeatureSource(location, on_error)


def _redis(location: str, on_error: OnError) -> FeatureSource:
    from gateway.adapters.features.redis import RedisFeatureSource

    return RedisFeatureSource(location, on_error)


def _sdk(location: str, on_error: OnError) -> FeatureSource:
    from gateway.adapters.features.sdk import SdkFeatureSource

    return SdkFeatureSource(location, on_error)


_SOURCES: dict[str, Callable[[str, OnError], FeatureSource]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
    "sdk": _sdk,
}


def open_source(plan: FeaturePlan, on_error: OnError = ignore) -> FeatureSource:
    """Open the reader of the plan's tier on its location. Connects at the first read, so call it after any fork.

    Raises PlanImpossible for a tier this version does not know.
    """
    if plan.tier not in _SOURCES:
        raise PlanImpossible(f"No reader for tier {plan.tier}; there are: {', '.join(_SOURCES)}.")
    return _SOURCES[plan.tier](plan.location, on_error)


def open_compiler(location: str) -> PlanCompiler:
    """Open the compiler of a feature repository: ``memory:`` (no services), or the path of a Feast repository."""
    if location == "memory:":
        return MemoryPlanCompiler()
    from gateway.adapters.features.feast_compiler import FeastPlanCompiler

    return FeastPlanCompiler(location)


class FeatureReader:
    """A FeatureSource for any plan: one source per tier and location, opened at its first read and kept.

    ``sources`` gives some of them from outside, as tests do with a memory source. The plan of no features reads as
    rows without any.
    """

    def __init__(
        self,
        on_error: OnReadError = lambda _tier, _kind: None,
        sources: Mapping[tuple[str, str], FeatureSource] | None = None,
    ) -> None:
        self._on_error = on_error
        self._sources = dict(sources or {})

    async def read(self, plan: FeaturePlan, rows: Sequence[Mapping[str, Scalar]], budget_s: float) -> FeatureBatch:
        """Read ``rows`` through the source of the plan's tier. Raises PlanImpossible for an unknown tier only."""
        if plan.tier == "none":
            return FeatureBatch([()] * len(rows), [b""] * len(rows), [()] * len(rows))
        source = self._sources.get((plan.tier, plan.location))
        if source is None:
            source = open_source(plan, lambda kind: self._on_error(plan.tier, kind))
            self._sources[plan.tier, plan.location] = source
        return await source.read(plan, rows, budget_s)

    async def close(self) -> None:
        """Close every source."""
        for source in self._sources.values():
            await source.close()
        self._sources.clear()
