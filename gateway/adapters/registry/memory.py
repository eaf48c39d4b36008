"""A registry in this process, over the scripted models of the same store. For tests, ours and our users'."""

from collections import defaultdict
from collections.abc import Mapping

from gateway.adapters.models.memory import MemoryModelStore
from gateway.core.errors import ModelUnusable, RegistryUnavailable
from gateway.ports import RegisteredVersion


class MemoryRegistry:
    """Aliases are the store's own; ``away`` makes it unreachable until it is set back."""

    def __init__(self, store: MemoryModelStore) -> None:
        self._store = store
        self._tags: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        self.away = False

    def aliases(self, model: str) -> Mapping[str, str]:
        """Which version each alias points at."""
        self._reach(model)
        return self._store.aliases(model)

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        self._reach(model, version)
        self._store.alias(model, alias, int(version))

    def clear_alias(self, model: str, alias: str) -> None:
        """Take an alias away."""
        self._reach(model)
        self._store.unalias(model, alias)

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Write tags to a version."""
        self._reach(model, version)
        self._tags[model, version].update(tags)

    def versions(self, model: str) -> list[RegisteredVersion]:
        """Every version, the latest first."""
        self._reach(model)
        aliases = self._store.aliases(model)
        return [
            RegisteredVersion(
                version,
                tuple(sorted(alias for alias, named in aliases.items() if named == version)),
                dict(self._tags[model, version]),
            )
            for version in reversed(self._store.versions(model))
        ]

    def _reach(self, model: str, version: str | None = None) -> None:
        if self.away:
            raise RegistryUnavailable("The registry is away.")
        known = self._store.versions(model)
        if not known or (version is not None and version not in known):
            raise ModelUnusable(f"The registry has no model {model}{'' if version is None else f' {version}'}.")
