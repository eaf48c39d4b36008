"""The locks of both planes: who is at the door, may they come in here, and are they not too many.

Without keys everybody is ``local`` with every scope, which costs nothing. With keys a request costs one digest and
one look-up; a token that was seen before costs the same. Everything else - reading files, fetching an identity
provider's keys - happens elsewhere. A bad key is counted by address and told 429 after a while; a good one never is.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.core.access import KEY_PREFIX, LOCAL, Key, Principal, digest_of
from gateway.edge import problems
from gateway.edge.doors import ANYBODY, NOBODY, Doors
from gateway.ports import Clock

log = structlog.get_logger(__name__)

# Basic comes first: Chromium reads one challenge of a line, and only by Basic does it ask a person.
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="gateway", Bearer realm="gateway"'}
_NO_SCOPE = frozenset({ANYBODY, NOBODY})
_SAY_EVERY_S = 10.0
_SMALL_BODY = 65_536
"""A body that is announced to be larger than this is not read to its end once its sender was refused."""


class Keys(Protocol):
    """The keys in force. ``known`` is None where there have never been any."""

    @property
    def known(self) -> Mapping[bytes, tuple[Key, Principal]] | None:
        """Keys and whose they are, by digest."""


class Bearers(Protocol):
    """Says who bears a token of an identity provider."""

    def remembered(self, token: bytes) -> Principal | None:
        """At the price of a look-up: whoever was found before."""

    def check(self, token: bytes) -> Principal | None:
        """At the price of a signature: who it is, or None."""


class Turnstile(Protocol):
    """Counts who comes how often."""

    def spend(self, name: str, rate: str | None) -> int | None:
        """Count a principal's request; seconds to wait when it is one too many."""

    def fail(self, address: str) -> int | None:
        """Count a knock without a good key; seconds to wait when it is one too many."""

    def failed_too_often(self, address: str) -> bool:
        """Whether an address has had its chances."""


@dataclass(slots=True)
class Locks:
    """What stands between a caller and the routes of one process."""

    keys: Keys
    turnstile: Turnstile
    clock: Clock
    tokens: Bearers | None = None
    refused: int = 0
    _said_at: float = float("-inf")

    @property
    def locked(self) -> bool:
        """Whether anybody needs a key."""
        return self.tokens is not None or self.keys.known is not None

    def admit(self, scope: Scope, needed: frozenset[str]) -> Principal:
        """Say who asks, if they may. Raises HTTPException 401, 403, 429."""
        if not self.locked:
            return LOCAL
        secret = _secret(scope)
        principal = None if secret is None else self._known(secret)
        if principal is None:
            principal = self._checked(scope, secret)
        missing = needed - principal.scopes - _NO_SCOPE
        if missing:
            raise HTTPException(403, f"This key lacks the scope {' and '.join(sorted(missing))}.", _after(scope))
        wait_s = self.turnstile.spend(principal.name, principal.rate)
        if wait_s is not None:
            raise HTTPException(429, "This key asks too often.", {"Retry-After": str(wait_s), **_after(scope)})
        return principal

    def _known(self, secret: bytes) -> Principal | None:
        """The one look-up."""
        known = self.keys.known
        found = None if known is None else known.get(digest_of(secret))
        if found is not None and (found[0].expires is None or found[0].lives(self.clock.wall())):
            return found[1]
        return None if self.tokens is None else self.tokens.remembered(secret)

    def _checked(self, scope: Scope, secret: bytes | None) -> Principal:
        """Look at what is not known: a new token, or nothing good. Raises HTTPException 401, 429."""
        client = scope.get("client")
        address = client[0] if client else "unknown"
        if secret is not None and self.tokens is not None and not secret.startswith(KEY_PREFIX.encode()):
            principal = None if self.turnstile.failed_too_often(address) else self.tokens.check(secret)
            if principal is not None:
                return principal
        self._note()
        wait_s = self.turnstile.fail(address)
        if wait_s is not None:
            raise HTTPException(
                429, "Too many requests without a good key.", {"Retry-After": str(wait_s), **_after(scope)}
            )
        raise HTTPException(
            401, "Send a key of this gateway: Authorization: Bearer KEY.", {**_CHALLENGE, **_after(scope)}
        )

    def _note(self) -> None:
        """Leave a line now and then, however many come."""
        self.refused += 1
        now = self.clock.machine()
        if now - self._said_at >= _SAY_EVERY_S:
            log.warning("keys_refused", since_the_start=self.refused)
            self._said_at = now


class Locked:
    """ASGI middleware: holds every request to a table of doors, once there are locks."""

    def __init__(self, app: ASGIApp, locks: Locks, doors: Doors) -> None:
        self._app, self._locks, self._doors = app, locks, doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in as somebody, or answer for it."""
        if scope["type"] == "http" and self._locks.locked:
            try:
                scope["principal"] = self._admit(scope)
            except HTTPException as refusal:
                await problems.respond(refusal, scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> Principal:
        """Who asks is found out before whether there is such a route: a stranger learns nothing of what there is."""
        try:
            needed = self._doors.needs(scope["method"], scope["path"])
        except HTTPException:
            self._locks.admit(scope, frozenset())
            raise
        return LOCAL if needed == {NOBODY} else self._locks.admit(scope, needed)


def principal_of(scope: Scope) -> Principal:
    """Who asks, as the locks found; ``local`` without them."""
    found: Principal = scope.get("principal", LOCAL)
    return found


def _secret(scope: Scope) -> bytes | None:
    """The key or token that a request carries: ``Bearer KEY``, or ``Basic`` with it as the password (browsers)."""
    said = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(said) != 1:
        return None
    scheme, _, rest = said[0].partition(b" ")
    if scheme.lower() == b"bearer":
        return bytes(rest.strip()) or None
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).partition(b":")[2] or None
        except binascii.Error:
            return None
    return None


def _after(scope: Scope) -> dict[str, str]:
    """End the connection after a refusal where a large body, or one of unknown length, would still come."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    endless = any(name == b"transfer-encoding" for name, _ in scope["headers"])
    large = any(not value.isdigit() or len(value) > 9 or int(value) > _SMALL_BODY for value in lengths)
    return {"Connection": "close"} if endless or large else {}
