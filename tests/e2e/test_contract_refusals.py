"""What a gateway says that cannot do its work: no room in the log, no model yet, too much under way."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from gateway.adapters.store.keys import load_or_create_keys
from gateway.core.ids import body_of, mint, tag_of
from tests.e2e.contract import BODY, ask, deployment, in_force, problem
from tests.e2e.harness import Gateway, train, until


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gw")
    train(folder / "models", "1")
    config = {
        "registry": f"joblib:{folder / 'models'}",
        "max_spool": "256KiB",
        "max_concurrency": 1,
        "deployments": {
            "refusing": deployment(default=True),
            "serving": deployment(when_log_fails="serve"),
            "broken": deployment("models:/churn/99"),
        },
    }
    gateway = Gateway(folder, config).start()
    try:
        for name in ("refusing", "serving"):
            until(lambda name=name: gateway.control.get(f"/admin/deployments/{name}").status_code == 200, 30.0)  # type: ignore[misc]
            until(lambda name=name: in_force(gateway, name), 10.0)  # type: ignore[misc]
        yield gateway
    finally:
        gateway.close()


def unserviceable(response: httpx.Response, kind: str) -> None:
    """503 problem details that say when to come back."""
    problem(response, 503, kind)
    assert int(response.headers["retry-after"]) >= 1


@contextmanager
def full_log(gateway: Gateway) -> Iterator[None]:
    """Let nobody drain the log, and fill it; afterwards wait until there is room again."""
    [agent] = gateway.children("agent")
    os.kill(agent, signal.SIGSTOP)
    try:
        until(lambda: ask(gateway, body={"instances": [BODY] * 200}).status_code == 503, 5.0, 0.0)
        until(lambda: tell(gateway, 500).status_code == 503, 5.0, 0.0)
        yield
    finally:
        os.kill(agent, signal.SIGCONT)
    until(lambda: ask(gateway).status_code == 200, 5.0)


def tell(gateway: Gateway, outcomes: int = 1) -> httpx.Response:
    """Tell some outcomes of a prediction, which need not be known for that."""
    keys = load_or_create_keys(gateway.state / "keys.json")
    ident = mint(keys, tag_of("refusing"), body_of("local", "refusing", "any"))
    return gateway.tell(*[{"prediction_id": ident, "outcome": 1}] * outcomes)


def test_when_the_log_is_full_answers_are_refused_or_said_to_be_unlogged_and_it_recovers(gateway: Gateway) -> None:
    with full_log(gateway):
        unserviceable(ask(gateway), "log-refused")
        said = ask(gateway, "serving")
        unserviceable(tell(gateway), "log-refused")  # an outcome is never acknowledged without being kept
    assert (said.status_code, said.json()["logged"], said.json()["prediction"]) == (200, False, 1)
    assert ask(gateway, "serving").json()["logged"] is True
    assert tell(gateway).status_code == 202
    assert gateway.sample("gateway_log_refused_total")['{deployment="serving"}'] == 1.0


def test_a_declared_deployment_without_a_model_is_503_and_holds_up_nobody_else(gateway: Gateway) -> None:
    unserviceable(ask(gateway, "broken"), "no-model-ready")
    problem(ask(gateway, "nobody"), 404, "unknown-deployment")
    assert gateway.data.get("/readyz").status_code == 200
    response = gateway.control.get("/readyz")
    unserviceable(response, "not-ready")
    assert "broken" in response.json()["detail"]
    assert gateway.control.get("/livez").status_code == 200


def test_more_requests_than_fit_are_503_at_once(gateway: Gateway) -> None:
    body = json.dumps({"instances": [BODY] * 1_000})  # written once: who asks must be quicker than who answers
    headers, url = {"Content-Type": "application/json"}, f"{gateway.data.base_url}/predict/serving"

    def overloaded() -> httpx.Response | None:
        with ThreadPoolExecutor(16) as pool:
            responses = list(
                pool.map(lambda _: httpx.post(url, content=body, headers=headers, timeout=10.0), range(16))
            )
        return next((one for one in responses if one.status_code == 503), None)

    unserviceable(until(overloaded), "overloaded")
    assert ask(gateway, "serving").status_code == 200
