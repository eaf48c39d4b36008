"""Stored features and data time, sentence by sentence: a running gateway over a real Feast repository, under replay."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from gateway.adapters.models.joblib_folder import save
from gateway.core.deployments import Field, Type
from tests.e2e.contract import answer, ask, deployment, in_force, pointers, problem, record
from tests.e2e.harness import Gateway, until
from tests.feast_sandbox import T0, FeastSandbox

pytest_plugins = ["tests.feast_sandbox"]

INPUTS = (Field("ratio", Type.NUMBER), Field("count", Type.INTEGER), Field("age", Type.NUMBER))
FALLBACKS: dict[str, dict[str, object]] = {"ratio": {"default": 0.5}, "count": {"default": 1}}
KNOWN, NULL, NOBODY = 7, 40, 999
"""Users: one with values of T0, one whose values are null, one without a row."""
DAY = 86_400.0
"""How long a value is fresh: the view's TTL, in seconds."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, sqlite_repo: FeastSandbox) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gw")
    random = np.random.default_rng(3)
    rows = np.column_stack([random.uniform(0, 1, 200), random.integers(0, 9, 200), random.uniform(0, 60, 200)])
    model = LogisticRegression(max_iter=1_000).fit(rows, (rows[:, 2] > 30.0).astype(int))
    save(folder / "models", "risk", "1", model, feature_service="small", inputs=INPUTS)
    required: dict[str, object] = {"on_missing": "error", "on_stale": "error", "on_unavailable": "error"}
    strict = {name: said | required for name, said in FALLBACKS.items()}
    config = {
        "registry": f"joblib:{folder / 'models'}",
        "features": str(sqlite_repo.path),
        "clock": "replay",
        "deployments": {
            "risk": deployment("models:/risk/1", default=True, features=FALLBACKS, features_budget="500ms"),
            "strict": deployment("models:/risk/1", features=strict, features_budget="500ms"),
        },
    }
    gateway = Gateway(folder, config).start()
    try:
        for name in config["deployments"]:
            until(lambda name=name: gateway.control.get(f"/admin/deployments/{name}").status_code == 200, 30.0)  # type: ignore[misc]
            until(lambda name=name: in_force(gateway, name), 10.0)  # type: ignore[misc]
        yield gateway
    finally:
        gateway.close()


def body(user: int, **said: Any) -> dict[str, Any]:
    return {"entities": {"user_id": user}, "features": {"age": 40.0}, **said}


def at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def test_features_are_read_by_entity_key_and_explained_with_their_age(gateway: Gateway) -> None:
    said = answer(gateway, body=body(KNOWN), X_Event_Time=at(T0 + 60), X_Explain="1")
    assert (said["degraded"], said["logged"]) == ([], True)
    explain = said["explain"]
    assert explain["features"] == {"ratio": 0.25, "count": 3, "user_id": KNOWN, "age": 40.0}
    assert explain["feature_ages_s"] == pytest.approx({"ratio": 60.0, "count": 60.0})
    assert explain["timings_ms"]["features"] > 0.0
    kept = record(gateway, said["prediction_id"])
    assert kept["at"] == T0 + 60
    assert kept["features"]["ratio"] == {"value": 0.25, "status": "present", "event_time": T0}


@pytest.mark.parametrize(
    ("user", "later_s", "status"),
    [(NOBODY, 60.0, "missing"), (NULL, 60.0, "null"), (KNOWN, DAY + 60.0, "stale")],
)
def test_degraded_names_each_feature_served_by_its_declared_fallback(
    gateway: Gateway, user: int, later_s: float, status: str
) -> None:
    said = answer(gateway, body=body(user), X_Event_Time=at(T0 + later_s), X_Explain="1")
    assert sorted(said["degraded"]) == ["count", "ratio"]
    assert (said["explain"]["features"]["ratio"], said["explain"]["features"]["count"]) == (0.5, 1)
    kept = record(gateway, said["prediction_id"])
    assert kept["degraded"] is True
    assert kept["features"]["ratio"]["status"] == status
    counted = gateway.sample("gateway_features_degraded_total")
    assert counted[f'{{deployment="risk",feature="ratio",status="{status}"}}'] >= 1.0


