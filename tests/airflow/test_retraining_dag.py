"""The Airflow DAG, executed by a real Airflow against a real gateway and a real MLflow registry.

People grow older than in training; the gateway sees the drift; the DAG exports the joined log, trains on it, registers
what it trained and points ``challenger`` at it; and the gateway, which follows aliases, begins its rollout. At first a
command of Airflow's runs the DAG; in the end Airflow serves, and the gateway starts a run through its REST API.
"""

import json
import sys
import threading
import warnings
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.adapters.models.profile import encode_profile
from gateway.adapters.retraining.webhook import WebhookTarget
from gateway.core.drift.making import made
from gateway.core.errors import TargetFailed
from gateway.core.retraining.terms import Target, TargetKind
from gateway.ports import Order
from tests.airflow.conftest import DAGS, PASSWORD, ROOT, USER, Airflow, free_port, serving
from tests.e2e.harness import DEPLOYMENT, Gateway, people, until
from tests.mlflow_server import MlflowServer

TICK_S, MARCH_S = 600.0, 1_362_132_000.0
FEATURES = ("age", "visits")
RETRAINING = f"/admin/deployments/{DEPLOYMENT}/retraining"
SECRET = "AIRFLOW_PASSWORD"
STEPS = ("drift_check", "export", "train", "register", "alias", "tell_success")

pytestmark = [
    pytest.mark.timeout(3_600),  # Airflow takes ten seconds to begin anything, on a machine with time
    pytest.mark.filterwarnings(
        "ignore:The ``noload`` loader strategy",  # SQLAlchemy's, about MLflow's own mappers
        "ignore:.*Any type hint is inferred as AnyType",  # MLflow's, about its own classes, when it is imported
    ),
]


