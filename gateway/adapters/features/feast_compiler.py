"""Compiles Feast feature services into a plan. Runs in the agent, next to Feast; workers only read the plan.

The plan follows the registry, not the views' lifecycle state: a view that is materialising keeps being served. It
refuses what cannot be served right: disabled views, list-valued features, keys of types Feast cannot look up.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from gateway.adapters.features.encoding import FEATURE_TYPES, KEY_TYPES, field_hash
from gateway.adapters.features.plans import merge, names_by_service, seal
from gateway.adapters.features.redis_location import redis_location
from gateway.adapters.features.selftest import differences
from gateway.core.errors import PlanImpossible
from gateway.core.features import NO_FEATURES, FeaturePlan, JoinKey, PlannedFeature, PlannedView

# Feast is imported when it is used and has no types: its objects are Any here, each named for what it is.
Store: TypeAlias = Any
Projection: TypeAlias = Any
View: TypeAlias = Any

_SQLITE = "feast.infra.online_stores.sqlite.SqliteOnlineStoreConfig"
_REDIS = "feast.infra.online_stores.redis.RedisOnlineStoreConfig"
_PROVIDERS = {"local", "aws", "gcp", "azure"}
"""Feast's providers that leave online reads to the online store."""


@dataclass(frozen=True, slots=True)
class _Described:
    """A projection as a planned view, and why only the SDK can read it (None: anybody can)."""

    view: PlannedView
    only_sdk: str | None = None


class FeastPlanCompiler:
    """A PlanCompiler over a Feast repository: the folder that holds ``feature_store.yaml``."""

    def __init__(self, repo_path: str | Path) -> None:
        self._repo = Path(repo_path).resolve()
        self._store: Store = None

    def compile(self, services: Sequence[str]) -> FeaturePlan:
        """Compile the union of ``services``, whatever their order. Reads the registry anew; may take seconds.

        Raises PlanImpossible when a service is unknown or asks for what cannot be served, naming it, and when the
        repository cannot be read.
        """
        if not services:
            return NO_FEATURES
        try:
            store = self._refreshed()
            described = {name: _describe_service(store, name) for name in sorted(set(services))}
        except PlanImpossible:
            raise
        except Exception as error:  # Feast, its registries and YAML raise their own
            raise PlanImpossible(f"The Feast repository {self._repo} cannot be read: {error}") from error
        planned = {name: [item.view for item in items] for name, items in described.items()}
        views = merge(planned)
        tier, location, reason = self._tier(store, views, [item for items in described.values() for item in items])
        return seal(FeaturePlan("", tier, reason, store.project, location, views, names_by_service(planned)))

    def _refreshed(self) -> Store:
        if self._store is None:
            feast = importlib.import_module("feast")
            self._store = feast.FeatureStore(repo_path=str(self._repo))
        self._store.refresh_registry()
        return self._store

    def _tier(
        self, store: Store, views: Sequence[PlannedView], described: Sequence[_Described]
    ) -> tuple[str, str, str]:
        sdk = "sdk", str(self._repo)
        needs_sdk = next((item.only_sdk for item in described if item.only_sdk), None) or _odd_settings(store.config)
        if needs_sdk:
            return *sdk, needs_sdk
        differing = differences(views, store.project)
        if differing:
            return *sdk, f"self-test: {differing[0]} from this Feast's"
        online = store.config.online_store
        kind = f"{type(online).__module__}.{type(online).__qualname__}"
        if kind == _SQLITE and online.path != ":memory:":
            return "sqlite", str((self._repo / online.path).resolve()), "Feast's SQLite store, read directly"
        if kind == _REDIS and online.redis_type.value == "redis":
            try:
                location = redis_location(online.connection_string, _settings_file(self._repo))
            except PlanImpossible as error:
                return *sdk, str(error)
            _refuse_hash_collisions(store, views)
            return "redis", location, "Feast's Redis store, read directly"
        return *sdk, f"no direct reader for this online store ({type(online).__qualname__.removesuffix('Config')})"


def uses_full_names(projections: Sequence[Projection]) -> bool:
    """Whether a service's features are named ``view__feature``.

    Feast can only read a service with two features of one name under full names, so models were trained on those;
    every other service goes by plain names.
    """
    names = [feature.name for projection in projections for feature in projection.features]
    return len(names) > len(set(names))


def _describe_service(store: Store, name: str) -> list[_Described]:
    from feast.errors import FeatureServiceNotFoundException

    try:
        service = store.get_feature_service(name)
    except FeatureServiceNotFoundException as error:
        known = ", ".join(sorted(known.name for known in store.list_feature_services()))
        raise PlanImpossible(f"No feature service {name} in this repository; it has: {known or 'none'}.") from error
    projections = service.feature_view_projections
    full = uses_full_names(projections)
    return [_describe(store, projection, full_names=full) for projection in projections]


