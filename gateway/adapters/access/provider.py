"""Fetches an identity provider's key set into the file that workers read: the agent's errand, never a request's."""

from pathlib import Path
from typing import Any

import jwt
import msgspec

from gateway.adapters.access.tokens import read_keys
from gateway.adapters.files import write_whole
from gateway.adapters.outbound import fetch
from gateway.core.errors import OutboundRefused
from gateway.settings.access import OidcSettings

_WELL_KNOWN = "/.well-known/openid-configuration"
_MOST = 2**20


def fetch_keys(settings: OidcSettings, path: Path) -> int:
    """Fetch the key set, check that it is one, and leave it at ``path``; returns how many keys. Blocks.

    Raises OutboundRefused.
    """
    try:
        url = settings.jwks_url or _discovered(settings)
        raw = fetch(url, most=_MOST)
        keys = read_keys(raw.decode())
    except (jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
        raise OutboundRefused(f"The identity provider gives no keys that can be used: {error}") from error
    if not keys:
        raise OutboundRefused("The identity provider's key set has no signature key with an id.")
    if not path.exists() or path.read_bytes() != raw:
        write_whole(path, raw)
    return len(keys)


def _discovered(settings: OidcSettings) -> str:
    """Ask the provider's own document where its keys are; it must be the issuer's."""
    raw = fetch(settings.issuer.rstrip("/") + _WELL_KNOWN, most=_MOST)
    said: dict[str, Any] = msgspec.json.decode(raw)
    if said["issuer"] != settings.issuer:
        raise OutboundRefused("The discovery document is another issuer's.")
    url = str(said["jwks_uri"])
    if not url.startswith("https://") and not settings.issuer.startswith("http://"):
        raise OutboundRefused("The discovery document names keys that do not come by https.")
    return url