class Callback:
    """Where an order says that a run's end is to be told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        callback = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                callback.told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/end"


@pytest.fixture
def callback() -> Iterator[Callback]:
    made = Callback()
    yield made
    made.server.shutdown()
    made.server.server_close()


def first_version(server: MlflowServer, folder: Path) -> Any:
    """Register a model of people between 0 and 60 with its profile, and make it champion."""
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    mlflow.set_tracking_uri(server.uri)
    mlflow.set_registry_uri(server.uri)
    mlflow.set_experiment("first")
    rows, truth = people(1)
    random = Random(5)
    profile = made(
        {
            "age": [random.uniform(0.0, 60.0) for _ in range(20_000)],
            "visits": [random.randrange(10) for _ in range(20_000)],
        }
    )
    (folder / "profile.json").write_bytes(encode_profile(profile))
    client = mlflow.MlflowClient(server.uri, server.uri)
    table = pd.DataFrame(rows, columns=list(FEATURES))
    with warnings.catch_warnings(), mlflow.start_run():
        warnings.simplefilter("ignore")  # MLflow's, to the author of a model
        logged = mlflow.sklearn.log_model(
            LogisticRegression(max_iter=1_000).fit(table, truth),
            name="model",
            signature=infer_signature(table, truth),
            input_example=table.head(1),
            metadata={"task": "binary"},
            pip_requirements=["scikit-learn"],
        )
        client.log_model_artifacts(logged.model_id, str(folder))
    client.create_registered_model(DEPLOYMENT)
    version = client.create_model_version(DEPLOYMENT, logged.model_uri, model_id=logged.model_id)
    client.set_registered_model_alias(DEPLOYMENT, "champion", version.version)
    return client


@pytest.fixture(scope="module")
def client(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    import mlflow

    yield first_version(mlflow_server, tmp_path_factory.mktemp("profile"))
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


@pytest.fixture(scope="module")
def gateway(
    airflow: Airflow, client: Any, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder, port = tmp_path_factory.mktemp("gw"), free_port()
    target = {
        "airflow": {"url": airflow.url, "dag": "gateway_retraining", "user": USER, "token": SECRET},
        "callback": f"http://127.0.0.1:{port}",
        "export": str(folder / "lake"),
        "backoff": "1s",
    }
    deployment = {
        "stable": f"models:/{DEPLOYMENT}@champion",
        "follow_aliases": True,
        "guardrails": ["error_rate", "accuracy"],
        "plans": {"by alias": [{"shadow": 1.0, "events": 1_000_000}]},
        "retraining": {"target": target},
    }
    config = {
        "registry": mlflow_server.uri,
        "registry_every": "200ms",
        "clock": "replay",
        "control_port": port,
        "deployments": {DEPLOYMENT: deployment},
    }
    gateway = Gateway(folder, config)
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(SECRET, PASSWORD)
            gateway.start(ready=False)
        until(gateway.is_ready, 180.0)
        airflow.said.update(variables(gateway, mlflow_server))
        yield gateway
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def airflow_server(airflow: Airflow, gateway: Gateway) -> Iterator[Airflow]:
    """Airflow that serves, knowing where the gateway is."""
    with serving(airflow):
        yield airflow


def variables(gateway: Gateway, server: MlflowServer) -> dict[str, str]:
    """The variable and the connection, as an operator sets them."""
    said = {
        "deployment": DEPLOYMENT,
        "train": [sys.executable, str(DAGS / "train.py"), "--features", ",".join(FEATURES)],
        "export": str(gateway.folder / "lake"),
        "tracking": server.uri,
        "python": sys.executable,
        "folder": str(ROOT),
        "config": str(gateway.folder / "gateway.yaml"),
    }
    host, port = str(gateway.control.base_url.host), gateway.control.base_url.port
    connection = {"conn_type": "http", "host": host, "port": port, "schema": "http"}
    return {
        "AIRFLOW_VAR_GATEWAY_RETRAINING": json.dumps(said),
        "AIRFLOW_CONN_GATEWAY": json.dumps(connection),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def serve(gateway: Gateway, random: Random, tick: int, lowest: float) -> None:
    """A tick of people from ``lowest`` to 60 years, each with the truth right behind."""
    rows = [{"age": random.uniform(lowest, 60.0), "visits": float(random.randrange(10))} for _ in range(150)]
    header = {"X-Event-Time": str(MARCH_S + tick * TICK_S + 1.0)}
    answer = gateway.data.post("/predict", json={"instances": [{"features": one} for one in rows]}, headers=header)
    assert answer.status_code == 200, answer.text
    items = [
        {"prediction_id": one["prediction_id"], "outcome": int(row["age"] > 45.0)}
        for one, row in zip(answer.json()["predictions"], rows, strict=True)
    ]
    assert gateway.data.post("/feedback", json={"items": items}, headers=header).status_code == 202


def cause(gateway: Gateway, wanted: str) -> bool:
    """Whether the gateway says so of the drift, having looked at all but the last tick."""
    found = gateway.control.get(f"/admin/deployments/{DEPLOYMENT}/drift").json()
    return bool(found["watches"][0]["until"]) and found["cause"] == wanted


def versions(client: Any) -> list[str]:
    return sorted(str(each.version) for each in client.search_model_versions(f"name = '{DEPLOYMENT}'"))


def test_airflow_imports_the_dag_and_knows_its_steps(airflow: Airflow, gateway: Gateway) -> None:
    assert "No data found" in airflow("dags", "list-import-errors")
    found = airflow("tasks", "list", "gateway_retraining").split()
    assert set(STEPS) | {"tell_failure"} <= set(found)


def test_without_drift_nothing_is_trained(airflow: Airflow, gateway: Gateway, client: Any) -> None:
    random = Random(6)
    for tick in range(3):
        serve(gateway, random, tick, 0.0)
    until(partial(cause, gateway, "none"), 60.0)
    done = airflow.run({})
    assert f"{DEPLOYMENT}: none; no alarm stands" in done.stdout
    assert airflow.states() == {
        "drift_check": "success",
        **dict.fromkeys((*STEPS[1:], "tell_failure"), "skipped"),
    }
    assert versions(client) == ["1"]


def test_drift_is_answered_by_a_new_version_whose_rollout_the_gateway_begins(
    airflow: Airflow, gateway: Gateway, client: Any
) -> None:
    random = Random(7)
    for tick in range(3, 12):
        serve(gateway, random, tick, 30.0)
    until(partial(cause, gateway, "data"), 60.0)
    done = airflow.run({})
    assert airflow.states() == {**dict.fromkeys(STEPS, "success"), "tell_failure": "skipped"}, done.stdout
    assert "age moved up" in done.stdout
    assert versions(client) == ["1", "2"]
    candidate = until(partial(gateway.variant, "challenger"), 60.0)
    assert candidate["model_version"] == "2"
    carried = gateway.control.get(f"/admin/deployments/{DEPLOYMENT}/drift").json()["watches"]
    assert all(watch["trouble"] == "" for watch in carried)  # the new version brings its own reference


def test_an_order_of_the_gateway_is_carried_out_once_and_its_end_is_told(
    airflow: Airflow, gateway: Gateway, client: Any, callback: Callback
) -> None:
    order = {
        "run_id": "drift-3c2d7d2b",
        "deployment": DEPLOYMENT,
        "trigger": "drift",
        "cause": "age moved up",
        "attempt": 1,
        "export": str(gateway.folder / "lake"),  # the gateway exported before it called
        "callback": callback.url,
    }
    for _ in range(2):
        done = airflow.run(order)
        assert airflow.states() == {**dict.fromkeys(STEPS, "success"), "tell_failure": "skipped"}, done.stdout
    assert "the gateway asks for it (drift: age moved up)" in done.stdout
    assert "the gateway exported to" in done.stdout
    assert versions(client) == ["1", "2", "3"]  # and no fourth: the same run trains once
    assert [one["result"] for one in callback.told] == ["succeeded", "succeeded"]
    assert "challenger of churn: " in callback.told[0]["said"]


def test_a_step_that_fails_is_told_to_the_gateway(airflow: Airflow, gateway: Gateway, callback: Callback) -> None:
    order = {"run_id": "drift-0", "deployment": "nobody", "export": "/nowhere", "callback": callback.url}
    airflow.run(order)
    states = airflow.states()
    assert (states["train"], states["tell_success"], states["tell_failure"]) == ("failed", "upstream_failed", "success")
    assert [one["result"] for one in callback.told] == ["failed"]


def told(gateway: Gateway, run_id: str) -> dict[str, Any] | None:
    """The run as operators see it, once it has ended."""
    runs: list[dict[str, Any]] = gateway.control.get(RETRAINING).json()["runs"]
    return next((one for one in runs if one["id"] == run_id and one["ended_at"] is not None), None)


def test_the_gateway_starts_a_dag_run_by_rest_and_hears_how_it_ended(
    airflow_server: Airflow, gateway: Gateway, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(8)
    for tick in range(12, 18):
        serve(gateway, random, tick, 0.0)
    before, wish = versions(client), {"key": "ticket-812", "reason": "a new airline begins to fly"}
    asked = gateway.control.post(RETRAINING, json=wish)
    assert asked.status_code == 201, asked.text
    run_id = asked.json()["id"]
    assert gateway.control.post(RETRAINING, json=wish).status_code == 200  # the same wish, the same run

    run = until(partial(told, gateway, run_id), 1_800.0, 0.5)
    assert (run["phase"], run["attempt"]) == ("succeeded", 1), run
    assert run["said"].startswith(f"challenger of {DEPLOYMENT}: ")
    assert len(versions(client)) == len(before) + 1
    page = f"/dags/gateway_retraining/runs/{run_id}"
    assert run["link"] == airflow_server.url.removesuffix("/api/v2") + page
    steps = [line["action"] for line in gateway.timeline() if line["evidence"].get("run") == run_id]
    assert steps == ["retrained", "retraining_accepted", "retraining_called", "retrain"]

    def is_over() -> bool:
        return runs_of(airflow_server, run_id) == [("success", "REST_API", USER)]

    until(is_over, 300.0, 0.5)  # the callback is not the last thing that Airflow writes down
    monkeypatch.setenv(SECRET, PASSWORD)
    again = WebhookTarget(airflow_target(airflow_server)).call(order(run_id, attempt=2))  # as after a crash in between
    assert (again.ended, again.link) == (False, run["link"])
    assert runs_of(airflow_server, run_id) == [("success", "REST_API", USER)]


@pytest.mark.parametrize(
    ("wrong", "password", "answers"),
    [({}, "a guess", 401), ({"user": ""}, "no token", 403), ({"place": "nobodys_dag"}, PASSWORD, 404)],
)
def test_what_airflow_refuses_is_a_failed_call_that_says_the_status(
    airflow_server: Airflow, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], password: str, answers: int
) -> None:
    monkeypatch.setenv(SECRET, password)
    with pytest.raises(TargetFailed, match=f"airflow did not take it: It answers {answers}"):
        WebhookTarget(airflow_target(airflow_server, **wrong)).call(order("refused"))
    assert runs_of(airflow_server, "refused") == []


def airflow_target(airflow: Airflow, **fields: str) -> Target:
    said: dict[str, Any] = {"url": airflow.url, "place": "gateway_retraining", "user": USER, "secret": SECRET, **fields}
    return Target(TargetKind.AIRFLOW, **said)


def order(run_id: str, attempt: int = 1) -> Order:
    return Order(run_id, DEPLOYMENT, "asked", "by hand", attempt, "", "")


def runs_of(airflow: Airflow, run_id: str) -> list[tuple[Any, ...]]:
    """Every DAG run of that id: its state, what started it, and who."""
    return airflow.rows("SELECT state, triggered_by, triggering_user_name FROM dag_run WHERE run_id = ?", run_id)
