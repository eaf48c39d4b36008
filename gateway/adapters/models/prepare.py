"""From a registry's artifact to a prepared model: fetched once, named by its digest, opened first in a child process.

The cache is ``<path>/<digest>/`` with ``artifact/`` and ``manifest.json`` (the model's card); a folder appears there
whole or not at all. Everything here may be slow and belongs to the agent, except ``load``, which is a worker's.
"""

import os
import shutil
import tempfile
from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from gateway.adapters.children import ANSWER, how_it_ended, run_child
from gateway.adapters.models.apart import ApartModel
from gateway.adapters.models.artifacts import digest_of, read_files, verified, write_files
from gateway.adapters.models.compiled import COMPILED_FILE, form_digest, open_compiled
from gateway.adapters.models.flavours import flavour, modules_of
from gateway.adapters.models.inspect_child import Job, Verdict, card_of
from gateway.adapters.models.mlinputs import with_declared
from gateway.adapters.models.pickles import admit
from gateway.adapters.models.profile import PROFILE_FILE
from gateway.core.deployments import ANYTHING, ORIGINAL, Admission, ModelCard
from gateway.core.errors import GatewayError, ModelUnusable
from gateway.ports import Artifact, Model, ModelStore

_CHILD = "gateway.adapters.models.inspect_child"
_INCOMING = ".incoming-"
_CARD_FILE = "manifest.json"
_LONGEST_VERDICT = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """What opening an artifact for the first time may cost: machine seconds, and bytes of memory and of files."""

    wall_s: float = 60.0
    memory_bytes: int = 4 * 2**30
    artifact_bytes: int = 2 * 2**30


