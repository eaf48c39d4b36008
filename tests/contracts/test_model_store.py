"""Every registry keeps the same promises: what it is asked for is pinned, prepared, and answers like what was trained.

MLflow is the real one, over a SQLite registry. A new registry adds one line to ``REGISTRIES`` and its publisher.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from gateway.adapters.models import JoblibFolder, MlflowModelStore, ModelCache, joblib_folder
from gateway.adapters.models.memory import MemoryModelStore, Script
from gateway.core.deployments import Admission, Field, Task, Type
from gateway.core.errors import ModelUnusable
from gateway.core.rules import Pickles
from gateway.ports import ModelStore

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy",  # SQLAlchemy's, about MLflow's own mappers
    "ignore:.*Any type hint is inferred as AnyType",  # MLflow's, about its own classes, when it is imported
)

HOUR = Field("hour", Type.INTEGER, example=17)
DISTANCE = Field("distance", Type.NUMBER, example=1400.5)
CARRIER = Field("carrier", Type.STRING, required=False, example="UA")
INPUTS = (HOUR, DISTANCE, CARRIER)
REGISTRIES = ("memory", "joblib", "mlflow")


@dataclass(frozen=True)
class Registry:
    """A store with ``delay`` in two versions, the alias ``champion`` on the first, and a way to move it."""

    store: ModelStore
    move_alias: Callable[[str], None]


def flights() -> tuple[pd.DataFrame, "pd.Series[int]"]:
    rng = np.random.default_rng(7)
    table = pd.DataFrame(
        {
            "hour": rng.integers(0, 24, 300),
            "distance": rng.uniform(90, 3000, 300),
            "carrier": rng.choice(["UA", "B6", "EV"], 300),
        }
    )
    return table, (table["hour"] > 14).astype(int)


@pytest.fixture(scope="module")
def estimator() -> Any:
    table, late = flights()
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough")
    return make_pipeline(encode, LogisticRegression(max_iter=1000)).fit(table, late)


@pytest.fixture(scope="module")
def memory(estimator: Any) -> Registry:
    store = MemoryModelStore()
    for base in (1, 2):
        store.add("delay", Script(base, INPUTS, Task.BINARY, (0, 1), feature_service="flights_v1"))
    store.alias("delay", "champion", 1)
    return Registry(store, lambda version: store.alias("delay", "champion", int(version)))


@pytest.fixture(scope="module")
def joblib(estimator: Any, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    root = tmp_path_factory.mktemp("models")
    for version in ("1", "2"):
        joblib_folder.save(
            root, "delay", version, estimator, task=Task.BINARY, feature_service="flights_v1", inputs=INPUTS
        )
    aliases = root / "delay" / joblib_folder.ALIASES_FILE
    aliases.write_text('{"champion": "1"}')
    return Registry(JoblibFolder(root), lambda version: _discard(aliases.write_text(f'{{"champion": "{version}"}}')))


@pytest.fixture(scope="module")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry of MLflow's own, in which each test module logs what it needs, one experiment for all."""
    import mlflow

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder}/mlflow.db"
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's and SQLAlchemy's, while the tables are made
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        mlflow.create_experiment("tests", artifact_location=(folder / "artifacts").as_uri())
        mlflow.set_experiment("tests")
    yield uri
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


@pytest.fixture(scope="module")
def mlflow(estimator: Any, mlflow_uri: str) -> Registry:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    kinds = {Type.INTEGER: DataType.long, Type.NUMBER: DataType.double, Type.STRING: DataType.string}
    signature = ModelSignature(
        Schema([ColSpec(kinds[each.type], each.name, each.required) for each in INPUTS]), Schema([ColSpec("long")])
    )
    row = pd.DataFrame([{each.name: each.example for each in INPUTS}])
    for _ in range(2):
        log(
            "delay",
            estimator,
            signature=signature,
            input_example=row,
            metadata={"feature_service": "flights_v1", "task": "binary"},
        )
    client = MlflowClient(tracking_uri=mlflow_uri, registry_uri=mlflow_uri)
    client.set_registered_model_alias("delay", "champion", "1")
    return Registry(
        MlflowModelStore(mlflow_uri),
        lambda version: _discard(client.set_registered_model_alias("delay", "champion", version)),
    )


@pytest.fixture(scope="module", params=REGISTRIES)
def registry(request: pytest.FixtureRequest) -> Registry:
    found: Registry = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> ModelCache:
    return ModelCache(tmp_path_factory.mktemp("cache"))


