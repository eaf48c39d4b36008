"""The example's feature store, as Feast sees it: made, filled, and opened for serving or for training."""

import contextlib
import importlib.util
import io
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pandas as pd
import yaml
from feast import Entity, FeatureService, FeatureStore, FeatureView

from models.flights.data import ENTITIES, REQUEST_FEATURES, save
from models.flights.feed import VIEWS, publications
from models.flights.layout import Layout

SERVICE = "flights_v2"
_FIRST_MOMENT = datetime(2013, 1, 1, tzinfo=UTC)


def serving_store(layout: Layout) -> FeatureStore:
    """Open the repository as it stands."""
    return FeatureStore(repo_path=str(layout.feature_repo))


def training_store(layout: Layout) -> FeatureStore:
    """Open the repository with the as-of join for its past; see :mod:`models.flights.asof`."""
    settings = yaml.safe_load((layout.feature_repo / "feature_store.yaml").read_text(encoding="utf-8"))
    settings["offline_store"] = {"type": "models.flights.asof.AsOfOfflineStore"}
    training = layout.feast / "training_store.yaml"
    training.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return FeatureStore(repo_path=str(layout.feature_repo), fs_yaml_file=training)


def write_offline(layout: Layout) -> dict[str, int]:
    """Write every view's whole past as Parquet; returns rows by view."""
    flights, weather = pd.read_parquet(layout.flights), pd.read_parquet(layout.weather)
    rows: dict[str, list[tuple[object, ...]]] = {view: [] for view in VIEWS}
    for publication in publications(flights, weather):
        for view, changed in publication.rows.items():
            rows[view].extend((publication.at, *key, *values) for key, values in changed.items())
    for view, shape in VIEWS.items():
        table = pd.DataFrame(rows[view], columns=["event_timestamp", *shape.keys, *shape.values])
        table["event_timestamp"] = pd.to_datetime(table["event_timestamp"], unit="s", utc=True)
        save(table, layout.offline / f"{view}.parquet")
    return {view: len(found) for view, found in rows.items()}


def apply(layout: Layout) -> None:
    """Register the repository's definitions: what ``feast apply`` does, without its second process."""
    definitions = _definitions(layout.feature_repo / "definitions.py")
    kinds = (Entity, FeatureView, FeatureService)
    with contextlib.redirect_stdout(io.StringIO()):
        serving_store(layout).apply([thing for thing in vars(definitions).values() if isinstance(thing, kinds)])


def materialize(layout: Layout, until: float) -> None:
    """Empty the online store, and fill it with every key's latest row at data time ``until`` (seconds).

    A SQLite store is put into WAL mode, once and for good: otherwise every write locks the gateway's reads out.
    """
    _empty_online_store(layout)
    store = serving_store(layout)
    if store.config.online_store.type == "sqlite":
        with contextlib.closing(sqlite3.connect(layout.online_store)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        store.materialize(_FIRST_MOMENT, datetime.fromtimestamp(until, UTC))
    layout.remember_written(int(until))


def training_frame(layout: Layout, flights: pd.DataFrame) -> pd.DataFrame:
    """Add to flights what the online store would have said at their scheduled departure. Order is kept."""
    store = training_store(layout)
    asked = flights[[*ENTITIES, *REQUEST_FEATURES, "flight_id", "month", "late"]].copy()
    asked["event_timestamp"] = pd.to_datetime(asked["sched_dep_at"], unit="s", utc=True)
    frame: pd.DataFrame = store.get_historical_features(asked, store.get_feature_service(SERVICE)).to_df()
    return frame


def _empty_online_store(layout: Layout) -> None:
    """Take everything out: a store that skips older rows, as Redis does, could not be set back otherwise."""
    layout.cursor.unlink(missing_ok=True)
    apply(layout)
    serving_store(layout).teardown()
    for leftover in layout.online_store.parent.glob(f"{layout.online_store.name}-*"):
        leftover.unlink()
    apply(layout)


def _definitions(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("flights_definitions", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"No feature definitions at {path}.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
