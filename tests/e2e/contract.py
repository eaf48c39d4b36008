"""What the tests of the HTTP contract share: a gateway with a deployment for every rule, and how they look at it.

One gateway of two workers serves them all; each test works on deployments of its own, so none sees another's traffic.
"""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sklearn.linear_model import LinearRegression, LogisticRegression

from gateway.adapters.models.joblib_folder import save
from tests.e2e.harness import INPUTS, Gateway, train, train_fragile, until

MEDIA_TYPE = "application/problem+json"
JSON = {"Content-Type": "application/json"}
PLANS = {
    "half": [{"weight": 0.5, "events": 1_000_000}],
    "all": [{"weight": 1.0, "events": 1_000_000}],
    "tenth": [{"weight": 0.1, "events": 1_000_000}, {"weight": 0.2, "events": 1_000_000}],
    "watch": [{"shadow": 1.0, "events": 1_000_000}, {"weight": 0.5}],
}
BODY = {"features": {"age": 40.0, "visits": 3.0}}
TOO_OFTEN = {"features": {"age": 40.0, "visits": 9.0}}
"""More visits than the fragile model has ever seen: it raises."""


def deployment(stable: str = "models:/churn/1", **said: Any) -> dict[str, Any]:
    """A deployment's settings: guardrails and plans that decide nothing during a test."""
    return {"stable": stable, "guardrails": ["error_rate"], "plans": PLANS, **said}


DEPLOYMENTS: dict[str, dict[str, Any]] = {
    "churn": deployment(default=True),
    # Predictions: test_contract_predict.
    "tier": deployment("models:/tier/1"),
    "spend": deployment("models:/spend/1"),
    "fragile": deployment("models:/churn/4"),
    "split": deployment(),
    "open": deployment(allow_forced=True),
    "forced": deployment(allow_forced=True),
    "blind": deployment(blind=True, allow_forced=True),
    "fallen": deployment(),
    "hasty": deployment(canary_deadline="0ms", gate={"latency": "1s"}),
    "short": deployment(deadline="0ms"),
    "sticky": deployment(sticky=True),
    "keyed": deployment(sticky=True, routing_key="entities.user_id", entities={"user_id": {"type": "integer"}}),
    "declared": deployment(
        inputs={
            "age": {"type": "integer", "minimum": 0, "maximum": 150, "default": 30, "required": False, "example": 41},
            "visits": {"type": "number"},
        },
        entities={"who": {"type": "string", "required": False}},
    ),
    # Other protocols: test_protocols.
    "scored": deployment(),
    "inferred": deployment(allow_forced=True),
    # Outcomes and the books: test_contract_feedback, test_contract_ledger.
    "told": deployment(),
    "early": deployment(),
    "again": deployment(),
    "corrected": deployment(),
    "books": deployment(),
    "seen": deployment(),
    "counted": deployment(),
    "summed": deployment(),
    # Operators: test_contract_control.
    "traffic": deployment(),
    "raced": deployment(),
    "latched": deployment(),
    "signals": deployment(),
    "lives": deployment(),
    "several": deployment(),
    "watched": deployment(),
    "judged": deployment(guardrails=["error_rate", "accuracy"]),
    "untouched": deployment(),
    # Anything goes: test_contract_fuzz.
    "fuzzed": deployment(),
}


def house(folder: Path, deployments: Mapping[str, Any], **settings: Any) -> Gateway:
    """A running gateway of two workers over models 1 and 2 (right), 3 (wrong), 4 (fragile), ``tier/1``, ``spend/1``."""
    models = folder / "models"
    train(models, "1")
    train(models, "2")
    train(models, "3", right=False)
    train_fragile(models, "4")
    _train_others(models)
    config = {"registry": f"joblib:{models}", "workers": 2, "deployments": dict(deployments), **settings}
    gateway = Gateway(folder, config).start()
    workers = float(config["workers"])
    until(lambda: gateway.sample("gateway_workers") == {"": workers}, 30.0)
    for name in deployments:
        until(lambda name=name: gateway.control.get(f"/admin/deployments/{name}").status_code == 200, 30.0)  # type: ignore[misc]
        until(lambda name=name: in_force(gateway, name), 10.0)  # type: ignore[misc]
    until(lambda: _all_ready(gateway), 30.0)
    return gateway


