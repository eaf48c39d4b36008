"""How commands reach a running control plane, and what they say when it says no. Exit codes are for scripts."""

import json
import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from gateway.core.errors import GatewayError
from gateway.settings import KEY, Settings

_LONGEST_S = 180.0
"""Preparing a model may take a minute, and measuring it another."""


class Exit(IntEnum):
    """What a command ends with."""

    DONE = 0
    REFUSED = 1
    """The gateway said no, or a check failed."""
    MISUSED = 2
    """The words typed or the settings make no sense."""
    UNREACHABLE = 3
    """No control plane answers."""
    DEMOTED = 4
    """``watch``: the candidate was demoted."""
    NEEDS_A_PERSON = 5
    """``watch``: it is paused, or waits for approval."""
    TIMED_OUT = 6
    """``watch``: it had not ended in the time given."""


class CommandFailed(GatewayError):
    """The command cannot be carried out; ``code`` is what it ends with."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class ControlClient:
    """A connection to one control plane."""

    http: httpx.Client

    @classmethod
    def open(cls, settings: Settings, url: str | None) -> "ControlClient":
        """Reach the control plane at ``url``, or the one that runs on these settings' state folder.

        With the key that ``GATEWAY_KEY`` holds, if it holds one; a key in a command's words would stand in the list of
        processes.
        """
        key = os.environ.get(KEY)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return cls(httpx.Client(base_url=url or address_of(settings), timeout=_LONGEST_S, headers=headers))

    def __enter__(self) -> "ControlClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    def get(self, path: str, **parameters: str | int) -> dict[str, Any]:
        """Ask. Raises CommandFailed."""
        return self._answer("GET", path, params=parameters)

    def post(self, path: str, body: dict[str, Any], revision: int | None = None) -> dict[str, Any]:
        """Tell, without the members that are None, and for ``revision`` only, if one is named. Raises CommandFailed."""
        said = {name: value for name, value in body.items() if value is not None}
        return self._answer("POST", path, json=said, headers={} if revision is None else {"If-Match": f'"{revision}"'})

    def delete(self, path: str, **parameters: str) -> dict[str, Any]:
        """Take away. Raises CommandFailed."""
        return self._answer("DELETE", path, params=parameters)

    def deployment(self, named: str | None) -> str:
        """The deployment meant: the one named, the only one, or the default. Raises CommandFailed."""
        if named is not None:
            return named
        found = self.get("/admin/deployments")["deployments"]
        chosen = found if len(found) == 1 else [one for one in found if one["default"]]
        if len(chosen) != 1:
            names = ", ".join(one["deployment"] for one in found) or "none"
            raise CommandFailed(f"Name a deployment; there are: {names}.", Exit.MISUSED)
        return str(chosen[0]["deployment"])

    def place(self, named: str | None) -> str:
        """The path of the deployment meant. Raises CommandFailed."""
        return f"/admin/deployments/{self.deployment(named)}"

    def _answer(self, method: str, path: str, **about: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's own arguments
        try:
            response = self.http.request(method, path, **about)
        except httpx.TransportError as error:
            message = f"No control plane answers at {self.http.base_url} ({type(error).__name__}); is the gateway up?"
            raise CommandFailed(message, Exit.UNREACHABLE) from error
        try:
            body: dict[str, Any] = response.json()
        except json.JSONDecodeError as error:
            message = f"{self.http.base_url} answered {response.status_code}, but not as a control plane does."
            raise CommandFailed(message, Exit.UNREACHABLE) from error
        if response.is_success:
            return body
        places = "".join(f" {place['pointer']}: {place['detail']}" for place in body.get("errors", ()))
        raise CommandFailed(f"{body.get('detail', 'refused')}{places}", Exit.REFUSED)


def address_of(settings: Settings) -> str:
    """Where the control plane of these settings listens: as it wrote down when it started, else as configured."""
    written = settings.state_dir / "run" / "addresses.json"
    return _written(written) or f"http://{settings.control_host}:{settings.control_port}"


def _written(path: Path) -> str | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return str(found["control"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
