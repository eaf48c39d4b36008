"""Policies as code: Rego evaluated in this process, or asked of an OPA server."""

from pathlib import Path

from gateway.adapters.policy.aside import Aside
from gateway.adapters.policy.memory import MemoryGate
from gateway.adapters.policy.opa import OpaServer
from gateway.adapters.policy.rego import RegoFolder
from gateway.ports import Clock, PolicyGate

__all__ = ["Aside", "MemoryGate", "OpaServer", "RegoFolder", "open_policy"]


def open_policy(said: str | None, clock: Clock) -> PolicyGate | None:
    """Open the folder or the server that ``said`` names. Raises SettingsError."""
    if said is None:
        return None
    if said.startswith(("http://", "https://")):
        return Aside(OpaServer(said), clock)
    return RegoFolder(Path(said))