class ModelCache:
    """The prepared models of this host."""

    def __init__(self, path: Path, limits: Limits = Limits()) -> None:
        self._path = path
        self._limits = limits

    def prepare(self, store: ModelStore, uri: str, admission: Admission = ANYTHING) -> ModelCard:
        """Pin, fetch, verify and try the model at ``uri``, and return its card. Raises ModelUnusable.

        A model whose bytes are in the cache already is not opened again; one that ``admission`` does not let in is not
        opened at all. A failure leaves nothing behind.
        """
        pinned = store.resolve(uri)
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_INCOMING, dir=self._path) as incoming:
            fetched = Path(incoming, "fetched")
            artifact = store.fetch(pinned, str(fetched))
            files = read_files(fetched / artifact.path, self._limits.artifact_bytes)
            admit(artifact.flavour, files, admission.pickles)
            if artifact.flavour == "pyfunc":
                files = with_declared(files, admission.inputs)
            digest = digest_of(files)
            if not self._holds(digest):
                whole = Path(incoming, "whole")
                write_files(files, whole / "artifact")
                card, compiled = inspect_in_child(whole / "artifact", digest, artifact, self._limits)
                beside = {COMPILED_FILE: compiled} if compiled else {}
                write_files({_CARD_FILE: msgspec.json.encode(card), **beside}, whole)
                self._put(whole, digest)
        found = self.card(digest)
        return replace(found, name=artifact.name, version=artifact.version, uri=pinned)

    def card(self, digest: str) -> ModelCard:
        """Read the card of a prepared model. Raises ModelUnusable where this host has not prepared it."""
        try:
            content = (self._path / digest / _CARD_FILE).read_bytes()
            return msgspec.json.decode(content, type=ModelCard)
        except (OSError, msgspec.MsgspecError) as error:
            raise ModelUnusable(f"The model {digest[:12]} is not prepared on this host.") from error

    def profile(self, digest: str) -> bytes | None:
        """Read what lies beside a prepared model as its reference for drift; None where it carries none."""
        try:
            return (self._path / digest / "artifact" / PROFILE_FILE).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ModelUnusable(f"The {PROFILE_FILE} of {digest[:12]} cannot be read: {error.strerror}.") from error

    def load(self, card: ModelCard) -> Model:
        """Load a prepared model from bytes that are read once and verified. Raises ModelUnusable.

        One that brings modules gets a process of its own. Blocks for as long as unpickling takes: never call it on the
        event loop.
        """
        return self._loaded(card, apart=True)

    def open(self, card: ModelCard) -> Model:
        """Load a prepared model into this process, modules and all: only in one that serves no other."""
        return self._loaded(card, apart=False)

    def _loaded(self, card: ModelCard, *, apart: bool) -> Model:
        kind = flavour(card.flavour)
        files = verified(self._path / card.path, card.digest, self._limits.artifact_bytes)
        compiled = self._load_compiled(card)
        if compiled is not None:
            return compiled
        if apart and modules_of(card.flavour, files):
            return ApartModel(card, self._path.absolute(), self._limits.wall_s, self._limits.artifact_bytes)
        try:
            return kind.model(card, kind.open(files))
        except GatewayError:
            raise
        except Exception as error:  # opening an artifact runs foreign code
            raise ModelUnusable(f"{card.uri} cannot be loaded ({type(error).__name__}).") from error

    def _load_compiled(self, card: ModelCard) -> Model | None:
        """Load the form that was proved; None where it is the original, or its runtime is not installed here."""
        if not card.form.digest:
            return None
        try:
            content = (self._path / card.digest / COMPILED_FILE).read_bytes()
            return open_compiled(content, card)
        except ModuleNotFoundError:
            return None
        except OSError as error:
            raise ModelUnusable(f"The {card.form.kind} form of {card.uri} cannot be read: {error.strerror}.") from error

    def prune(self, keep: Container[str], before: float) -> list[str]:
        """Delete every model not in ``keep`` last prepared before ``before`` (wall seconds); returns their digests.

        Preparations that a dead agent left unfinished go too.
        """
        gone = []
        for folder in self._path.iterdir() if self._path.is_dir() else ():
            if folder.name not in keep and folder.stat().st_mtime < before:
                shutil.rmtree(folder, ignore_errors=True)
                if not folder.name.startswith(_INCOMING):
                    gone.append(folder.name)
        return gone

    def _holds(self, digest: str) -> bool:
        """Whether the model is here, unspoilt; the folder's age starts anew, so that nobody prunes it now."""
        try:
            card = self.card(digest)
            if card.form.digest and form_digest((self._path / digest / COMPILED_FILE).read_bytes()) != card.form.digest:
                return False
            verified(self._path / digest / "artifact", digest, self._limits.artifact_bytes)
            os.utime(self._path / digest)
        except (ModelUnusable, OSError):
            return False
        return True

    def _put(self, whole: Path, digest: str) -> None:
        """Move a finished folder into place, in one step; a spoilt one of the same name makes way."""
        target = self._path / digest
        if target.exists():
            target.replace(whole.with_name("spoilt"))
        whole.replace(target)
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def inspect_in_child(folder: Path, digest: str, artifact: Artifact, limits: Limits) -> tuple[ModelCard, bytes]:
    """Open the artifact in a process of its own; return the card it found, and its compiled form if that is to run.

    Raises ModelUnusable.

    Whatever the artifact does there - crash, loop, allocate, start processes - ends with that process group.
    """
    job = Job(str(folder), digest, artifact, limits.wall_s, limits.memory_bytes, limits.artifact_bytes)
    with tempfile.TemporaryDirectory(prefix="gateway-inspect-", ignore_cleanup_errors=True) as scratch:
        code = run_child(_CHILD, msgspec.json.encode(job), Path(scratch), limits.wall_s)
        verdict = _read(Path(scratch, ANSWER))
        compiled = _read_compiled(Path(scratch, COMPILED_FILE), limits)
    if verdict is not None and verdict.found is not None:
        form = verdict.form if verdict.form.digest == (form_digest(compiled) if compiled else "") else ORIGINAL
        return card_of(artifact, digest, verdict.found, form), compiled  # its name is not for the artifact to say
    if verdict is not None:
        raise ModelUnusable(f"{artifact.uri}: {verdict.unusable}")
    raise ModelUnusable(f"{artifact.uri}: {how_it_ended(code, limits.wall_s)}")


def _read(path: Path) -> Verdict | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_LONGEST_VERDICT), type=Verdict)
    except msgspec.MsgspecError:
        return None


def _read_compiled(path: Path, limits: Limits) -> bytes:
    """Read what the child left, nothing where it left nothing; a link of the artifact's own making is not followed."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > limits.artifact_bytes:
        return b""
    return path.read_bytes()
