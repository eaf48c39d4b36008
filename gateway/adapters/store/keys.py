"""The keys that sign prediction ids, in one file that only its owner can read.

An old key goes on verifying for as long as a label may come, so rotation adds a key and never takes one away.
"""

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway.core.errors import SettingsError, StoreUnavailable
from gateway.core.ids import SigningKeys

_KEY_BYTES = 32
_LOOK_EVERY_S = 0.1


class _Document(msgspec.Struct):
    """The file: key ids to base64, and the id that signs."""

    current: str
    keys: dict[str, bytes]


def load_or_create_keys(path: Path) -> SigningKeys:
    """Read the keys at ``path``, or make the first one. Two processes that do so at once get the same key.

    Raises SettingsError when the file holds no keys, or when others may read it.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            _write(path, SigningKeys("k1", {"k1": secrets.token_bytes(_KEY_BYTES)}), replace=False)
    return _read(path)


def share_keys(path: Path, shared: Callable[[Callable[[], bytes]], bytes]) -> SigningKeys:
    """Bring the keys of a shared store to ``path``, where this host's workers wait for them, and read them.

    ``shared`` gives the store's keys, or makes them those that it is handed: what this host signed with until now, if
    it did. Without the store, what was brought here earlier stands. Raises StoreUnavailable where there is neither.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        document = msgspec.json.decode(shared(lambda: _offer(path)), type=_Document)
    except StoreUnavailable:
        if not path.exists():
            raise
        return _read(path)
    keys = SigningKeys(document.current, document.keys)
    if not path.exists() or _read(path) != keys:
        _write(path, keys, replace=True)
    return keys


def await_keys(path: Path, longest_s: float) -> SigningKeys:
    """Read the keys that the agent brings to ``path``. Raises SettingsError when it has not within ``longest_s``."""
    for _ in range(int(longest_s / _LOOK_EVERY_S)):
        if path.exists():
            break
        time.sleep(_LOOK_EVERY_S)
    return _read(path)


def _offer(path: Path) -> bytes:
    keys = _read(path) if path.exists() else SigningKeys("k1", {"k1": secrets.token_bytes(_KEY_BYTES)})
    return msgspec.json.encode(_Document(keys.current, dict(keys.keys)))


def rotate(path: Path) -> SigningKeys:
    """Add a key that signs from now on; what the old ones signed still verifies."""
    old = _read(path)
    name = f"k{len(old.keys) + 1}"
    keys = SigningKeys(name, {**old.keys, name: secrets.token_bytes(_KEY_BYTES)})
    _write(path, keys, replace=True)
    return keys


def _read(path: Path) -> SigningKeys:
    try:
        if path.stat().st_mode & 0o077:
            raise SettingsError(f"{path} holds signing keys and others may read it; make its mode 0600.")
        document = msgspec.json.decode(path.read_bytes(), type=_Document)
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"{path} does not hold signing keys ({error}).") from error
    if document.current not in document.keys:
        raise SettingsError(f"{path} has no key {document.current}, which is to sign.")
    return SigningKeys(document.current, document.keys)


def _write(path: Path, keys: SigningKeys, *, replace: bool) -> None:
    """Put a whole file at ``path``, on disk. Raises FileExistsError when there is one and it is not to be replaced."""
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(_Document(keys.current, dict(keys.keys))))
            file.flush()
            os.fsync(file.fileno())
        if replace:
            hidden.replace(path)
        else:
            os.link(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