def log(name: str, model: Any, **about: Any) -> None:
    """Log and register the next version of a model, as its author would."""
    import mlflow.pyfunc
    import mlflow.sklearn

    flavour = mlflow.pyfunc if isinstance(model, mlflow.pyfunc.PythonModel) else mlflow.sklearn
    model = {"python_model": model} if flavour is mlflow.pyfunc else {"sk_model": model}
    with mlflow.start_run(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, to the author of a model
        flavour.log_model(**model, name="model", registered_model_name=name, pip_requirements=["scikit-learn"], **about)


def _discard(_: object) -> None:
    return None


def test_a_version_and_the_latest_are_pinned(registry: Registry) -> None:
    assert registry.store.resolve("models:/delay/1") == "models:/delay/1"
    assert registry.store.resolve("models:/delay/latest") == "models:/delay/2"


def test_an_alias_is_pinned_to_the_version_it_points_at_now(registry: Registry) -> None:
    before = registry.store.resolve("models:/delay@champion")
    registry.move_alias("2")
    after = registry.store.resolve("models:/delay@champion")
    registry.move_alias("1")
    assert (before, after) == ("models:/delay/1", "models:/delay/2")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("models:/delay/9", "no such version|could not deliver"),
        ("models:/delay@nobody", "has no such alias; it has: champion"),
        ("models:/unheard-of/1", "no model of that name|could not deliver"),
        ("models:/unheard-of/latest", "no model of that name"),
        ("models:/delay/Production", "an alias is written models:/NAME@ALIAS"),
        ("runs:/0123/model", "models:/NAME/VERSION|could not deliver"),
        ("models:/../1", "no model|could not deliver"),
    ],
)
def test_a_model_that_is_not_there_is_refused_with_a_hint(registry: Registry, uri: str, says: str) -> None:
    with pytest.raises(ModelUnusable, match=says) as refused:
        registry.store.resolve(uri)
    assert not {"nobody", "unheard-of", "Production", "0123"} & set(str(refused.value).replace("/", " ").split())


def test_the_card_says_what_the_model_takes_and_gives(registry: Registry, cache: ModelCache) -> None:
    card = cache.prepare(registry.store, "models:/delay@champion")
    assert (card.name, card.version, card.uri) == ("delay", "1", "models:/delay/1")
    assert card.inputs == INPUTS
    assert (card.task, card.classes) == (Task.BINARY, (0, 1))
    assert card.feature_service == "flights_v1"
    assert cache.card(card.digest).digest == card.digest


def test_a_prepared_model_answers_in_plain_python_values(registry: Registry, cache: ModelCache) -> None:
    model = cache.load(cache.prepare(registry.store, "models:/delay/1"))
    early, late = model.predict([[3, 200.0, "B6"], [22, 200.0, None]])
    assert {type(early.label), type(late.label)} == {int}
    assert type(early.score) is float and 0.0 <= early.score <= 1.0
    assert early.label == int(early.score >= 0.5)


def test_preparing_again_finds_the_same_model(registry: Registry, cache: ModelCache) -> None:
    assert cache.prepare(registry.store, "models:/delay/2") == cache.prepare(registry.store, "models:/delay/latest")


@pytest.mark.parametrize("kind", ["joblib", "mlflow"])
def test_a_served_pipeline_answers_what_the_trained_one_answers(
    kind: str, request: pytest.FixtureRequest, cache: ModelCache, estimator: Any
) -> None:
    store = request.getfixturevalue(kind).store
    table, _ = flights()
    rows = table.head(40)
    served = cache.load(cache.prepare(store, "models:/delay/1")).predict(rows.to_numpy(dtype=object).tolist())
    assert [each.label for each in served] == estimator.predict(rows).tolist()
    assert [each.score for each in served] == estimator.predict_proba(rows)[:, 1].tolist()


def test_an_mlflow_model_fitted_on_a_matrix_gets_numbered_inputs(mlflow_uri: str, cache: ModelCache) -> None:
    table, late = flights()
    matrix = table[["hour", "distance"]].to_numpy(dtype=float)
    log("matrix", LogisticRegression(max_iter=1000).fit(matrix, late), input_example=matrix[:2])
    card = cache.prepare(MlflowModelStore(mlflow_uri), "models:/matrix/1")
    assert [(each.name, each.type) for each in card.inputs] == [("x0", Type.NUMBER), ("x1", Type.NUMBER)]
    assert [each.example for each in card.inputs] == matrix[0].tolist()