@pytest.mark.parametrize(("user", "later_s"), [(NOBODY, 60.0), (KNOWN, DAY + 60.0)])
def test_required_features_that_are_not_to_be_had_are_503_with_retry_after(
    gateway: Gateway, user: int, later_s: float
) -> None:
    before = gateway.ledger()["predictions"]["received"]
    response = ask(gateway, "strict", body(user), X_Event_Time=at(T0 + later_s))
    problem(response, 503, "features-unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert gateway.ledger()["predictions"]["received"] == before + 1


def test_a_feature_store_that_is_out_of_reach_degrades_and_only_where_required_refuses(
    gateway: Gateway, sqlite_repo: FeastSandbox
) -> None:
    with closing(sqlite3.connect(sqlite_repo.path / "online.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        said = answer(gateway, body=body(KNOWN), X_Event_Time=at(T0 + 60))
        refused = ask(gateway, "strict", body(KNOWN), X_Event_Time=at(T0 + 60))
        writer.execute("ROLLBACK")
    assert sorted(said["degraded"]) == ["count", "ratio"]
    assert record(gateway, said["prediction_id"])["features"]["ratio"]["status"] == "unavailable"
    problem(refused, 503, "features-unavailable")
    assert answer(gateway, body=body(KNOWN), X_Event_Time=at(T0 + 60))["degraded"] == []


def test_a_served_feature_in_the_body_and_a_missing_or_wrong_entity_are_422(gateway: Gateway) -> None:
    def refused(**said: Any) -> list[str]:
        return pointers(problem(ask(gateway, body=body(KNOWN) | said), 422, "invalid-body"))

    assert refused(features={"age": 40.0, "ratio": 0.5}) == ["/features/ratio"]
    assert refused(entities={}) == ["/entities/user_id"]
    assert refused(entities={"user_id": None}) == ["/entities/user_id"]
    assert refused(entities={"user_id": "7"}) == ["/entities/user_id"]
    assert refused(entities={"user_id": 7.5}) == ["/entities/user_id"]
    assert refused(entities={"user_id": 2**63}) == ["/entities/user_id"]
    assert refused(entities={"user_id": 7, "shoe_size": 42}) == ["/entities"]
    assert refused(features={"age": 40.0, "user_id": 7}) == ["/features/user_id"]


def test_a_batch_reads_each_instance_its_own_features(gateway: Gateway) -> None:
    instances = [body(user) for user in (KNOWN, NOBODY, 0)]
    said = answer(gateway, body={"instances": instances}, X_Event_Time=at(T0 + 60), X_Explain="1")["predictions"]
    assert [one["explain"]["features"]["ratio"] for one in said] == [0.25, 0.5, 0.0]
    assert [bool(one["degraded"]) for one in said] == [False, True, False]


def test_metrics_show_misses_stale_values_and_ages(gateway: Gateway) -> None:
    answer(gateway, body=body(KNOWN), X_Event_Time=at(T0 + 60))
    ages = gateway.sample("gateway_feature_age_seconds_count")
    assert ages['{deployment="risk",view="user_stats"}'] >= 1.0
    answer(gateway, body=body(NOBODY), X_Event_Time=at(T0 + 60))
    answer(gateway, body=body(KNOWN), X_Event_Time=at(T0 + DAY + 60))
    statuses = {
        series.rpartition('status="')[2].strip('"}') for series in gateway.sample("gateway_features_degraded_total")
    }
    assert {"missing", "stale"} <= statuses


def test_the_inputs_name_the_entity_keys_that_features_are_read_by(gateway: Gateway) -> None:
    inputs = gateway.control.get("/admin/deployments/risk").json()["inputs"]
    assert [(one["name"], one["type"], one["required"]) for one in inputs["entities"]] == [("user_id", "integer", True)]
    assert [one["name"] for one in inputs["features"]] == ["age"]
    assert answer(gateway, body=inputs["example"])["deployment"] == "risk"


@pytest.mark.parametrize("said", [at(T0), str(T0), "2026-02-02T02:40:00+00:00"])
def test_x_event_time_is_rfc_3339_or_seconds_since_the_epoch(gateway: Gateway, said: str) -> None:
    ident = answer(gateway, body=body(KNOWN), X_Event_Time=said)["prediction_id"]
    assert record(gateway, ident)["at"] == T0


@pytest.mark.parametrize("said", ["today", "", "2026-02-02T02:40:00", "nan", "1e9", "-"])
def test_an_x_event_time_that_is_no_time_is_400(gateway: Gateway, said: str) -> None:
    problem(ask(gateway, body=body(KNOWN), X_Event_Time=said), 400, "malformed-request")


def test_data_time_is_the_greatest_that_requests_and_outcomes_have_shown(gateway: Gateway) -> None:
    later = T0 + 40 * DAY
    ident = answer(gateway, body=body(KNOWN), X_Event_Time=at(later))["prediction_id"]
    assert record(gateway, answer(gateway, body=body(KNOWN))["prediction_id"])["at"] == later
    told = {"prediction_id": ident, "outcome": 1, "observed_at": at(later + DAY)}
    assert gateway.data.post("/feedback", json=told).status_code == 202
    assert record(gateway, answer(gateway, body=body(KNOWN))["prediction_id"])["at"] == later + DAY
    until(lambda: gateway.sample("gateway_watermark_seconds").get("", 0.0) > later)
    paused = gateway.control.post("/admin/deployments/strict/shadows", json={"model": "models:/risk/1", "name": "v"})
    assert paused.status_code == 201
    assert paused.json()["data_at"] == later + DAY
    assert paused.json()["machine_at"] != paused.json()["data_at"]


def test_openapi_mentions_x_event_time_under_replay(gateway: Gateway) -> None:
    operation = gateway.data.get("/openapi.json").json()["paths"]["/predict"]["post"]
    assert "X-Event-Time" in {each["name"] for each in operation["parameters"]}
