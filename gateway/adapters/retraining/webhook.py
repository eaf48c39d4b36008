"""A server that trains: told over HTTP, as it wants to be told.

The run's id goes along every time, so that a call made twice asks for one run: Airflow refuses the second one (409,
which counts as taken), the others get it as an input by which their workflow can tell. Calls are guarded and bounded
(``adapters.outbound``); secrets come from the environment when they are needed and are never written down.
"""

import json
import os
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import quote, urlencode

from gateway.adapters.outbound import fetch
from gateway.core.errors import OutboundRefused, TargetFailed
from gateway.core.retraining.terms import Target, TargetKind
from gateway.ports import Order, Taken

_PATIENCE_S: Final = 20.0
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request: a ``POST`` of ``body`` to ``url``. ``taken`` are the statuses that say the run is known there.

    ``shown`` is where people see the run, where that is known before the server says so.
    """

    url: str
    headers: dict[str, str]
    body: bytes
    taken: tuple[int, ...]
    shown: str = ""


class WebhookTarget:
    """Tells a server once."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def call(self, order: Order) -> Taken:
        """Send the order. Raises TargetFailed where the server does not take it."""
        target = self._target
        try:
            call = CALLS[target.kind](target, order, _secret(target))
            answer = fetch(call.url, body=call.body, headers=call.headers, taken=call.taken, patience_s=_PATIENCE_S)
        except OutboundRefused as error:
            raise TargetFailed(f"{target.kind.value} did not take it: {error}") from error
        return Taken(ended=not target.calls_back, said=f"{target.kind.value} took it", link=_link(answer) or call.shown)

    def close(self) -> None:
        """A call that is under way ends by itself."""


def webhook(target: Target, order: Order, secret: str) -> Call:
    """Any server: the order as JSON."""
    return Call(target.url, _bearer(secret), json.dumps(asdict(order)).encode(), (200, 201, 202, 204))


def airflow(target: Target, order: Order, secret: str) -> Call:
    """Airflow: ``POST {api}/dags/{dag_id}/dagRuns``, the run's id as ``dag_run_id`` and the order as ``conf``.

    ``url`` ends with the API's version. The second one (Airflow 3) wants a ``logical_date``, null for a run that stands
    for no interval. With a ``user``, the secret is a password: Airflow 2 takes both with the request, Airflow 3 gives a
    token for them at ``/auth/token``, beside the API. Its tokens end after a day, so each call asks for a new one.
    """
    api, dag, shown = target.url.rstrip("/"), quote(target.place, safe=""), ""
    said: dict[str, object] = {"dag_run_id": order.run_id, "conf": asdict(order)}
    if not api.endswith("/api/v1"):
        said["logical_date"] = None
        shown = f"{api.removesuffix('/api/v2')}/dags/{dag}/runs/{quote(order.run_id, safe='')}"
    headers = _airflow_login(target, api, secret) if target.user else _bearer(secret)
    return Call(f"{api}/dags/{dag}/dagRuns", headers, json.dumps(said).encode(), (200, 409), shown)


def github(target: Target, order: Order, secret: str) -> Call:
    """GitHub: ``POST /repos/{owner}/{repo}/actions/workflows/{file}/dispatches``, the order as ``inputs``.

    Inputs are strings; the workflow has to declare those that are sent. 204, or 200 from servers that say which run.
    """
    api, workflow = target.url.rstrip("/"), quote(target.workflow, safe="")
    headers = {
        **_bearer(secret),
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
        "User-Agent": "gateway",
    }
    said = {"ref": target.ref, "inputs": {name: str(value) for name, value in asdict(order).items()}}
    url = f"{api}/repos/{target.place}/actions/workflows/{workflow}/dispatches"
    return Call(url, headers, json.dumps(said).encode(), (200, 204))


def gitlab(target: Target, order: Order, secret: str) -> Call:
    """GitLab: ``POST /projects/{id}/trigger/pipeline``, a form with token, ref and the order as ``RETRAINING_...``."""
    api = target.url.rstrip("/")
    told = {f"variables[RETRAINING_{name.upper()}]": str(value) for name, value in asdict(order).items()}
    body = urlencode({"token": secret, "ref": target.ref, **told}).encode()
    return Call(f"{api}/projects/{quote(target.place, safe='')}/trigger/pipeline", _FORM, body, (201,))


CALLS: Final[dict[TargetKind, Callable[[Target, Order, str], Call]]] = {
    TargetKind.WEBHOOK: webhook,
    TargetKind.AIRFLOW: airflow,
    TargetKind.GITHUB: github,
    TargetKind.GITLAB: gitlab,
}
"""How each server wants to be told."""


def _airflow_login(target: Target, api: str, secret: str) -> dict[str, str]:
    if api.endswith("/api/v1"):
        return {"Authorization": "Basic " + b64encode(f"{target.user}:{secret}".encode()).decode()}
    root = api.removesuffix("/api/v2")
    asked = json.dumps({"username": target.user, "password": secret}).encode()
    answer = fetch(f"{root}/auth/token", body=asked, taken=(200, 201), patience_s=_PATIENCE_S)
    try:
        return _bearer(str(json.loads(answer)["access_token"]))
    except (ValueError, KeyError, TypeError) as error:
        raise OutboundRefused("It gave no token for user and password.") from error


def _secret(target: Target) -> str:
    """The secret that the environment holds now. Raises TargetFailed where it holds none."""
    if not target.secret:
        return ""
    try:
        return os.environ[target.secret]
    except KeyError:
        raise TargetFailed(f"The agent's environment has no {target.secret} (retraining.target).") from None


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"} if secret else {}


def _link(answer: bytes) -> str:
    """Where the server shows the run, if it says so."""
    try:
        said = json.loads(answer)
    except ValueError:
        return ""
    found = (said.get("web_url") or said.get("html_url") or said.get("link")) if isinstance(said, dict) else None
    return found if isinstance(found, str) and found.startswith(("https://", "http://")) else ""
