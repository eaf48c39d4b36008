"""Where models come from and how they run: registries, the prepared-model cache, flavours, and the pools."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from gateway.adapters.models.joblib_folder import JoblibFolder
from gateway.adapters.models.memory import MemoryModelStore
from gateway.adapters.models.mlflow import MlflowModelStore
from gateway.adapters.models.prepare import ModelCache
from gateway.adapters.models.runner import PoolRunner
from gateway.core.errors import SettingsError
from gateway.ports import ModelStore

__all__ = ["JoblibFolder", "MemoryModelStore", "MlflowModelStore", "ModelCache", "PoolRunner", "open_model_store"]

_MLFLOW_SCHEMES = frozenset({"sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks"})
_MLRUNS_MARKS = ("meta.yaml", "0/meta.yaml", "models/meta.yaml")
_KNOWN = (
    "a folder of joblib models (models, joblib:models), an MLflow tracking URI (sqlite:///mlflow.db, "
    "http://host:5000, mlflow:mlruns) or memory:"
)


def open_model_store(url: str, base: Path = Path(), folders: Sequence[Path] = ()) -> ModelStore:
    """Open the registry that ``url`` names; relative folders start at ``base``. Raises SettingsError.

    Beside an MLflow registry, ``file:`` URIs may name models below ``folders``.

    A database or http address is an MLflow tracking URI, as MLflow writes it. A bare path (or ``file:``) is a folder
    of joblib models, unless MLflow's own marks lie in it; ``joblib:`` and ``mlflow:`` settle it by name. Opening
    connects to nothing.
    """
    scheme, _, rest = url.partition(":")
    if url == "memory:":
        return MemoryModelStore()
    if scheme == "joblib" and rest:
        return JoblibFolder(base / rest)
    if scheme == "mlflow" and rest:
        return MlflowModelStore(rest if ":" in rest else str((base / rest).resolve()), folders)
    if scheme.partition("+")[0] in _MLFLOW_SCHEMES and rest.startswith("//"):
        return MlflowModelStore(url, folders)
    if not url or (":" in url and scheme != "file"):
        raise SettingsError(f"registry: {scheme or 'nothing'!r} is no registry known here. It is {_KNOWN}.")
    return _open_folder(base / (urlsplit(url).path if scheme == "file" else url), folders)


def _open_folder(folder: Path, folders: Sequence[Path]) -> ModelStore:
    if any((folder / mark).is_file() for mark in _MLRUNS_MARKS):
        return MlflowModelStore(str(folder.resolve()), folders)
    return JoblibFolder(folder)
