"""Who asks and what they may do: scopes, principals, and keys as the gateway knows them - by digest, never by value.

A key is 256 random bits, so a plain SHA-256 of it can neither be turned round nor guessed; what is stored opens
nothing. Two keys of one name may live at a time: callers move to the second before the first is revoked.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.core import actors
from gateway.core.errors import SettingsError

SCOPES = frozenset({"predict", "feedback", "debug", "operate", "read"})
"""Everything there is to be allowed."""
KEY_PREFIX = "gwk_"
"""What every key begins with, so that scanners of repositories and logs find one that leaked."""
MOST_LIVE = 2
"""Keys of one name that may live at a time: the old one and the new one of a rotation."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, what they may do, and how often (``100/second``; None: as the settings say)."""

    name: str
    scopes: frozenset[str]
    rate: str | None = None


LOCAL = Principal("local", SCOPES)
"""Everybody, where no keys are configured."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept. ``id`` names it for people; ``digest`` is hexadecimal; times are wall seconds."""

    id: str
    name: str
    digest: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None = None
    revoked: float | None = None
    rate: str | None = None

    def lives(self, now: float) -> bool:
        """Whether it opens anything at ``now``."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    def principal(self) -> Principal:
        """Who uses it."""
        return Principal(self.name, frozenset(self.scopes), self.rate)


def digest_of(secret: bytes) -> bytes:
    """The digest by which a key is known.

    >>> digest_of(b"gwk_x").hex()[:8]
    '9c1d348a'
    """
    return hashlib.sha256(secret).digest()


def with_key(keys: Sequence[Key], new: Key, now: float) -> tuple[Key, ...]:
    """Add a key. Raises SettingsError for an unknown scope, a bad name, or a third live key of one name."""
    if unknown := sorted(set(new.scopes) - SCOPES):
        raise SettingsError(f"No such scope: {', '.join(unknown)}; there are: {', '.join(sorted(SCOPES))}.")
    if not new.scopes:
        raise SettingsError(f"A key needs a scope; there are: {', '.join(sorted(SCOPES))}.")
    if not new.name.replace("-", "").replace("_", "").isalnum() or not new.name.isascii() or len(new.name) > 64:
        raise SettingsError("A key's name has letters, digits, - and _, 64 at most; it stands in the timeline.")
    if new.name in actors.NOBODY:
        raise SettingsError(
            f"{new.name} is who acts when no person does; the timeline must not take one for the other."
        )
    live = [key.id for key in keys if key.name == new.name and key.lives(now)]
    if len(live) >= MOST_LIVE:
        raise SettingsError(f"{new.name} has {len(live)} live keys already ({', '.join(live)}); revoke one first.")
    return (*keys, new)


def without_key(keys: Sequence[Key], key_id: str, now: float) -> tuple[Key, ...]:
    """Revoke a key; it stays in the list, so that people see who had one. Raises SettingsError for an unknown id."""
    if not any(key.id == key_id and key.revoked is None for key in keys):
        raise SettingsError(f"No key {key_id} is there to revoke; `gateway keys list` names them.")
    return tuple(replace(key, revoked=now) if key.id == key_id else key for key in keys)


def by_digest(keys: Iterable[Key]) -> dict[bytes, tuple[Key, Principal]]:
    """Index the keys that were not revoked, for the one look-up that a request costs."""
    return {bytes.fromhex(key.digest): (key, key.principal()) for key in keys if key.revoked is None}