@pytest.mark.parametrize("form", ["skops", "pickle", "cloudpickle"])
def test_every_serialisation_of_mlflow_is_read_without_mlflow(form: str, mlflow_uri: str, cache: ModelCache) -> None:
    table, late = flights()
    log(f"as-{form}", LogisticRegression().fit(table[["hour"]], late), serialization_format=form)
    card = cache.prepare(MlflowModelStore(mlflow_uri), f"models:/as-{form}/1")
    assert card.inputs == (Field("hour", Type.NUMBER),)
    assert cache.load(card).predict([[23]])[0].label == 1


def test_a_pyfunc_answers_by_the_task_its_metadata_declares(mlflow_uri: str, cache: ModelCache) -> None:
    log("score", _pyfunc(), signature=_hour_signature(), metadata={"task": "binary", "classes": ["on time", "late"]})
    model = cache.load(cache.prepare(MlflowModelStore(mlflow_uri), "models:/score/1"))
    on_time, late = model.predict([[6], [18]])
    assert (on_time.label, on_time.score) == ("on time", 0.25)
    assert (late.label, late.score) == ("late", 0.75)


@pytest.mark.parametrize(
    "metadata", [{"task": "binary"}, {"classes": ["a", "b"]}, {"task": "regression", "classes": [0, 1]}]
)
def test_a_pyfunc_that_says_its_task_by_halves_is_refused_with_the_words_to_write(
    metadata: dict[str, Any], mlflow_uri: str, tmp_path: Path
) -> None:
    folder = written(tmp_path / "mute", _pyfunc(), signature=_hour_signature(), metadata=metadata)
    with pytest.raises(ModelUnusable, match=r'metadata={"task": "binary"'):
        ModelCache(tmp_path / "cache").prepare(MlflowModelStore(mlflow_uri, [tmp_path]), folder)


def test_an_artifact_of_a_run_is_served_without_being_registered(mlflow_uri: str, cache: ModelCache) -> None:
    import mlflow.sklearn

    table, late = flights()
    with mlflow.start_run() as run, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, to the author of a model
        mlflow.sklearn.log_model(
            LogisticRegression().fit(table[["hour"]], late), name="hours", pip_requirements=["numpy"]
        )
    uri, store = f"runs:/{run.info.run_id}/hours", MlflowModelStore(mlflow_uri)
    assert store.resolve(uri) == uri
    card = cache.prepare(store, uri)
    assert (card.name, card.version, card.uri) == ("hours", run.info.run_id, uri)
    assert cache.load(card).predict([[23.0]])[0].label == 1
    with pytest.raises(ModelUnusable, match="could not deliver"):
        cache.prepare(store, f"runs:/{run.info.run_id}/nothing")


@pytest.mark.parametrize("uri", ["runs:/", "runs:/0123", "runs:/0123/../../etc", "runs:/0123/a/", "runs:/0/a@b"])
def test_a_run_uri_that_is_none_is_refused(uri: str, mlflow_uri: str) -> None:
    with pytest.raises(ModelUnusable, match="runs:/RUN_ID/PATH"):
        MlflowModelStore(mlflow_uri).resolve(uri)


def test_a_folder_of_an_mlflow_model_is_served_as_it_lies(mlflow_uri: str, tmp_path: Path) -> None:
    table, late = flights()
    uri = written(tmp_path / "hours", LogisticRegression().fit(table[["hour"]], late), input_example=table[["hour"]])
    store, cache = MlflowModelStore(mlflow_uri, [tmp_path]), ModelCache(tmp_path / "cache")
    card = cache.prepare(store, f"file:{tmp_path / 'hours'}")
    assert (card.name, card.uri) == ("hours", uri)
    assert cache.load(card).predict([[23]])[0].label == 1
    with pytest.raises(ModelUnusable, match="holds an MLmodel file"):
        store.resolve(tmp_path.as_uri())


