"""An MLflow registry's aliases and tags. Stages are not used: MLflow has deprecated them for these.

MLflow is imported when first needed. Every call waits for the registry, a few seconds at most (``adapters.models``
sets MLflow's own limits for a registry that is down).
"""

from collections.abc import Mapping

from gateway.adapters.models.foreign import Foreign
from gateway.adapters.models.mlflow import connect, translated
from gateway.ports import RegisteredVersion


class MlflowRegistry:
    """The Registry behind ``tracking_uri``."""

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri
        self._connected: Foreign = None

    def aliases(self, model: str) -> Mapping[str, str]:
        """Which version each alias points at."""
        with translated(f"the aliases of {model}"):
            found = self._client.get_registered_model(model).aliases
            return {str(alias): str(version) for alias, version in found.items()}

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        with translated(f"the alias {alias} of {model}"):
            self._client.set_registered_model_alias(model, alias, version)

    def clear_alias(self, model: str, alias: str) -> None:
        """Take an alias away."""
        with translated(f"the alias {alias} of {model}"):
            if alias in self._client.get_registered_model(model).aliases:
                self._client.delete_registered_model_alias(model, alias)

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Write tags to a version."""
        with translated(f"the tags of {model} {version}"):
            for name, value in tags.items():
                self._client.set_model_version_tag(model, version, name, value)

    def versions(self, model: str) -> list[RegisteredVersion]:
        """Every version, the latest first."""
        aliases = self.aliases(model)
        with translated(f"the versions of {model}"):
            found = [
                RegisteredVersion(
                    str(each.version),
                    tuple(sorted(alias for alias, named in aliases.items() if named == str(each.version))),
                    dict(each.tags),
                    each.creation_timestamp / 1_000.0,
                )
                for each in self._client.search_model_versions(f"name='{model}'")
            ]
        return sorted(found, key=lambda each: int(each.version), reverse=True)

    @property
    def _client(self) -> Foreign:
        if self._connected is None:
            self._connected = connect(self._uri)
        return self._connected
