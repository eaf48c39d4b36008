"""Keeps the locks of a process up to date: looks once a second whether keys have changed, off the event loop.

The agent's watchman also runs the errand to the identity provider; workers only read what it brought.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from gateway.adapters.access import KeyFile, Rates
from gateway.core.errors import OutboundRefused
from gateway.edge.locks import Locks
from gateway.ports import Clock
from gateway.processes.duties import aside
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.adapters.access.tokens import KeySet, Tokens

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 1.0
_AGAIN_S = 5.0


class Watchman:
    """The locks of one process and what keeps them true. Raises SettingsError where a key file is unusable."""

    def __init__(self, settings: Settings, clock: Clock, also: Sequence[Callable[[], None]] = ()) -> None:
        """``also`` is looked at as often as the keys are: files that people change while the process runs."""
        self._also = tuple(also)
        self._oidc = settings.oidc
        self._path = settings.state_dir / "oidc-keys.json"
        self._keys = KeyFile(settings.keys_path, must_exist=settings.keys_file is not None)
        self._key_set, tokens = _tokens(settings, self._path, clock)
        self.locks = Locks(self._keys, Rates(clock, settings.rate, settings.rate_of_failures), clock, tokens)

    async def watch(self) -> None:
        """Take over changed keys within a second, for as long as the process lives."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await asyncio.to_thread(self._look)

    async def fetch(self) -> None:
        """Bring the identity provider's keys, again and again; sooner while it does not give them. Ends without one."""
        if self._oidc is None:
            return
        from gateway.adapters.access.provider import fetch_keys

        while True:
            wait_s = _AGAIN_S
            try:
                await aside(fetch_keys, self._oidc, self._path)
                wait_s = max(self._oidc.refresh, 1.0)
            except (OutboundRefused, OSError) as error:  # those fetched before stay in force
                log.warning("identity_provider_unavailable", reason=str(error))
            await asyncio.sleep(wait_s)

    def _look(self) -> None:
        self._keys.refresh()
        if self._key_set is not None:
            self._key_set.refresh()
        for refresh in self._also:
            refresh()


def _tokens(settings: Settings, path: Path, clock: Clock) -> "tuple[KeySet | None, Tokens | None]":
    """What checks an identity provider's tokens, where the settings name one: nobody else pays for cryptography."""
    if settings.oidc is None:
        return None, None
    from gateway.adapters.access.tokens import KeySet, Tokens

    key_set = KeySet(path)
    return key_set, Tokens(settings.oidc, key_set, clock)
