"""Prediction ids: opaque, unforgeable, and enough to join an outcome to its prediction without a look-up.

``<key id>.<deployment tag>.<128-bit body>.<96-bit HMAC>``, base64url without padding, at most 80 characters.
"""

import hashlib
import hmac
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass

_BODY_BYTES = 16
_MAC_BYTES = 12


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The key that signs now (``current``) and every key that still verifies, by key id."""

    current: str
    keys: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class PredictionRef:
    """What an id says once its signature holds: which deployment (by tag) and which prediction (by body)."""

    tag: str
    body: str


def tag_of(deployment: str) -> str:
    """Shorten a deployment's name to the eight characters that stand for it in ids."""
    return _b64(hashlib.blake2b(deployment.encode(), digest_size=6).digest())


def body_of(caller: str, deployment: str, request_id: str) -> str:
    """Derive the body from the caller's own request id, so that the same request gets the same prediction id."""
    text = "\x1f".join((caller, deployment, request_id))
    return _b64(hashlib.blake2b(text.encode(), digest_size=_BODY_BYTES).digest())


def body_from(random: bytes) -> str:
    """Turn 16 random bytes into a body.

    >>> body_from(bytes(16))
    'AAAAAAAAAAAAAAAAAAAAAA'
    """
    if len(random) != _BODY_BYTES:
        raise ValueError(f"a body is {_BODY_BYTES} random bytes, not {len(random)}")
    return _b64(random)


def mint(keys: SigningKeys, tag: str, body: str) -> str:
    """Sign ``tag`` and ``body`` into a prediction id."""
    return f"{keys.current}.{tag}.{body}.{_mac(keys.keys[keys.current], tag, body)}"


def verify(keys: SigningKeys, prediction_id: str) -> PredictionRef | None:
    """Return what the id refers to, or None when this gateway never issued it."""
    parts = prediction_id.split(".")
    if len(parts) != 4 or not prediction_id.isascii():
        return None
    key_id, tag, body, mac = parts
    key = keys.keys.get(key_id)
    if key is None or not hmac.compare_digest(mac, _mac(key, tag, body)):
        return None
    return PredictionRef(tag, body)


def key_hash(key: str) -> str:
    """Hash a routing key for the record: equal keys stay equal, the key itself is not stored."""
    return _b64(hashlib.blake2b(key.encode(), digest_size=12).digest())


def _mac(key: bytes, tag: str, body: str) -> str:
    return _b64(hmac.digest(key, f"{tag}.{body}".encode(), "sha256")[:_MAC_BYTES])


def _b64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=").decode()


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
