"""An MLflow model registry as ModelStore: aliases are pinned to versions, artifacts downloaded as they are.

Only the agent uses it; no request and no worker ever does. MLflow is an optional extra and takes a second to import,
so it is imported when first needed. Nothing here loads a model.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway.adapters.models import exact
from gateway.adapters.models.foreign import Foreign, imported
from gateway.adapters.models.uris import LATEST, ModelUri
from gateway.core.errors import ModelUnusable, RegistryUnavailable
from gateway.ports import Artifact


class MlflowModelStore:
    """The registry behind ``tracking_uri``: ``sqlite:///...``, ``http://...``, or a folder as MLflow makes it."""

    def __init__(self, tracking_uri: str, folders: Sequence[Path] = ()) -> None:
        """``file:`` names models below these ``folders`` of this host, and no others."""
        self._uri = tracking_uri
        self._folders = folders
        self._connected: Foreign = None

    @property
    def tracking_uri(self) -> str:
        """Where the registry is."""
        return self._uri

    def resolve(self, uri: str) -> str:
        """Pin ``models:/name@alias``, ``.../3`` or ``.../latest`` to a version that exists. Raises ModelUnusable.

        ``runs:/RUN/PATH`` and ``file:FOLDER`` are exact as they are.
        """
        if exact.is_file(uri):
            return exact.pinned_folder(uri, self._folders)
        if exact.is_run(uri):
            run, path = exact.run_of(uri)
            with translated("the model"):
                return f"runs:/{self._client.get_run(run).info.run_id}/{path}"
        wanted = ModelUri.parse(uri)
        with translated("the model"):
            if wanted.alias:
                version = wanted.aliased(self._client.get_registered_model(wanted.name).aliases)
            elif wanted.version == LATEST:
                found = self._client.search_model_versions(f"name='{wanted.name}'")
                return wanted.pinned({}, [str(each.version) for each in found])
            else:
                version = self._client.get_model_version(wanted.name, wanted.version).version
        return f"models:/{wanted.name}/{version}"

    def fetch(self, pinned: str, into: str) -> Artifact:
        """Download the artifact into the folder ``into``. Raises ModelUnusable."""
        if exact.is_file(pinned):
            return exact.fetch_folder(pinned, self._folders, into)
        Path(into).mkdir(parents=True, exist_ok=True)
        with translated("the model"):
            name, version, location = self._named(pinned)
            folder = self._download(location, into)
        return exact.artifact_of(folder, name, version, pinned, folder.relative_to(Path(into).resolve()).as_posix())

    def _named(self, pinned: str) -> tuple[str, str, str]:
        """Name and version of a pinned artifact, and where it lies."""
        if exact.is_run(pinned):
            run, path = exact.run_of(pinned)
            return path.rpartition("/")[2], run, pinned
        wanted = ModelUri.parse(pinned)
        return wanted.name, wanted.version, self._location(wanted)

    @property
    def _client(self) -> Foreign:
        if self._connected is None:
            self._connected = connect(self._uri)
        return self._connected

    def _location(self, wanted: ModelUri) -> str:
        """Where the artifact lies. MLflow's own ``models:/`` download would ask the process-wide registry instead."""
        location = str(self._client.get_model_version_download_uri(wanted.name, wanted.version))
        if location.startswith("models:/"):
            location = str(self._client.get_logged_model(location.removeprefix("models:/")).artifact_location)
        return location

    def _download(self, location: str, into: str) -> Path:
        """Download into a folder below ``into``, and say which: MLflow names it after the location's last part."""
        folder = imported("mlflow.artifacts").download_artifacts(
            artifact_uri=location, dst_path=into, tracking_uri=self._uri, registry_uri=self._uri
        )
        return Path(folder).resolve()


def connect(uri: str) -> Foreign:
    """Make a client of the registry behind ``uri``. Imports MLflow; connects to nothing."""
    mlflow = imported("mlflow")
    if "://" not in uri:  # MLflow's file store asks the process-wide one, too, and would make a database for it here
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # who names a folder means it
        mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


_SAID_NO = frozenset({"INVALID_PARAMETER_VALUE", "NOT_FOUND", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"})
"""What MLflow answers when it is there, and no is its answer."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise ModelUnusable where the registry said no to ``what``, RegistryUnavailable where it said nothing."""
    try:
        yield
    except ModelUnusable:
        raise
    except Exception as error:  # MLflow lets databases, HTTP clients and cloud SDKs raise their own
        code = getattr(error, "error_code", type(error).__name__)
        kind = ModelUnusable if code in _SAID_NO else RegistryUnavailable
        raise kind(f"The MLflow registry could not deliver {what} ({code}).") from error
