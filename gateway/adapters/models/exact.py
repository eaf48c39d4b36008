"""URIs that name one artifact and nothing that could move: ``runs:/RUN/PATH`` of MLflow, ``file:FOLDER`` of this host.

They pin themselves. What pins the bytes is the digest, as for any other model: a folder that changes later is noticed
when it is fetched again. Whose store takes which of them is the stores' to say.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateway.adapters.models import mlmodel
from gateway.core.errors import ModelUnusable
from gateway.ports import Artifact

_RUN = re.compile(r"runs:/(?P<run>[0-9a-zA-Z]{1,64})/(?P<path>[^/@:][^@:]*[^/@:]|[^/@:])")
_UNNAMED = "0"


def is_run(uri: str) -> bool:
    """Whether the URI names an artifact of a run."""
    return uri.startswith("runs:")


def is_file(uri: str) -> bool:
    """Whether the URI names a folder of this host."""
    return uri.startswith("file:")


def run_of(uri: str) -> tuple[str, str]:
    """A run's id and the path of its artifact. Raises ModelUnusable.

    >>> run_of("runs:/0123abcd/model")
    ('0123abcd', 'model')
    """
    match = _RUN.fullmatch(uri)
    if match is None or ".." in match["path"].split("/"):
        raise ModelUnusable("An artifact of a run is named runs:/RUN_ID/PATH.")
    return match["run"], match["path"]


def pinned_folder(uri: str, below: Sequence[Path]) -> str:
    """Pin ``file:`` to the absolute folder of an MLflow model that lies ``below`` one of these. Raises ModelUnusable.

    Links are followed first. What lies elsewhere is not looked at, so nobody learns what there is.
    """
    folder = Path(unquote(urlsplit(uri).path)).resolve()
    if not any(folder.is_relative_to(each.resolve()) for each in below):
        raise ModelUnusable("A file: URI names a folder below one of those that the setting model_folders lists.")
    if not (folder / mlmodel.FILE_NAME).is_file():
        raise ModelUnusable(
            f"A file: URI names the folder of an MLflow model, which holds an {mlmodel.FILE_NAME} file."
        )
    return folder.as_uri()


def fetch_folder(pinned: str, below: Sequence[Path], into: str) -> Artifact:
    """Copy the folder that :func:`pinned_folder` named into ``into``, if it still does. Raises ModelUnusable."""
    source = Path(unquote(urlsplit(pinned_folder(pinned, below)).path))
    try:
        shutil.copytree(source, into, symlinks=True, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise ModelUnusable(f"{pinned} cannot be copied.") from error
    return artifact_of(Path(into), source.name, "", pinned, ".")


def artifact_of(folder: Path, name: str, version: str, uri: str, path: str) -> Artifact:
    """Describe an MLflow model in a folder; without a version it takes the model's own id. Raises ModelUnusable."""
    try:
        content = (folder / mlmodel.FILE_NAME).read_bytes()
    except OSError as error:
        raise ModelUnusable(f"The artifact of {uri} holds no {mlmodel.FILE_NAME} file.") from error
    model = mlmodel.parse(content)
    said = version or model.ident or _UNNAMED
    return Artifact(name, said, uri, model.flavour(), path, model.feature_service(), model.task())
