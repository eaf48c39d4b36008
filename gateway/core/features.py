"""What a feature read delivers, and what its age and absence mean for the request.

A plan is compiled once from a Feast FeatureService and is plain data. Sources report what the store holds; whether
that is too old or must be replaced is decided here, by data time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

from gateway.core.deployments import FeaturePolicy, OnUnavailable, Scalar, Type
from gateway.core.errors import FeaturesUnavailable


class Status(IntEnum):
    """What became of one feature of one request."""

    PRESENT = 0
    NULL = 1
    MISSING = 2
    STALE = 3
    UNAVAILABLE = 4
    REQUEST = 5
    INVALID = 6


@dataclass(frozen=True, slots=True)
class JoinKey:
    """An entity key of a view: the name applications send, and the name and type the store was keyed with."""

    request: str
    stored: str
    type: Type
    feast_type: str


@dataclass(frozen=True, slots=True)
class PlannedFeature:
    """One feature of a view: its stored name, the name models know it by, and its type (Feast's name kept beside)."""

    stored: str
    name: str
    type: Type
    feast_type: str


@dataclass(frozen=True, slots=True)
class PlannedView:
    """One view of the plan. ``ttl_s`` None: values never grow stale."""

    name: str
    stored: str
    keys: tuple[JoinKey, ...]
    features: tuple[PlannedFeature, ...]
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """The compiled union of the feature services a deployment's variants read.

    ``tier`` names the reader (``sqlite``, ``redis``, ``sdk``, ``memory``), ``location`` what that reader opens,
    ``reason`` why this tier. ``services`` lists, by feature service, the feature names it delivers.
    """

    plan_id: str
    tier: str
    reason: str
    project: str
    location: str
    views: tuple[PlannedView, ...]
    services: dict[str, tuple[str, ...]]
    schema: int = 1

    def names(self) -> tuple[str, ...]:
        """Every feature the plan delivers, in the order in which a batch's values stand."""
        return tuple(feature.name for view in self.views for feature in view.features)

    def join_keys(self) -> tuple[JoinKey, ...]:
        """Every key an application has to send, each once, in plan order."""
        return tuple({key.request: key for view in self.views for key in view.keys}.values())


NO_FEATURES = FeaturePlan("none", "none", "no variant reads a feature service", "", "", (), {})


@dataclass(frozen=True, slots=True)
class FeatureBatch:
    """What the store held for some rows. Each row's values and statuses follow ``plan.names()``.

    Statuses are PRESENT, NULL, MISSING or UNAVAILABLE. ``event_times`` has, per row, one data time in seconds (or
    None) per view of the plan.
    """

    values: Sequence[tuple[Scalar, ...]]
    statuses: Sequence[bytes]
    event_times: Sequence[tuple[float | None, ...]]


class Vector(Protocol):
    """One request's features after fallbacks: by name the value and status, and the age in seconds where known."""

    @property
    def values(self) -> Mapping[str, Scalar]:
        """What is served."""

    @property
    def statuses(self) -> Mapping[str, Status]:
        """What became of each."""

    @property
    def ages(self) -> Mapping[str, float]:
        """How old each was, where its event time is known."""

    @property
    def degraded(self) -> tuple[str, ...]:
        """Names of those that were not served as the store holds them."""


@dataclass(frozen=True, slots=True)
class FeatureVector:
    """A vector in which something may have been replaced."""

    values: Mapping[str, Scalar]
    statuses: Mapping[str, Status]
    ages: Mapping[str, float]
    degraded: tuple[str, ...]


class FreshVector:
    """A vector that needed no fallback. ``row`` is what was read, in plan order; names are given to it when asked."""

    __slots__ = ("_fresh", "_now", "_times", "row")
    degraded: Final[tuple[str, ...]] = ()

    def __init__(
        self, fresh: "Freshness", row: tuple[Scalar, ...], times: tuple[float | None, ...], now: float
    ) -> None:
        self._fresh, self.row, self._times, self._now = fresh, row, times, now

    @property
    def values(self) -> Mapping[str, Scalar]:
        """What was read."""
        return dict(zip(self._fresh.names, self.row, strict=True))

    @property
    def statuses(self) -> Mapping[str, Status]:
        """All present."""
        return self._fresh.statuses

    @property
    def ages(self) -> Mapping[str, float]:
        """How old each was: as old as its view."""
        ages: list[float] = []
        for time, width in zip(self._times, self._fresh.widths, strict=True):
            ages += [self._now - (time or 0.0)] * width
        return dict(zip(self._fresh.names, ages, strict=True))


def unavailable(plan: FeaturePlan, rows: int) -> FeatureBatch:
    """What a read that did not come back in time delivered: nothing, for every feature of every row."""
    names, views = plan.names(), len(plan.views)
    nothing = (None,) * len(names)
    return FeatureBatch([nothing] * rows, [bytes([Status.UNAVAILABLE]) * len(names)] * rows, [(None,) * views] * rows)


@dataclass(frozen=True, slots=True)
class Freshness:
    """What a row must look like to need no fallback: worked out once per plan and policies, used per request.

    ``widths`` has the number of features per view and ``limits`` the smallest max age among them, in seconds.
    ``classes`` are the Python types that each value may have; ``checked`` the places with a declared range.
    """

    names: tuple[str, ...]
    widths: tuple[int, ...]
    limits: tuple[float, ...]
    present: bytes
    statuses: Mapping[str, Status]
    classes: tuple[frozenset[type], ...] = ()
    shared: frozenset[type] = frozenset()
    """Types that every value may have, whatever its place."""
    checked: tuple[tuple[int, FeaturePolicy], ...] = ()


def freshness(plan: FeaturePlan, policies: Mapping[str, FeaturePolicy]) -> Freshness:
    """Work out when a row of this plan is fresh in every feature."""
    names = plan.names()
    kinds = [feature.type for view in plan.views for feature in view.features]
    found = [policy for view in plan.views for policy in _policies(view, policies)]
    limits = [
        [view.ttl_s if policy.max_age_s is None else policy.max_age_s for policy in _policies(view, policies)]
        for view in plan.views
    ]
    return Freshness(
        names,
        tuple([len(view.features) for view in plan.views]),
        tuple([min([math.inf if limit is None else limit for limit in each], default=math.inf) for each in limits]),
        bytes([Status.PRESENT]) * len(names),
        dict.fromkeys(names, Status.PRESENT),
        tuple([_CLASSES[kind] for kind in kinds]),
        frozenset[type]().union(*_CLASSES.values()).intersection(*[_CLASSES[kind] for kind in kinds]),
        tuple([(place, policy) for place, policy in enumerate(found) if policy.checks]),
    )


def _policies(view: PlannedView, policies: Mapping[str, FeaturePolicy]) -> list[FeaturePolicy]:
    return [policies.get(feature.name, _DEFAULT_POLICY) for feature in view.features]


def resolve_fresh(fresh: Freshness, batch: FeatureBatch, row: int, now: float) -> FreshVector | None:
    """As :func:`resolve`, for a row that is present, valid and young enough in every feature; None for any other."""
    values, times = batch.values[row], batch.event_times[row]
    if batch.statuses[row] != fresh.present or not _is_valid(fresh, values):
        return None
    for event_time, limit in zip(times, fresh.limits, strict=True):
        if event_time is None or now - event_time > limit:
            return None
    return FreshVector(fresh, values, times, now)


def _is_valid(fresh: Freshness, values: tuple[Scalar, ...]) -> bool:
    if not fresh.shared.issuperset(map(type, values)):
        for value, classes in zip(values, fresh.classes, strict=True):
            if value.__class__ not in classes:
                return False
    return all(policy.admits(values[place]) for place, policy in fresh.checked)


def resolve(
    plan: FeaturePlan,
    batch: FeatureBatch,
    row: int,
    now: float,
    policies: Mapping[str, FeaturePolicy],
    required: frozenset[str],
) -> FeatureVector:
    """Turn row ``row`` of a batch into a feature vector at data time ``now`` (seconds).

    A value older than its max age becomes STALE; one of another type than the plan's, or outside what its policy
    declares, INVALID. Whatever is not PRESENT is served by its declared default and
    listed in ``degraded``, unless its policy says ``error`` and stable reads it (``required``): then
    FeaturesUnavailable is raised, naming the feature.
    """
    values: dict[str, Scalar] = {}
    statuses: dict[str, Status] = {}
    ages: dict[str, float] = {}
    degraded: list[str] = []
    index = 0
    for view, event_time in zip(plan.views, batch.event_times[row], strict=True):
        for feature in view.features:
            name = feature.name
            policy = policies.get(name, _DEFAULT_POLICY)
            status, value = Status(batch.statuses[row][index]), batch.values[row][index]
            if status is Status.PRESENT and not (value.__class__ in _CLASSES[feature.type] and policy.admits(value)):
                status = Status.INVALID
            if event_time is not None:
                ages[name] = now - event_time
                limit = view.ttl_s if policy.max_age_s is None else policy.max_age_s
                if status is Status.PRESENT and limit is not None and ages[name] > limit:
                    status = Status.STALE
            if status is not Status.PRESENT:
                if name in required and _action(policy, status) is OnUnavailable.ERROR:
                    raise FeaturesUnavailable(f"Feature {name} is required and is {status.name.lower()}.")
                value = policy.default
                degraded.append(name)
            values[name], statuses[name] = value, status
            index += 1
    return FeatureVector(values, statuses, ages, tuple(degraded))


def _action(policy: FeaturePolicy, status: Status) -> OnUnavailable:
    if status is Status.UNAVAILABLE:
        return policy.on_unavailable
    if status is Status.INVALID:
        return policy.on_invalid
    return policy.on_stale if status is Status.STALE else policy.on_missing


_CLASSES: Mapping[Type, frozenset[type]] = {
    Type.INTEGER: frozenset({int}),
    Type.NUMBER: frozenset({int, float}),
    Type.STRING: frozenset({str}),
    Type.BOOLEAN: frozenset({bool}),
}
_DEFAULT_POLICY = FeaturePolicy()
