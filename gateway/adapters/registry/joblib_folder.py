"""The pointers and notes of a folder of joblib models.

``<root>/<name>/aliases.json`` is ``{"champion": "3"}``, ``<root>/<name>/tags.json`` is ``{"3": {"name": "value"}}``:
beside the versions' folders, so that a note never changes an artifact's digest. Files are replaced whole, so nobody
reads half of one; two writers at once may lose one of their changes, as in any folder.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway.adapters.models.joblib_folder import ALIASES_FILE, MANIFEST_FILE
from gateway.core.errors import ModelUnusable, RegistryUnavailable
from gateway.ports import RegisteredVersion

TAGS_FILE = "tags.json"

_Found = TypeVar("_Found")


class JoblibRegistry:
    """The Registry over such a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def aliases(self, model: str) -> Mapping[str, str]:
        """Which version each alias points at."""
        return self._read(self._folder(model) / ALIASES_FILE, dict[str, str])

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        self._known(model, version)
        self._write(self._folder(model) / ALIASES_FILE, {**self.aliases(model), alias: version})

    def clear_alias(self, model: str, alias: str) -> None:
        """Take an alias away."""
        aliases = dict(self.aliases(model))
        if aliases.pop(alias, None) is not None:
            self._write(self._folder(model) / ALIASES_FILE, aliases)

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Write tags to a version."""
        self._known(model, version)
        standing = self._tags(model)
        self._write(self._folder(model) / TAGS_FILE, {**standing, version: {**standing.get(version, {}), **tags}})

    def versions(self, model: str) -> list[RegisteredVersion]:
        """Every version, the latest first."""
        aliases, tags, folder = self.aliases(model), self._tags(model), self._folder(model)
        return [
            RegisteredVersion(
                version,
                tuple(sorted(alias for alias, named in aliases.items() if named == version)),
                tags.get(version, {}),
                (folder / version / MANIFEST_FILE).stat().st_mtime,
            )
            for version in sorted(self._versions(folder), key=int, reverse=True)
        ]

    def _tags(self, model: str) -> dict[str, dict[str, str]]:
        return self._read(self._folder(model) / TAGS_FILE, dict[str, dict[str, str]])

    def _known(self, model: str, version: str) -> None:
        if version not in self._versions(self._folder(model)):
            raise ModelUnusable(f"Model {model} has no version {version} in {self._root}.")

    def _versions(self, folder: Path) -> list[str]:
        return [
            entry.name for entry in folder.iterdir() if entry.name.isdecimal() and (entry / MANIFEST_FILE).is_file()
        ]

    def _folder(self, model: str) -> Path:
        if not self._root.is_dir():
            raise RegistryUnavailable(f"The model folder {self._root} is not there.")
        folder = self._root / model
        if "/" in model or model in {"", ".", ".."} or folder.is_symlink() or not folder.is_dir():
            raise ModelUnusable(f"The folder {self._root} has no model {model}.")
        return folder

    def _read(self, path: Path, kind: type[_Found]) -> _Found:
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return kind()
        except (OSError, msgspec.MsgspecError) as error:
            raise RegistryUnavailable(f"{path} cannot be read: {type(error).__name__}.") from error

    def _write(self, path: Path, content: object) -> None:
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            unfinished.replace(path)
        except OSError as error:
            raise RegistryUnavailable(f"{path} cannot be written: {error.strerror}.") from error
