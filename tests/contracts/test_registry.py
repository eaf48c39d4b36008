"""Every registry keeps its pointers and notes the same way. MLflow's are the real ones: a server, and a file store."""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.adapters.models import joblib_folder, open_model_store
from gateway.adapters.models.memory import MemoryModelStore, Script
from gateway.adapters.models.mlflow import connect
from gateway.adapters.registry import MlflowRegistry, registry_of
from gateway.core.errors import ModelUnusable, RegistryUnavailable
from gateway.ports import Registry
from tests.mlflow_server import MlflowServer

MODEL = "delay"
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy",  # SQLAlchemy's, about MLflow's own mappers
    "ignore:.*Any type hint is inferred as AnyType",  # MLflow's, about its own classes, when it is imported
)


def memory(_: Path) -> Registry:
    store = MemoryModelStore()
    store.add(MODEL, Script(1))
    store.add(MODEL, Script(2))
    return registry_of(store)


def joblib(folder: Path) -> Registry:
    for version in ("1", "2"):
        joblib_folder.save(folder, MODEL, version, {"any": "object"})
    return registry_of(open_model_store(f"joblib:{folder}"))


def filled(uri: str, source: str) -> Registry:
    registry = connect(uri)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, while it makes its tables
        registry.create_registered_model(MODEL)
        for _ in range(2):
            registry.create_model_version(MODEL, source=source)
    return registry_of(open_model_store(f"mlflow:{uri}" if uri.startswith("/") else uri))


REGISTRIES: dict[str, Callable[[Path], Registry]] = {"memory": memory, "joblib": joblib}


@pytest.fixture(scope="module")
def mlflow_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("mlruns")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        yield filled(str(folder / "mlruns"), str(folder))
        import mlflow

        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def mlflow_http(mlflow_server: MlflowServer) -> Registry:
    return filled(mlflow_server.uri, "s3://nowhere/model")


@pytest.fixture(params=["memory", "joblib", "mlflow_file", "mlflow_http"])  # a new adapter adds one name
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    name: str = request.param
    if name in REGISTRIES:
        return REGISTRIES[name](tmp_path)
    found: Registry = request.getfixturevalue(name)
    return found


def test_an_alias_points_where_it_was_set_and_is_gone_when_cleared(registry: Registry) -> None:
    registry.set_alias(MODEL, "champion", "1")
    registry.set_alias(MODEL, "challenger", "2")
    registry.set_alias(MODEL, "champion", "2")
    assert registry.aliases(MODEL) == {"champion": "2", "challenger": "2"}
    for _ in range(2):  # the second time there is nothing to clear
        registry.clear_alias(MODEL, "challenger")
        assert registry.aliases(MODEL) == {"champion": "2"}
    registry.clear_alias(MODEL, "champion")


def test_tags_are_written_over_those_of_the_same_name_and_leave_the_others(registry: Registry) -> None:
    registry.tag(MODEL, "1", {"gateway.churn.decision": "promoted", "gateway.churn.reason": "no worse"})
    registry.tag(MODEL, "1", {"gateway.churn.decision": "demoted"})
    latest, first = registry.versions(MODEL)
    assert (latest.version, first.version) == ("2", "1")
    assert first.tags["gateway.churn.decision"] == "demoted"
    assert first.tags["gateway.churn.reason"] == "no worse"
    assert "gateway.churn.decision" not in latest.tags


def test_versions_are_listed_with_their_aliases(registry: Registry) -> None:
    registry.set_alias(MODEL, "champion", "1")
    assert [(each.version, each.aliases) for each in registry.versions(MODEL)] == [("2", ()), ("1", ("champion",))]
    registry.clear_alias(MODEL, "champion")


def test_a_model_or_version_that_is_not_there_is_said_to_be_so(registry: Registry) -> None:
    with pytest.raises(ModelUnusable) as unheard_of:
        registry.aliases("unheard-of")
    with pytest.raises(ModelUnusable) as no_version:
        registry.set_alias(MODEL, "champion", "99")
    assert {type(unheard_of.value), type(no_version.value)} == {ModelUnusable}  # and not that the registry is away


def test_an_mlflow_server_that_is_away_is_said_to_be_so() -> None:
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(RegistryUnavailable, match="could not deliver the aliases of delay"):
        MlflowRegistry("http://127.0.0.1:9").aliases(MODEL)


def test_a_model_folder_that_is_away_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(RegistryUnavailable, match="is not there"):
        registry_of(open_model_store(f"joblib:{tmp_path / 'gone'}")).aliases(MODEL)


def test_notes_in_a_folder_never_change_an_artifact(tmp_path: Path) -> None:
    registry = joblib(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / MODEL / "1").iterdir()}
    registry.tag(MODEL, "1", {"gateway.churn.decision": "promoted"})
    assert {path: path.read_bytes() for path in (tmp_path / MODEL / "1").iterdir()} == before
