"""What every plan compiler does alike: merge the views of several services, and name a plan by its content."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from gateway.core.errors import PlanImpossible
from gateway.core.features import FeaturePlan, JoinKey, PlannedFeature, PlannedView


def merge(services: Mapping[str, Sequence[PlannedView]]) -> tuple[PlannedView, ...]:
    """Unite the views that several services read: each view once, with every feature any service wants of it.

    Two projections are one view when they read the same stored view by the same keys. Raises PlanImpossible when one
    name would stand for two features, or for keys of two types.
    """
    merged: dict[tuple[str, tuple[JoinKey, ...]], PlannedView] = {}
    for views in services.values():
        for view in views:
            place = (view.stored, view.keys)
            known = merged.setdefault(place, view)
            merged[place] = replace(known, features=tuple(dict.fromkeys(known.features + view.features)))
    plan = tuple(merged.values())
    _refuse_clashing_features(plan)
    _refuse_clashing_keys(plan)
    return plan


def names_by_service(services: Mapping[str, Sequence[PlannedView]]) -> dict[str, tuple[str, ...]]:
    """List, by service, the names of the features it delivers, in the service's own order."""
    return {
        service: tuple(feature.name for view in views for feature in view.features)
        for service, views in services.items()
    }


def seal(plan: FeaturePlan) -> FeaturePlan:
    """Name the plan by its content: equal plans have equal ids, in every process and on every run."""
    content = asdict(replace(plan, plan_id=""))
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return replace(plan, plan_id=hashlib.sha256(canonical.encode()).hexdigest()[:16])


def _refuse_clashing_features(views: Sequence[PlannedView]) -> None:
    owners: dict[str, tuple[PlannedView, PlannedFeature]] = {}
    for view in views:
        for feature in view.features:
            other, _ = owners.setdefault(feature.name, (view, feature))
            if owners[feature.name] != (view, feature):
                raise PlanImpossible(
                    f"The feature name {feature.name} would stand for a feature of {other.name} and one of "
                    f"{view.name}. Rename one of them, or rename a view with with_name() in a service that reads both."
                )


def _refuse_clashing_keys(views: Sequence[PlannedView]) -> None:
    keys: dict[str, JoinKey] = {}
    for view in views:
        for key in view.keys:
            known = keys.setdefault(key.request, key)
            if known.feast_type != key.feast_type:
                raise PlanImpossible(
                    f"The entity key {key.request} is {known.feast_type} in one view and {key.feast_type} in "
                    f"{view.name}; applications can send only one of them."
                )
