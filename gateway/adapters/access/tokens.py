"""Tokens of an identity provider (JWT), checked by PyJWT against keys that were fetched off the request path.

The agent fetches the provider's key set into a file; workers only read it. What a token says of itself - algorithm,
key, place of a key - is never believed: algorithms are the settings', keys the file's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import structlog

from gateway.core.access import SCOPES, Principal, digest_of
from gateway.ports import Clock
from gateway.settings.access import OidcSettings

log = structlog.get_logger(__name__)

LONGEST = 8_192
"""Longest token looked at, in characters."""
_MOST_KNOWN = 4_096
_LONGEST_NAME = 128


class KeySet:
    """The provider's public keys as they lie in a file: by key id, signature keys only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self.keys: Mapping[str, jwt.PyJWK] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take over what has changed. Never raises; keys that were read last stay in force."""
        try:
            found = self._path.stat()
            stamp = (found.st_ino, found.st_mtime_ns)
            if stamp != self._seen:
                self.keys = read_keys(self._path.read_text())
                self._seen = stamp
        except FileNotFoundError:
            return
        except (OSError, ValueError, jwt.PyJWTError) as error:
            log.error("key_set_unreadable", reason=type(error).__name__)  # noqa: TRY400 - what it is says it all


def read_keys(text: str) -> dict[str, jwt.PyJWK]:
    """Read a JWK set: public signature keys that have an id. Raises ValueError, PyJWTError."""
    found = jwt.PyJWKSet.from_json(text).keys
    usable = [key for key in found if key.key_type != "oct" and key.public_key_use in (None, "sig")]
    return {key.key_id: key for key in usable if key.key_id}


class Tokens:
    """Says who a token's bearer is. A token that was good is remembered until it expires or the keys change."""

    def __init__(self, settings: OidcSettings, key_set: KeySet, clock: Clock) -> None:
        self._settings = settings
        self._key_set = key_set
        self._clock = clock
        self._of: Mapping[str, jwt.PyJWK] = key_set.keys
        self._known: dict[bytes, tuple[Principal, float]] = {}

    def remembered(self, token: bytes) -> Principal | None:
        """Who bears a token that has been checked before, at the price of a look-up."""
        if self._of is not self._key_set.keys:
            self._known, self._of = {}, self._key_set.keys
        found = self._known.get(digest_of(token))
        return found[0] if found is not None and self._clock.wall() < found[1] else None

    def check(self, token: bytes) -> Principal | None:
        """Who bears a token, or None for one that is not good for any reason."""
        if len(token) > LONGEST:
            return None
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self._key_set.keys.get(kid) if isinstance(kid, str) else None
            if key is None:
                return None
            claims = self._verified(token, key)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
            return None
        principal = self._principal(claims)
        if principal is not None:
            self._remember(token, principal, float(claims["exp"]))
        return principal

    def _verified(self, token: bytes, key: jwt.PyJWK) -> dict[str, Any]:
        said = self._settings
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(said.algorithms),
            audience=said.audience,
            issuer=said.issuer,
            leeway=said.leeway,
            options={"require": ["exp", "iss", "aud", said.name_claim]},
        )
        return claims

    def _principal(self, claims: Mapping[str, Any]) -> Principal | None:
        name, words = claims.get(self._settings.name_claim), claims.get(self._settings.scopes_claim, "")
        if (
            not isinstance(name, str)
            or not 0 < len(name) <= _LONGEST_NAME
            or not (name.isascii() and name.isprintable())
        ):
            return None
        said = words.split() if isinstance(words, str) else words
        if not isinstance(said, list) or not all(isinstance(word, str) for word in said):
            return None
        if not self._settings.grants:
            return Principal(f"oidc:{name}", SCOPES.intersection(said))
        granted = [scope for word in said for scope in self._settings.grants.get(word, ())]
        return Principal(f"oidc:{name}", frozenset(granted))

    def _remember(self, token: bytes, principal: Principal, until: float) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()  # the good ones come again
        self._known[digest_of(token)] = (principal, until)