def _describe(store: Store, projection: Projection, *, full_names: bool) -> _Described:
    from feast import FeatureView, OnDemandFeatureView
    from feast.infra.online_stores.helpers import compute_versioned_name

    features = tuple(_features(projection, full_names=full_names))
    view = store.registry.get_any_feature_view(projection.name, store.project, allow_cache=True)
    if isinstance(view, OnDemandFeatureView):
        keys = tuple(_sources_keys(store, view))
        planned = PlannedView(projection.name_to_use(), view.name, keys, features)
        return _Described(planned, f"{view.name} is computed on demand")
    if not isinstance(view, FeatureView):
        raise PlanImpossible(f"{view.name} is a {type(view).__name__}, which is not served here.")
    _refuse_disabled(view)
    stored = compute_versioned_name(view, store.config.registry.enable_online_feature_view_versioning)
    keys = tuple(_keys(view, projection))
    ttl_s = view.ttl.total_seconds() if view.ttl else None
    planned = PlannedView(projection.name_to_use(), stored, keys, features, ttl_s)
    pinned = projection.version_tag is not None
    return _Described(planned, f"{view.name} is pinned to a version" if pinned else None)


def _features(projection: Projection, *, full_names: bool) -> Iterator[PlannedFeature]:
    for feature in projection.features:
        feast_type = feature.dtype.to_value_type().name
        if feast_type not in FEATURE_TYPES:
            raise PlanImpossible(
                f"Feature {feature.name} of {projection.name_to_use()} is {feast_type}; "
                f"served are: {', '.join(FEATURE_TYPES)}."
            )
        name = f"{projection.name_to_use()}__{feature.name}" if full_names else feature.name
        yield PlannedFeature(feature.name, name, FEATURE_TYPES[feast_type], feast_type)


def _keys(view: View, projection: Projection) -> Iterator[JoinKey]:
    for column in view.entity_columns:
        feast_type = column.dtype.to_value_type().name
        if column.name == "__dummy_id":
            raise PlanImpossible(f"View {view.name} has no entity; give it a constant one to serve it here.")
        if feast_type not in KEY_TYPES:
            raise PlanImpossible(
                f"Entity key {column.name} of {view.name} is {feast_type}; keys are: {', '.join(KEY_TYPES)}."
            )
        request = projection.join_key_map.get(column.name, column.name)
        yield JoinKey(request, column.name, KEY_TYPES[feast_type], feast_type)


def _sources_keys(store: Store, view: View) -> Iterator[JoinKey]:
    if view.source_request_sources:
        raise PlanImpossible(f"View {view.name} computes on request data; send it as a feature of the model instead.")
    keys: dict[str, JoinKey] = {}
    for projection in view.source_feature_view_projections.values():
        source = store.registry.get_any_feature_view(projection.name, store.project, allow_cache=True)
        _refuse_disabled(source)
        keys |= {key.request: key for key in _keys(source, projection)}
    yield from keys.values()


def _refuse_disabled(view: View) -> None:
    if not view.enabled:
        raise PlanImpossible(f"View {view.name} is disabled in the feature repository.")


def _odd_settings(config: Any) -> str | None:  # noqa: ANN401 - Feast's RepoConfig
    if config.entity_key_serialization_version != 3:
        return f"entity key serialization {config.entity_key_serialization_version} is not 3"
    if config.provider not in _PROVIDERS:
        return f"provider {config.provider} may read in its own way"
    return None


def _settings_file(repo: Path) -> Path:
    from feast.utils import get_default_yaml_file_path

    return Path(get_default_yaml_file_path(repo)).resolve()


def _refuse_hash_collisions(store: Store, views: Sequence[PlannedView]) -> None:
    """Raise PlanImpossible if a planned feature shares its 32-bit Redis field with another of the same entity."""
    versioned = store.config.registry.enable_online_feature_view_versioning
    for planned in views:
        keys = {key.stored for key in planned.keys}
        fields = _fields_of_entity(store, keys, versioned=versioned)
        for feature in planned.features:
            here = (planned.stored, feature.stored)
            sharing = fields.get(field_hash(*here), {here}) - {here}
            if sharing:
                raise PlanImpossible(
                    f"Features {here} and {sorted(sharing)[0]} share one hash field in Redis; rename one."
                )


def _fields_of_entity(store: Store, keys: set[str], *, versioned: bool) -> Mapping[bytes, set[tuple[str, str]]]:
    from feast.infra.online_stores.helpers import compute_versioned_name

    fields: dict[bytes, set[tuple[str, str]]] = {}
    for view in store.list_feature_views(allow_cache=True):
        if {column.name for column in view.entity_columns} == keys:
            stored = compute_versioned_name(view, versioned)
            for feature in view.features:
                fields.setdefault(field_hash(stored, feature.name), set()).add((stored, feature.name))
    return fields


def reread_by_sdk(plan: FeaturePlan, repo_path: str | Path, reason: str) -> FeaturePlan:
    """The same features, read through the SDK: for comparing, and for a plan found wrong."""
    return seal(replace(plan, tier="sdk", location=str(Path(repo_path).resolve()), reason=reason))