def test_a_file_uri_reaches_no_further_than_the_folders_that_are_listed(mlflow_uri: str, tmp_path: Path) -> None:
    table, late = flights()
    model = LogisticRegression().fit(table[["hour"]], late)
    elsewhere = written(tmp_path / "elsewhere" / "hours", model, input_example=table[["hour"]])
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed" / "link").symlink_to(tmp_path / "elsewhere" / "hours")
    listed = MlflowModelStore(mlflow_uri, [tmp_path / "listed"])
    for uri in (elsewhere, f"file:{tmp_path}/listed/../elsewhere/hours", f"file:{tmp_path}/listed/link", "file:/"):
        for refuse in (listed.resolve, lambda pinned: listed.fetch(pinned, str(tmp_path / "into"))):
            with pytest.raises(ModelUnusable, match="model_folders"):
                refuse(uri)
    with pytest.raises(ModelUnusable, match="model_folders"):
        MlflowModelStore(mlflow_uri).resolve(elsewhere)


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"serialization_format": "pickle"}, "is a pickle"),
        ({"serialization_format": "cloudpickle"}, "is a cloudpickle"),
        ({"serialization_format": "skops", "skops_trusted_types": ["builtins.eval"]}, "trusts types of its own"),
    ],
)
def test_a_model_that_is_code_is_not_opened_where_the_deployment_does_not_allow_it(
    about: dict[str, Any], says: str, mlflow_uri: str, tmp_path: Path
) -> None:
    table, late = flights()
    model = LogisticRegression().fit(table[["hour"]], late)
    uri = written(tmp_path / "hours", model, input_example=table[["hour"]], **about)
    store, cache = MlflowModelStore(mlflow_uri, [tmp_path]), ModelCache(tmp_path / "cache")
    for pickles in (Pickles.REFUSE, Pickles.FOLDER):
        with pytest.raises(ModelUnusable, match=f"{says}.* pickles: {pickles}. Log it as skops or ONNX"):
            cache.prepare(store, uri, Admission(pickles))
    assert cache.prepare(store, uri, Admission(Pickles.ALLOW)).task is Task.BINARY


def test_skops_needs_no_word_and_a_python_function_does(mlflow_uri: str, tmp_path: Path) -> None:
    table, late = flights()
    store, cache = MlflowModelStore(mlflow_uri, [tmp_path]), ModelCache(tmp_path / "cache")
    safe = LogisticRegression().fit(table[["hour"]], late)
    cache.prepare(store, written(tmp_path / "safe", safe, input_example=table[["hour"]]), Admission(Pickles.REFUSE))
    code = written(tmp_path / "code", _pyfunc(), signature=_hour_signature())
    with pytest.raises(ModelUnusable, match=r"is a Python function \(mlflow.pyfunc.model\)"):
        cache.prepare(store, code, Admission(Pickles.FOLDER))


def test_a_joblib_file_is_opened_from_its_folder_unless_the_deployment_refuses(
    joblib: Registry, tmp_path: Path
) -> None:
    cache = ModelCache(tmp_path)
    cache.prepare(joblib.store, "models:/delay/1", Admission(Pickles.FOLDER))
    with pytest.raises(ModelUnusable, match="is a joblib file"):
        cache.prepare(joblib.store, "models:/delay/1", Admission(Pickles.REFUSE))


def written(folder: Path, model: Any, **about: Any) -> str:
    """Write a model into a folder, as its author would, and return its URI."""
    import mlflow.pyfunc
    import mlflow.sklearn

    flavour = mlflow.pyfunc if isinstance(model, mlflow.pyfunc.PythonModel) else mlflow.sklearn
    model = {"python_model": model} if flavour is mlflow.pyfunc else {"sk_model": model}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, to the author of a model
        flavour.save_model(path=str(folder), **model, pip_requirements=["scikit-learn"], **about)
    return folder.as_uri()


def test_a_folders_file_uri_names_a_version_below_its_root(joblib: Registry, tmp_path: Path) -> None:
    assert joblib.store.resolve("file:delay/2") == "models:/delay/2"
    with pytest.raises(ModelUnusable, match="below"):
        joblib.store.resolve(f"file:{tmp_path}")


def test_a_manifest_with_an_unknown_word_is_refused_by_its_place(tmp_path: Path) -> None:
    folder = joblib_folder.save(tmp_path, "delay", "1", None, inputs=INPUTS)
    manifest = folder / joblib_folder.MANIFEST_FILE
    manifest.write_text(manifest.read_text().replace('"feature_service"', '"feature_sevrice"'))
    with pytest.raises(ModelUnusable, match="feature_sevrice"):
        JoblibFolder(tmp_path).fetch("models:/delay/1", str(tmp_path / "into"))


def _hour_signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    return ModelSignature(Schema([ColSpec("integer", "hour")]), Schema([ColSpec("double")]))


def _pyfunc() -> Any:
    """A pyfunc whose class travels with it, as that of a model defined in a notebook would."""
    from mlflow.pyfunc import PythonModel

    class ByHour(PythonModel):  # type: ignore[misc]  # MLflow has no types
        def predict(self, model_input: pd.DataFrame) -> Any:
            return model_input["hour"] / 24.0

    return ByHour()
