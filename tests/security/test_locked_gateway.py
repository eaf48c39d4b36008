"""Row S5 on a running gateway: locked doors over TLS, keys and tokens that come and go."""

import json
import os
import subprocess
import sys
import time

import httpx
import pytest

from tests.e2e.harness import Gateway, until
from tests.security.house import Provider, bearer, secret_of

BODY = {"features": {"age": 40.0, "visits": 3.0}}


def command(gateway: Gateway, *words: str) -> str:
    said = subprocess.run(
        [sys.executable, "-m", "gateway", "keys", *words, "--config", str(gateway.folder / "gateway.yaml")],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")},
    )
    return said.stdout.strip()


def test_both_planes_speak_tls_and_ask_for_keys(gateway: Gateway) -> None:
    assert gateway.data.base_url.scheme == gateway.control.base_url.scheme == "https"
    assert gateway.data.get("/livez").status_code == gateway.control.get("/livez").status_code == 200
    assert gateway.data.post("/predict", json=BODY).status_code == 401
    assert gateway.control.get("/admin/deployments").status_code == 401
    assert gateway.control.get("/metrics").status_code == 401
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{gateway.data.base_url.port}/livez")


def test_a_key_opens_what_its_scopes_say_and_stands_in_the_timeline(gateway: Gateway) -> None:
    shop, ops = bearer(secret_of("shop")), bearer(secret_of("ops"))
    answer = gateway.data.post("/predict", json=BODY, headers=shop)
    assert answer.status_code == 200
    told = {"prediction_id": answer.json()["prediction_id"], "outcome": 1}
    assert gateway.data.post("/feedback", json=told, headers=shop).status_code == 202
    assert gateway.data.post("/predict", json=BODY, headers=ops).status_code == 403
    assert gateway.control.get("/admin/deployments", headers=shop).status_code == 403
    refused = gateway.control.post("/admin/deployments/churn/rollback", json={"reason": "drill"}, headers=ops)
    assert refused.status_code == 409
    traffic = {"weights": {}, "reason": "drill"}
    revision = {"If-Match": gateway.control.get("/admin/deployments/churn", headers=ops).headers["etag"]}
    changed = gateway.control.put("/admin/deployments/churn/traffic", json=traffic, headers={**ops, **revision})
    assert (changed.status_code, changed.json()["actor"]) == (200, "ops")


def test_commands_carry_the_key_of_whoever_types_them(gateway: Gateway) -> None:
    trusted = {"SSL_CERT_FILE": str(gateway.folder / "tls.crt")}
    known = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")} | trusted

    def status(**key: str) -> subprocess.CompletedProcess[str]:
        words = ["rollout", "status", "--json", "--url", str(gateway.control.base_url)]
        settings = ["--config", str(gateway.folder / "gateway.yaml")]
        command = [sys.executable, "-m", "gateway", *words, *settings]
        return subprocess.run(command, capture_output=True, text=True, env=known | key)

    refused, told = status(), status(GATEWAY_KEY=secret_of("ops"))
    assert refused.returncode == 1 and "Send a key of this gateway" in refused.stderr
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["deployment"] == "churn"


def test_a_key_made_or_revoked_while_it_runs_counts_within_seconds(gateway: Gateway) -> None:
    secret = command(gateway, "new", "batch", "--scope", "predict", "--expires", "1d")

    def asked() -> int:
        return gateway.data.post("/predict", json=BODY, headers=bearer(secret)).status_code

    until(lambda: asked() == 200, 5.0)
    [line] = [line for line in command(gateway, "list").splitlines() if " batch " in line]
    assert "live" in line
    assert secret not in (gateway.state / "api-keys.json").read_text()
    command(gateway, "revoke", line.split()[0])
    until(lambda: all(asked() in {401, 429} for _ in range(4)), 5.0)


def test_a_token_of_the_identity_provider_opens_too(gateway: Gateway, provider: tuple[Provider, str]) -> None:
    token = bearer(provider[0].token(time.time(), iss=provider[1], scope="read operate"))
    until(lambda: gateway.control.get("/admin/deployments", headers=token).status_code == 200, 10.0)
    revision = {"If-Match": gateway.control.get("/admin/deployments/churn", headers=token).headers["etag"]}
    body = {"weights": {}, "reason": "drill"}
    changed = gateway.control.put("/admin/deployments/churn/traffic", json=body, headers={**token, **revision})
    assert changed.json()["actor"] == "oidc:ann"


def test_an_approval_is_by_name_and_the_trail_is_verified_beside_the_running_gateway(gateway: Gateway) -> None:
    ops, body = bearer(secret_of("ops")), {"model": "models:/churn/1", "reason": "looked at it"}
    approved = gateway.control.post("/admin/deployments/churn/approve", json=body, headers=ops)
    assert (approved.status_code, approved.json()["actor"]) == (200, "ops")
    said = subprocess.run(
        [sys.executable, "-m", "gateway", "audit", "verify", "--config", str(gateway.folder / "gateway.yaml")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "lines as they were written" in said.stdout