def _all_ready(gateway: Gateway, asked: int = 16) -> bool:
    """Whether so many new connections, spread over all workers, all find one that welcomes traffic."""
    address = gateway.data.base_url.join("/readyz")
    return all(httpx.get(address).status_code == 200 for _ in range(asked))


def _train_others(models: Path) -> None:
    """A model of three classes, and one that answers a number."""
    random = np.random.default_rng(7)
    rows = np.column_stack([random.uniform(0.0, 60.0, 300), random.integers(0, 10, 300).astype(float)])
    tiers = np.array(["gold", "silver", "bronze"])[(rows[:, 0] // 20).astype(int)]
    save(models, "tier", "1", LogisticRegression(max_iter=2_000).fit(rows, tiers), inputs=INPUTS)
    save(models, "spend", "1", LinearRegression().fit(rows, 2.0 * rows[:, 0] + rows[:, 1]), inputs=INPUTS)


def problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """Check that it is problem details of this status and type, whole; returns them."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"] == kind, body
    assert body["title"]
    assert body["detail"]
    return body


def pointers(body: Mapping[str, Any]) -> list[str]:
    """The places that a problem names."""
    return [place["pointer"] for place in body["errors"]]


def ask(gateway: Gateway, name: str = "", body: Any = None, **headers: str) -> httpx.Response:
    """Ask a deployment (none: the default one) on a connection of its own, so that any worker may answer."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    with httpx.Client(base_url=gateway.data.base_url, timeout=10.0) as client:
        return client.post(f"/predict/{name}" if name else "/predict", json=body or BODY, headers=named)


def answer(gateway: Gateway, name: str = "", body: Any = None, **headers: str) -> dict[str, Any]:
    """Ask, and get an answer."""
    response = ask(gateway, name, body, **headers)
    assert response.status_code == 200, response.text
    said: dict[str, Any] = response.json()
    return said


def admin(gateway: Gateway, name: str, verb: str = "", body: Any = None) -> httpx.Response:
    """``POST`` (with ``verb``) what operators ask for."""
    return gateway.control.post(f"/admin/deployments/{name}/{verb}", json=body, timeout=60.0)


def state(gateway: Gateway, name: str) -> dict[str, Any]:
    """A deployment as operators see it."""
    response = gateway.control.get(f"/admin/deployments/{name}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def variant(gateway: Gateway, name: str, of: str = "canary") -> dict[str, Any]:
    """One variant of a deployment as operators see it."""
    [found] = [one for one in state(gateway, name)["variants"] if one["name"] == of]
    return dict(found)


def start(gateway: Gateway, name: str, version: str, plan: str, of: str = "canary", **said: Any) -> dict[str, Any]:
    """Start a rollout and wait until its candidate takes part."""
    body = {"model": f"models:/churn/{version}", "plan": plan, "name": of, **said}
    response = admin(gateway, name, "canary", body)
    assert response.status_code == 201, response.text
    until(lambda: variant(gateway, name, of)["phase"] == "running", 20.0)
    until(lambda: in_force(gateway, name), 10.0)
    decision: dict[str, Any] = response.json()
    return decision


def in_force(gateway: Gateway, name: str) -> bool:
    """Whether the latest revision has been sent to the workers: its table is on disk, which comes after."""
    path = gateway.state / "tables" / f"{name}.json"
    return path.exists() and bool(json.loads(path.read_bytes())["revision"] == state(gateway, name)["revision"])


def record(gateway: Gateway, prediction_id: str, longest_s: float = 2.0) -> dict[str, Any]:
    """A prediction as operators see it, at the latest after the two seconds that are promised."""

    def look() -> dict[str, Any] | None:
        response = gateway.control.get(f"/admin/predictions/{prediction_id}")
        return response.json() if response.status_code == 200 else None

    return until(look, longest_s, 0.01)


@contextmanager
def only(gateway: Gateway, pid: int) -> Iterator[None]:
    """Let one worker alone accept connections: the others stand still meanwhile (shorter than anybody's patience)."""
    others = [other for other in gateway.children("worker") if other != pid]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)
