"""Training-serving skew and a silent label source, end to end: a real Feast store that serves what training never saw.

``ratio`` is written to the online store as a percentage where the offline store has a share; ``count`` is the same on
both sides.
"""

import json
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from gateway.adapters.models.joblib_folder import save
from gateway.core.deployments import Field, Type
from tests.alert_target import Target
from tests.e2e.harness import Gateway, until

NAME = "risk"
USERS = range(1, 41)
INPUTS = (Field("ratio", Type.NUMBER), Field("count", Type.INTEGER), Field("amount", Type.NUMBER, example=3.0))
pytestmark = pytest.mark.timeout(240)  # the offline store is asked in a process of its own, on a busy machine


def feast_repository(repo: Path) -> None:
    """A view whose offline file says one thing and whose online store another, for all users, since an hour ago."""
    from feast import Entity, FeatureService, FeatureStore, FeatureView, FileSource, ValueType
    from feast import Field as Column
    from feast.types import Float64, Int64

    repo.mkdir()
    written = datetime.now(UTC) - timedelta(hours=1)
    random = Random(4)
    rows = pd.DataFrame(
        {
            "user_id": list(USERS),
            "ratio": [random.uniform(0.1, 0.9) for _ in USERS],
            "count": [random.randrange(1, 20) for _ in USERS],
            "event_timestamp": written,
        }
    )
    rows.to_parquet(repo / "stats.parquet")
    (repo / "feature_store.yaml").write_text(
        "project: risk\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
        "offline_store: {type: file}\nonline_store: {type: sqlite, path: online.db}\n"
    )
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    columns = {"user_id": Int64, "ratio": Float64, "count": Int64}
    stats = FeatureView(
        name="stats",
        entities=[user],
        ttl=timedelta(days=1),
        schema=[Column(name=name, dtype=kind) for name, kind in columns.items()],
        source=FileSource(name="stats_source", path="stats.parquet", timestamp_field="event_timestamp"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Feast's, about its own parts
        store = FeatureStore(repo_path=str(repo))
        store.apply([user, stats, FeatureService(name="risk_v1", features=[stats])])
        store.write_to_online_store("stats", rows.assign(ratio=rows["ratio"] * 100.0))


@pytest.fixture
def target() -> Iterator[Target]:
    made = Target()
    yield made
    made.close()


@pytest.fixture
def gateway(tmp_path: Path, target: Target) -> Iterator[Gateway]:
    random = np.random.default_rng(1)
    rows = random.uniform(0.0, 1.0, (200, 3))
    model = LogisticRegression().fit(rows, (rows[:, 2] > 0.5).astype(int))
    save(tmp_path / "models", NAME, "1", model, feature_service="risk_v1", inputs=INPUTS)
    feast_repository(tmp_path / "repo")
    drift = {"skew_every": "2s", "skew_sample": 50, "label_silence": "3s"}
    gateway = Gateway(
        tmp_path,
        {
            "registry": f"joblib:{tmp_path / 'models'}",
            "features": str(tmp_path / "repo"),
            "alerts": {"targets": [target.url], "group": "100ms", "link": "https://room.example"},
            "deployments": {NAME: {"stable": f"models:/{NAME}/1", "drift": drift}},
        },
    )
    try:
        yield gateway.start()
    finally:
        gateway.close()


def serve(gateway: Gateway) -> list[str]:
    """A request of every user; returns the ids."""
    body = {"instances": [{"entities": {"user_id": user}, "features": {"amount": 0.4}} for user in USERS]}
    answer = gateway.data.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    return [one["prediction_id"] for one in answer.json()["predictions"]]


def skew(gateway: Gateway) -> dict[str, Any] | None:
    """The comparison, once there is one: requests go on meanwhile."""
    serve(gateway)
    found: dict[str, Any] = gateway.control.get(f"/admin/deployments/{NAME}/drift").json()["skew"]
    return found if found["features"] else None


def told(target: Target, kind: str) -> str | None:
    """The first message to people that says so."""
    return next((json.dumps(one) for one in target.heard if kind in json.dumps(one)), None)


def test_a_served_mistake_is_found_counted_and_told_and_so_is_a_source_that_falls_silent(
    gateway: Gateway, target: Target
) -> None:
    items = [{"prediction_id": one, "outcome": 1} for one in serve(gateway)]
    assert gateway.tell(*items).status_code == 202

    found = until(partial(skew, gateway), 120.0, every_s=0.3)
    assert (found["trouble"], found["rows"]) == ("", 50)
    shares = {line["feature"]: line["share"] for line in found["features"]}
    assert shares == {"ratio": 1.0, "count": 0.0}
    series = f'{{deployment="{NAME}",feature="ratio"}}'
    assert until(lambda: gateway.sample("gateway_drift_skew").get(series) == 1.0, 20.0)
    assert "https://room.example" in until(lambda: told(target, "ratio: 100.0% of 50 served values"), 20.0)

    assert "https://room.example" in until(lambda: told(target, "no outcome came for"), 30.0)
    timeline = gateway.control.get(f"/admin/deployments/{NAME}/timeline").json()["decisions"]
    assert {"skew", "labels_stopped"} <= {line["action"] for line in timeline}
    counts = gateway.sample("gateway_alerts_total")
    assert counts['{became="sent",kind="data_quality"}'] == counts['{became="sent",kind="labels_stopped"}'] == 1.0
