"""Only aliases are moved, in a real MLflow server, and the whole life happens: tried, stable, and out again."""

import logging
import warnings
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from tests.e2e.harness import DEPLOYMENT, INPUTS, Gateway, people, until
from tests.e2e.test_rollouts import GUARDRAILS
from tests.mlflow_server import MlflowServer

PLANS = {"by alias": [{"shadow": 1.0, "events": 20}, {"weight": 0.5, "events": 50}]}
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy",  # SQLAlchemy's, about MLflow's own mappers
    "ignore:.*Any type hint is inferred as AnyType",  # MLflow's, about its own classes, when it is imported
)


def register(seed: int, *, right: bool = True, form: str = "skops") -> None:
    """Log and register the next version, as its author would, in the registry that MLflow was told of."""
    rows, truth = people(seed)
    model = LogisticRegression(max_iter=1_000).fit(rows, truth if right else 1 - truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, to the author of a model
        import mlflow.sklearn
        import pandas as pd
        from mlflow.models import infer_signature

        table = pd.DataFrame(rows, columns=[field.name for field in INPUTS])
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=DEPLOYMENT,
            signature=infer_signature(table, truth),
            input_example=table.head(3),
            pip_requirements=["scikit-learn"],
            metadata={"task": "binary"},
            serialization_format=form,
        )


@pytest.fixture(scope="module")
def client(mlflow_server: MlflowServer) -> Iterator[Any]:
    """The registry with a right model, another right one, a wrong one, and a pickle; the first is champion."""
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(mlflow_server.uri)
    mlflow.set_registry_uri(mlflow_server.uri)  # other tests may have set another one
    mlflow.set_experiment("tests")
    with mlflow.start_run():
        for seed, right in ((1, True), (2, True), (3, False)):
            register(seed, right=right)
        register(4, form="pickle")
    client = mlflow.MlflowClient(mlflow_server.uri, mlflow_server.uri)
    client.set_registered_model_alias(DEPLOYMENT, "champion", "1")
    yield client
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    mlflow_server.start()  # it is stopped in the course of the test, and others may want it


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, mlflow_server: MlflowServer, client: Any) -> Iterator[Gateway]:
    deployment = {
        "stable": f"models:/{DEPLOYMENT}@champion",
        "plans": PLANS,
        "guardrails": GUARDRAILS,
        "follow_aliases": True,
        "gate": {"robustness": {"noise": "5%", "flips": "20%"}},
    }
    config = {"registry": mlflow_server.uri, "registry_every": "200ms", "deployments": {DEPLOYMENT: deployment}}
    gateway = Gateway(tmp_path_factory.mktemp("gw"), config)
    try:
        yield gateway.start()
    finally:
        gateway.close()


def aliases(client: Any) -> dict[str, str]:
    found = client.get_registered_model(DEPLOYMENT).aliases
    return {alias: str(version) for alias, version in found.items()}


def tags(client: Any, version: str) -> dict[str, str]:
    prefix = f"gateway.{DEPLOYMENT}."
    found = client.get_model_version(DEPLOYMENT, version).tags
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


def challenge(gateway: Gateway, client: Any, version: str, random: Random) -> dict[str, Any]:
    """Point ``challenger`` at a version, live on, and say what the timeline says of it in the end."""
    client.set_registered_model_alias(DEPLOYMENT, "challenger", version)

    def look() -> dict[str, Any] | None:
        gateway.live(random)
        lines = gateway.timeline()
        start = next(
            (line for line in lines if line["action"] == "start" and f"version {version}" in line["reason"]), None
        )
        ends = [line for line in lines if line["action"] in ("promote", "demote")]
        return ends[0] if start and ends and ends[0]["revision"] > start["revision"] else None

    return until(look, 60.0)


def test_only_aliases_are_moved_and_the_whole_life_happens(
    gateway: Gateway, client: Any, mlflow_server: MlflowServer
) -> None:
    assert gateway.predict()["model_version"] == "1"

    promoted = challenge(gateway, client, "2", Random(1))
    assert (promoted["action"], promoted["actor"]) == ("promote", "judge")
    until(lambda: aliases(client) == {"champion": "2"}, 15.0)
    said = tags(client, "2")
    assert (said["decision"], said["rule"]) == ("promoted", "judge, plan by alias")
    assert {"decided_at", "data_time", "reason", "revision", "evidence"} <= said.keys()
    until(lambda: gateway.predict()["model_version"] == "2", 5.0)
    start = next(line for line in gateway.timeline() if line["action"] == "start")
    passed = {gate["gate"]: gate["passed"] for gate in start["evidence"]["gates"]}
    assert passed == dict.fromkeys(("schema", "golden", "latency", "memory", "robustness"), True)

    demoted = challenge(gateway, client, "3", Random(2))
    assert (demoted["action"], demoted["actor"]) == ("demote", "judge")
    until(lambda: aliases(client) == {"champion": "2"}, 15.0)
    assert tags(client, "3")["decision"] == "demoted"
    assert "accuracy" in tags(client, "3")["reason"]

    client.set_registered_model_alias(DEPLOYMENT, "challenger", "3")
    until(lambda: aliases(client) == {"champion": "2"}, 15.0)
    assert tags(client, "3")["decision"] == "refused"
    assert "stays out until" in tags(client, "3")["reason"]

    stages = {version.current_stage for version in client.search_model_versions(f"name='{DEPLOYMENT}'")}
    assert stages == {"None"}  # nobody uses them

    client.set_registered_model_alias(DEPLOYMENT, "challenger", "4")
    until(lambda: tags(client, "4").get("decision") == "refused" and "reason" in tags(client, "4"), 30.0)
    assert "is a pickle" in tags(client, "4")["reason"]
    until(lambda: aliases(client) == {"champion": "2"}, 15.0)

    mlflow_server.close()
    assert {gateway.predict()["model_version"] for _ in range(20)} == {"2"}
    gateway.control.post(f"/admin/deployments/{DEPLOYMENT}/rollback", json={"reason": "for the test"})
    until(lambda: gateway.predict()["model_version"] == "1", 5.0)
    mlflow_server.start()
    until(lambda: aliases(client) == {"champion": "1"}, 20.0)
    assert tags(client, "1")["decision"] == "restored"
