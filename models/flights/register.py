"""Registers the four versions: in an MLflow registry, and as a plain folder of joblib files.

Both hold the same fitted models under the name ``flight-delay``, versions 1 to 4; ``champion`` is 1. A folder's
manifest says what MLflow's signature and metadata say. What is trained later is added to the registry alone
(:func:`add`), and :func:`set_back` makes the registry forget it again.

The models are pickles that name classes of :mod:`models.flights.estimators`: whoever loads them runs where ``models``
can be imported (the root of this repository), and trusts whoever wrote them, as with every pickle.
"""

import contextlib
import io
import json
import os
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from models.flights import train
from models.flights.estimators import REQUEST_COLUMNS, Classifier
from models.flights.layout import MODEL, Layout

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read once, at import
import mlflow
from mlflow import MlflowClient
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

ALIASES = {"champion": 1}
TASK = "binary"
CLASSES = (0, 1)

_WORDS: Mapping[type, str] = {int: "integer", float: "number", str: "string"}
_MLFLOW_TYPES: Mapping[type, DataType] = {int: DataType.long, float: DataType.double, str: DataType.string}
_PACKAGES = ("scikit-learn", "pandas", "numpy")
_EXPERIMENT = "flights"


def register(layout: Layout) -> None:
    """Put every version into the registry and the folder, anew where they are there already."""
    with _quiet():
        _register(layout)
    _copy(layout.registry_file, layout.registry_at_start)


def set_back(layout: Layout) -> None:
    """Let the registry stand as :func:`register` left it: the same versions, aliases and tags."""
    _copy(layout.registry_at_start, layout.registry_file)


def add(
    layout: Layout,
    version: train.Version,
    model: Classifier,
    known: pd.DataFrame,
    figures: Mapping[str, float],
    profile: bytes,
    tags: Mapping[str, str],
) -> str:
    """Add the next version to the registry, with its tags from the first moment; returns its number.

    ``known`` is a flight of which everything is known: the model's input example.
    """
    with _quiet():
        client = client_of(layout)
        mlflow.set_experiment(_EXPERIMENT)
        return _into_registry(client, version, model, _example(known, version.columns), figures, profile, tags)


def load(uri: str) -> tuple[Classifier, str | None]:
    """A registered model, and the feature service it reads. The registry is the one :func:`client_of` opened last."""
    with _quiet():
        model: Classifier = mlflow.sklearn.load_model(uri)
        service = mlflow.models.get_model_info(uri).metadata["feature_service"]
    return model, service


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow tells its migrations, and that pickles are pickles."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about SQLAlchemy, and integers that may be missing
        yield


def _copy(source: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(source)) as one, contextlib.closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _register(layout: Layout) -> None:
    """The folder comes last: its manifests say that all is done."""
    known = train.labelled(layout, (train.HOLD_OUT_MONTH,)).dropna().head(1)
    examples = {version: _example(known, version.columns) for version in train.STORY.values()}
    client = _fresh_registry(layout)
    for version, example in examples.items():
        number, reference = version.number, train.profile_of(layout, version.number)
        _into_registry(client, version, train.load(layout, number), example, train.figures(layout, number), reference)
    for alias, number in ALIASES.items():
        client.set_registered_model_alias(MODEL, alias, str(number))
    for version, example in examples.items():
        _into_folder(layout, version, train.load(layout, version.number), example)
    aliases = {alias: str(number) for alias, number in ALIASES.items()}
    (layout.model_folder / MODEL / "aliases.json").write_text(json.dumps(aliases), encoding="utf-8")


def _example(flight: pd.DataFrame, columns: Mapping[str, type]) -> dict[str, Any]:
    [row] = train.rows_of(flight, columns)
    return {name: kind(value) for (name, kind), value in zip(columns.items(), row, strict=True)}


def manifest(version: train.Version, example: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a model takes and gives, in plain JSON. Only what a feature service delivers may be missing (null)."""
    return {
        "name": MODEL,
        "version": str(version.number),
        "task": TASK,
        "classes": list(CLASSES),
        "feature_service": version.service,
        "inputs": [
            {
                "name": name,
                "type": _WORDS[kind],
                "required": name in REQUEST_COLUMNS,
                "default": None,
                "example": example[name],
            }
            for name, kind in version.columns.items()
        ],
    }


def signature(version: train.Version) -> ModelSignature:
    """The same for MLflow."""
    inputs = [
        ColSpec(_MLFLOW_TYPES[kind], name, required=name in REQUEST_COLUMNS) for name, kind in version.columns.items()
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(DataType.long)]))


def client_of(layout: Layout) -> MlflowClient:
    """Open the registry, for this process's MLflow too."""
    mlflow.set_tracking_uri(layout.registry)
    mlflow.set_registry_uri(layout.registry)
    return MlflowClient(tracking_uri=layout.registry, registry_uri=layout.registry)


def _fresh_registry(layout: Layout) -> MlflowClient:
    """Open the registry without any version of the model in it, so that numbers begin at 1."""
    client = client_of(layout)
    if client.get_experiment_by_name(_EXPERIMENT) is None:
        client.create_experiment(_EXPERIMENT, artifact_location=layout.artifacts.resolve().as_uri())
    mlflow.set_experiment(_EXPERIMENT)
    if client.search_registered_models(f"name = '{MODEL}'"):
        client.delete_registered_model(MODEL)
    client.create_registered_model(MODEL, description="Will this flight arrive 15 minutes late, or later?")
    return client


def _into_registry(
    client: MlflowClient,
    version: train.Version,
    model: Classifier,
    example: dict[str, Any],
    figures: Mapping[str, float],
    profile: bytes,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Log the model and all that belongs to it; only then is it a version. Returns its number."""
    with mlflow.start_run(run_name=version.says):
        mlflow.log_metrics({f"hold_out_{name}": value for name, value in figures.items()})
        logged = mlflow.sklearn.log_model(
            model,
            name=MODEL,
            signature=signature(version),
            input_example=pd.DataFrame([example]),
            metadata={"feature_service": version.service, "task": TASK},
            serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_CLOUDPICKLE,
            pip_requirements=list(_PACKAGES),  # said, not guessed: guessing loads the model in another process
        )
    with tempfile.TemporaryDirectory() as beside:
        Path(beside, "profile.json").write_bytes(profile)
        client.log_model_artifacts(logged.model_id, beside)
    made = mlflow.register_model(logged.model_uri, MODEL, tags=dict(tags or {}))
    return str(made.version)


def _into_folder(layout: Layout, version: train.Version, model: Classifier, example: Mapping[str, Any]) -> None:
    folder = layout.model_folder / MODEL / str(version.number)
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, folder / "model.joblib")
    (folder / "profile.json").write_bytes(train.profile_of(layout, version.number))
    text = json.dumps(manifest(version, example), indent=2) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")
