"""The part of the file that says whose tokens open the doors."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from gateway.settings.words import Seconds, Section

_NEAR = ("127.0.0.1", "::1", "localhost")
_Scope = Literal["predict", "feedback", "debug", "operate", "read"]
_Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class OidcSettings(Section):
    """An identity provider whose signed tokens (JWT) are taken beside keys."""

    issuer: str = Field(min_length=1)
    """What the claim ``iss`` must be, to the letter."""
    audience: str = Field(min_length=1)
    """What the claim ``aud`` must be or hold."""
    jwks_url: str | None = None
    """Where its public keys are; none asks ``issuer``/.well-known/openid-configuration. ``https``, or loopback."""
    algorithms: tuple[_Algorithm, ...] = ("RS256", "ES256")
    """Signatures taken; whatever a token itself says."""
    name_claim: str = "sub"
    """The claim that names a principal; it stands in the timeline as ``oidc:NAME``."""
    scopes_claim: str = "scope"
    """The claim that says what a principal may do: words with spaces between them, or a list."""
    grants: dict[str, tuple[_Scope, ...]] = {}
    """Scopes by a word of that claim (``ml-operators: [read, operate]``); none takes our own words as they are."""
    refresh: Seconds = 300.0
    """Time between two looks at the provider's keys, a duration."""
    leeway: Seconds = 30.0
    """By how much its clock and ours may differ, a duration."""

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _by_tls(cls, url: str | None) -> str | None:
        said = urlsplit(url or "https://")
        if said.scheme != "https" and (said.scheme != "http" or said.hostname not in _NEAR):
            raise ValueError("must be an https URL: who can change the keys on their way can sign tokens")
        return url
