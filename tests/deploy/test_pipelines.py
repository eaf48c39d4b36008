"""The pipelines that release a model: their files are what GitHub and GitLab take, their script works on a registry."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.promql import DEPLOY
from tests.deploy.test_compose import schema
from tests.mlflow_server import MlflowServer

SCRIPT = DEPLOY / "ci" / "release_model.py"
GITHUB = DEPLOY / "ci" / "github" / "release-model.yml"
GITLAB = DEPLOY / "ci" / "gitlab" / "release-model.gitlab-ci.yml"


def read(path: Path) -> dict[str, Any]:
    """YAML 1.2 has no ``on`` for true; PyYAML speaks 1.1."""
    said: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in said.items()}


def test_github_takes_the_workflow() -> None:
    jsonschema.Draft7Validator(schema("github-workflows")).validate(read(GITHUB))


def test_gitlab_takes_the_pipeline() -> None:
    jsonschema.Draft7Validator(schema("gitlab-ci")).validate(read(GITLAB))


def test_zizmor_finds_no_way_into_the_workflow() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    done = subprocess.run([zizmor, "--offline", "--no-progress", str(GITHUB)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_call_the_script_as_it_is() -> None:
    for path in (GITHUB, GITLAB):
        for line in path.read_text().splitlines():
            _, found, words = line.partition("release_model.py ")
            if found and not line.lstrip().startswith("#"):
                command = ["-h" if word == "" else word for word in words.strip().rstrip(')"').split()]
                flags = {word for word in command if word.startswith("--")}
                usage = subprocess.run(
                    [sys.executable, str(SCRIPT), command[0], "--help"], capture_output=True, text=True, check=True
                ).stdout
                assert {flag for flag in flags if flag not in usage} == set(), (path.name, command)


@pytest.fixture(scope="module")
def release() -> Any:
    loader = SourceFileLoader("release_model", str(SCRIPT))
    spec = spec_from_loader("release_model", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)


def test_a_model_is_registered_once_however_often_it_is_said(release: Any, client: Any, tmp_path: Path) -> None:
    first = release.register(client, "once", str(tmp_path / "a"), "challenger", "c1")
    again = release.register(client, "once", str(tmp_path / "a"), "challenger", "c1")
    other = release.register(client, "once", str(tmp_path / "b"), "challenger", "c2")
    assert (first, again, other) == ("1", "1", "2")
    assert str(client.get_model_version_by_alias("once", "challenger").version) == "2"


def test_what_mlflow_logs_is_registered_by_its_own_id_and_by_its_run(release: Any, mlflow_server: MlflowServer) -> None:
    import mlflow
    from sklearn.linear_model import LogisticRegression

    mlflow.set_tracking_uri(mlflow_server.uri)
    mlflow.set_registry_uri(mlflow_server.uri)
    try:
        mlflow.set_experiment("pipelines")
        with warnings.catch_warnings(), mlflow.start_run() as run:
            warnings.simplefilter("ignore")  # MLflow's, to the author of a model
            model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
            logged = mlflow.sklearn.log_model(model, name="model", pip_requirements=["scikit-learn"])
        client = mlflow.MlflowClient()
        for source in (logged.model_uri, f"runs:/{run.info.run_id}/model"):
            version = release.register(client, "logged", source, None, source)
            assert client.get_model_version("logged", version).run_id == run.info.run_id
            assert logged.model_id in client.get_model_version_download_uri("logged", version)
    finally:
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


def test_an_alias_moves_only_from_where_it_is_believed_to_be(release: Any, client: Any, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        release.register(client, "moved", str(tmp_path / name), None, None)
    assert release.move(client, "moved", "1", "champion", None) is None
    assert release.move(client, "moved", "2", "champion", "1") == "1"
    assert release.move(client, "moved", "2", "champion", "1") == "2"  # a pipeline that is run again
    with pytest.raises(ValueError, match="champion of moved is at version 2, not at 1: somebody moved it"):
        release.move(client, "moved", "3", "champion", "1")
    assert str(client.get_model_version_by_alias("moved", "champion").version) == "2"
