"""The same life by aliases alone where there is no server: MLflow's plain file store, and a folder of joblib files."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.e2e.harness import DEPLOYMENT, Gateway, train, until
from tests.e2e.test_aliases import PLANS, aliases, challenge, register, tags
from tests.e2e.test_rollouts import GUARDRAILS

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*Any type hint is inferred as AnyType",  # MLflow's, about its own classes, when it is imported
    ),
    pytest.mark.timeout(300),
]


class JoblibClient:
    """What an author does to such a folder, by the names of MLflow's client: files replaced whole, as the docs say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / DEPLOYMENT

    def set_registered_model_alias(self, _: str, alias: str, version: str) -> None:
        unfinished = self.folder / "aliases.json.new"
        unfinished.write_text(json.dumps({**self.get_registered_model(_).aliases, alias: version}))
        unfinished.replace(self.folder / "aliases.json")

    def get_registered_model(self, _: str) -> Any:
        path = self.folder / "aliases.json"
        return type("Model", (), {"aliases": json.loads(path.read_text()) if path.exists() else {}})

    def get_model_version(self, _: str, version: str) -> Any:
        path = self.folder / "tags.json"
        return type("Version", (), {"tags": json.loads(path.read_text()).get(version, {}) if path.exists() else {}})


@dataclass(frozen=True)
class Registry:
    """Where it is, and its author's client."""

    setting: str
    client: Any


def files(folder: Path) -> Iterator[Registry]:
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the author's word; the gateway needs none
        where = str(folder / "mlruns")
        mlflow.set_tracking_uri(where)
        mlflow.set_registry_uri(where)
        mlflow.set_experiment("tests")
        with mlflow.start_run():
            for seed, right in ((1, True), (2, True), (3, False)):
                register(seed, right=right)
        yield Registry(f"mlflow:{where}", mlflow.MlflowClient(where, where))
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


def joblib(folder: Path) -> Iterator[Registry]:
    for version, right in (("1", True), ("2", True), ("3", False)):
        train(folder, version, right=right)
    yield Registry(f"joblib:{folder}", JoblibClient(folder))


MAKERS: dict[str, Callable[[Path], Iterator[Registry]]] = {"mlflow's file store": files, "joblib files": joblib}


@pytest.fixture(scope="module", params=MAKERS)
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    yield from MAKERS[request.param](tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def gateway(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    registry.client.set_registered_model_alias(DEPLOYMENT, "champion", "1")
    deployment = {
        "stable": f"models:/{DEPLOYMENT}@champion",
        "plans": PLANS,
        "guardrails": GUARDRAILS,
        "follow_aliases": True,
    }
    config = {"registry": registry.setting, "registry_every": "200ms", "deployments": {DEPLOYMENT: deployment}}
    gateway = Gateway(tmp_path_factory.mktemp("gw"), config)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
            gateway.start()
        yield gateway
    finally:
        gateway.close()


def test_only_aliases_are_moved_and_the_whole_life_happens(gateway: Gateway, registry: Registry) -> None:
    client = registry.client
    promoted = challenge(gateway, client, "2", Random(1))
    assert (promoted["action"], promoted["actor"]) == ("promote", "judge")
    until(lambda: aliases(client) == {"champion": "2"}, 15.0)
    assert (tags(client, "2")["decision"], tags(client, "2")["rule"]) == ("promoted", "judge, plan by alias")
    until(lambda: gateway.predict()["model_version"] == "2", 5.0)

    demoted = challenge(gateway, client, "3", Random(2))
    assert (demoted["action"], demoted["actor"]) == ("demote", "judge")
    until(lambda: aliases(client) == {"champion": "2"}, 15.0)
    assert tags(client, "3")["decision"] == "demoted"
    assert "accuracy" in tags(client, "3")["reason"]

    place = Path(registry.setting.partition(":")[2])
    place.rename(place.with_name("away"))
    assert {gateway.predict()["model_version"] for _ in range(20)} == {"2"}
    gateway.control.post(f"/admin/deployments/{DEPLOYMENT}/rollback", json={"reason": "for the test"})
    until(lambda: gateway.predict()["model_version"] == "1", 5.0)
    place.with_name("away").rename(place)
    until(lambda: aliases(client) == {"champion": "1"}, 20.0)
    assert tags(client, "1")["decision"] == "restored"
