"""Locks for tests: keys by name, on a hand-wound clock, and an identity provider that signs what it is told."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.adapters.access import KeyFile, Rates
from gateway.adapters.access.tokens import KeySet, Tokens
from gateway.adapters.clock import ManualClock
from gateway.core.access import Key, by_digest, digest_of, with_key
from gateway.edge.locks import Locks
from gateway.settings.access import OidcSettings

ALL = ("predict", "feedback", "debug", "operate", "read")
NOW = 1_700_000_000.0
ISSUER, AUDIENCE = "https://id.example.test", "gateway"
OIDC = OidcSettings(issuer=ISSUER, audience=AUDIENCE)


def secret_of(name: str) -> str:
    """The key of a name in these tests."""
    return f"gwk_{name}-0123456789abcdefghijklmnopqrstuvwxyz0123"


def bearer(secret: str) -> dict[str, str]:
    """The header that carries it."""
    return {"Authorization": f"Bearer {secret}"}


def key(name: str, scopes: Sequence[str], **said: Any) -> Key:
    """A key as it is kept."""
    return Key(name, name, digest_of(secret_of(name).encode()).hex(), tuple(scopes), NOW, **said)


@dataclass
class Ring:
    """Keys in memory."""

    keys: tuple[Key, ...]

    @property
    def known(self) -> Any:
        return by_digest(self.keys)


def locks(
    keys: Mapping[str, Sequence[str]] | Sequence[Key],
    clock: ManualClock | None = None,
    *,
    rate: str | None = None,
    failures: str = "1000000/second",
    tokens: Tokens | None = None,
) -> Locks:
    """Locks that these keys open."""
    clock = clock or ManualClock()
    held = tuple(key(name, scopes) for name, scopes in keys.items()) if isinstance(keys, Mapping) else tuple(keys)
    return Locks(Ring(held), Rates(clock, rate, failures), clock, tokens)


def write_keys(path: Path, keys: Mapping[str, Sequence[str]]) -> None:
    """Put a key file where a gateway looks for it."""
    for name, scopes in keys.items():
        made = key(name, scopes)
        KeyFile(path).change(lambda held, made=made: with_key(held, made, NOW))  # type: ignore[misc]


@dataclass
class Provider:
    """An identity provider: an RSA key with an id, and tokens signed by it."""

    folder: Path
    kid: str = "2026-11"
    private: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65_537, 2_048))

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public key as it is published."""
        said: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**said, "kid": self.kid, "use": "sig", "alg": "RS256", **changes}

    def publish(self, *keys: dict[str, Any]) -> KeySet:
        """Leave the key set where workers read it."""
        path = self.folder / "oidc-keys.json"
        path.write_text(json.dumps({"keys": list(keys) or [self.jwk()]}))
        return KeySet(path)

    def claims(self, now: float, **changes: Any) -> dict[str, Any]:
        """The claims of a good token; None takes one out."""
        said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "scope": "read operate", "exp": now + 7_200, **changes}
        return {name: value for name, value in said.items() if value is not None}

    def token(self, now: float, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A signed token."""
        return jwt.encode(self.claims(now, **changes), self.private, "RS256", {"kid": self.kid, **(headers or {})})
