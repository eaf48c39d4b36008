"""The bytes of a model artifact: read once, named by their digest, and checked before anything is made of them.

A model is loaded from the bytes in memory that were checked, never from a file that is opened a second time, so
nothing can be swapped between check and load. Nothing here unpickles anything.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from gateway.core.errors import ModelUnusable

Files: TypeAlias = Mapping[str, bytes]
"""Contents by path, relative to the artifact's folder and written with ``/``."""

GREATEST_ARTIFACT = 2 * 2**30
"""Bytes of the greatest artifact that is taken, unless a caller says otherwise."""


def read_files(folder: Path, at_most: int = GREATEST_ARTIFACT) -> dict[str, bytes]:
    """Read every file below ``folder``, each exactly once.

    Raises ModelUnusable for a missing or empty folder, for anything that is neither a plain file nor a folder (a
    link could point anywhere), and for more than ``at_most`` bytes in all.
    """
    files: dict[str, bytes] = {}
    left = at_most
    try:
        for path in _walk(folder):
            with path.open("rb") as file:
                content = file.read(min(os.fstat(file.fileno()).st_size, left) + 1)  # reserves all that at once
            left -= len(content)
            if left < 0:
                raise ModelUnusable(f"The artifact is greater than the {at_most} bytes allowed.")
            files[path.relative_to(folder).as_posix()] = content
    except OSError as error:
        raise ModelUnusable(f"The artifact cannot be read: {error.strerror}.") from error
    if not files:
        raise ModelUnusable("The artifact holds no files.")
    return files


def digest_of(files: Files) -> str:
    """Name an artifact by the SHA-256 over its sorted paths and contents, each preceded by its length.

    >>> digest_of({"a": b"bc"}) == digest_of({"ab": b"c"})
    False
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        for part in (path.encode("utf-8", "surrogateescape"), files[path]):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()


def verified(folder: Path, digest: str, at_most: int = GREATEST_ARTIFACT) -> dict[str, bytes]:
    """Read the artifact below ``folder``; raises ModelUnusable unless its bytes are those of ``digest``."""
    files = read_files(folder, at_most)
    if digest_of(files) != digest:
        raise ModelUnusable(f"The prepared model {digest[:12]} is not what was verified: its bytes have changed.")
    return files


def write_files(files: Files, folder: Path) -> None:
    """Write the files below ``folder`` and bring them to disk, readable by nobody else."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        mode = entry.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from _walk(entry)
        elif stat.S_ISREG(mode):
            yield entry
        else:
            raise ModelUnusable(f"The artifact holds {entry.name}, which is neither a plain file nor a folder.")
