"""Registries' pointers and notes: aliases and tags, apart from the artifacts (``adapters.models`` fetches those)."""

from gateway.adapters.models import JoblibFolder, MemoryModelStore, MlflowModelStore
from gateway.adapters.registry.joblib_folder import JoblibRegistry
from gateway.adapters.registry.memory import MemoryRegistry
from gateway.adapters.registry.mlflow import MlflowRegistry
from gateway.core.errors import SettingsError
from gateway.ports import ModelStore, Registry

__all__ = ["JoblibRegistry", "MemoryRegistry", "MlflowRegistry", "registry_of"]


def registry_of(store: ModelStore) -> Registry:
    """The registry that the store's artifacts belong to: what is named by a URL is named once. Raises SettingsError."""
    if isinstance(store, MlflowModelStore):
        return MlflowRegistry(store.tracking_uri)
    if isinstance(store, JoblibFolder):
        return JoblibRegistry(store.root)
    if isinstance(store, MemoryModelStore):
        return MemoryRegistry(store)
    raise SettingsError(f"registry: {type(store).__name__} has no aliases.")
