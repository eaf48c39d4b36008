"""A folder of joblib models: the smallest registry there is.

``<root>/<name>/<version>/`` holds ``model.joblib`` and ``manifest.json``; versions are whole numbers. Aliases stand in
``<root>/<name>/aliases.json`` as ``{"champion": "3"}``. Nothing here unpickles anything: see ``flavours``.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from gateway.adapters.models.artifacts import Files
from gateway.adapters.models.foreign import Foreign
from gateway.adapters.models.profile import PROFILE_FILE, encode_profile
from gateway.adapters.models.uris import ModelUri
from gateway.core.deployments import Field, OnInvalid, Scalar, Task, Type
from gateway.core.drift.profiles import Profile
from gateway.core.errors import ModelUnusable
from gateway.ports import Artifact

MODEL_FILE = "model.joblib"
MANIFEST_FILE = "manifest.json"
ALIASES_FILE = "aliases.json"


class ManifestInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input of the model's row, in column order."""

    name: str
    type: Type
    required: bool = True
    default: Scalar = None
    minimum: float | None = None
    maximum: float | None = None
    example: Scalar = None
    categories: tuple[Scalar, ...] = ()
    on_invalid: OnInvalid = OnInvalid.REFUSE

    def as_field(self) -> Field:
        """The same as a core value."""
        return Field(**msgspec.structs.asdict(self))


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``manifest.json`` may say. What it leaves out is asked of the model itself."""

    name: str
    version: str
    task: Task | None = None
    classes: tuple[int | str, ...] = ()
    feature_service: str | None = None
    inputs: tuple[ManifestInput, ...] | None = None
    outputs: tuple[str, ...] = ()

    @classmethod
    def read(cls, content: bytes) -> "Manifest":
        """Read a manifest. Raises ModelUnusable, which names the place that does not fit."""
        try:
            return msgspec.json.decode(content, type=cls)
        except msgspec.MsgspecError as error:
            raise ModelUnusable(f"The model's {MANIFEST_FILE} does not fit: {error}.") from error


def manifest_of(files: Files) -> Manifest:
    """Read the manifest of a fetched artifact. Raises ModelUnusable."""
    if MANIFEST_FILE not in files:
        raise ModelUnusable(f"The artifact holds no {MANIFEST_FILE}.")
    return Manifest.read(files[MANIFEST_FILE])


class JoblibFolder:
    """The ModelStore over such a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def resolve(self, uri: str) -> str:
        """Pin ``models:/...`` or ``file:`` (a version's folder below the root) to a version. Raises ModelUnusable."""
        if uri.startswith("file:"):
            uri = self._from_path(Path(unquote(urlsplit(uri).path)))
        wanted = ModelUri.parse(uri)
        return wanted.pinned(self._aliases(wanted.name), self._versions(wanted.name))

    def fetch(self, pinned: str, into: str) -> Artifact:
        """Copy the version's folder into ``into``. Raises ModelUnusable."""
        wanted = ModelUri.parse(self.resolve(pinned))
        source = self._folder(wanted.name) / wanted.version
        try:
            shutil.copytree(source, into, symlinks=True, dirs_exist_ok=True)
            manifest = Manifest.read((source / MANIFEST_FILE).read_bytes())
        except (OSError, shutil.Error) as error:
            raise ModelUnusable(f"{pinned} cannot be copied from the model folder.") from error
        if (manifest.name, manifest.version) != (wanted.name, wanted.version):
            raise ModelUnusable(f"The {MANIFEST_FILE} of {pinned} belongs to {manifest.name}/{manifest.version}.")
        return Artifact(wanted.name, wanted.version, pinned, "joblib", ".", manifest.feature_service, manifest.task)

    def _from_path(self, path: Path) -> str:
        try:
            name, version = (self._root / path).resolve().relative_to(self._root.resolve()).parts
        except ValueError as error:  # outside the root, or not two levels below it
            raise ModelUnusable(f"A file: URI names a folder NAME/VERSION below {self._root}.") from error
        return f"models:/{name}/{version}"

    def _folder(self, name: str) -> Path:
        folder = self._root / name
        if name in {".", ".."} or folder.is_symlink():
            raise ModelUnusable(f"That is no model of the folder {self._root}.")
        return folder

    def _versions(self, name: str) -> list[str]:
        folder = self._folder(name)
        if not folder.is_dir():
            return []
        return [
            entry.name for entry in folder.iterdir() if entry.name.isdecimal() and (entry / MANIFEST_FILE).is_file()
        ]

    def _aliases(self, name: str) -> dict[str, str]:
        try:
            return msgspec.json.decode((self._folder(name) / ALIASES_FILE).read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            raise ModelUnusable(f"The {ALIASES_FILE} of model {name} must map aliases to versions.") from error


def save(
    root: Path,
    name: str,
    version: str,
    estimator: Foreign,
    *,
    task: Task | None = None,
    classes: Sequence[int | str] = (),
    feature_service: str | None = None,
    inputs: Sequence[Field] | None = None,
    profile: Profile | None = None,
    outputs: Sequence[str] = (),
) -> Path:
    """Write a model into such a folder and return its folder; the manifest comes last, so it is there whole or not.

    What is left out is asked of the estimator when it is prepared; without a ``profile`` its drift is not
    watched. Raises FileExistsError for a version that exists.
    """
    import joblib

    folder = root / name / version
    folder.mkdir(parents=True)
    joblib.dump(estimator, folder / MODEL_FILE)
    if profile is not None:
        (folder / PROFILE_FILE).write_bytes(encode_profile(profile))
    manifest = {
        "name": name,
        "version": version,
        "task": task,
        "classes": list(classes),
        "feature_service": feature_service,
        "inputs": None if inputs is None else msgspec.to_builtins(list(inputs)),
        "outputs": list(outputs),
    }
    unfinished = folder / f".{MANIFEST_FILE}"
    unfinished.write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    unfinished.replace(folder / MANIFEST_FILE)
    return folder
