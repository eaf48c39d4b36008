"""Rollouts end to end: a good candidate is promoted and a bad one demoted, by the evidence and nobody's hand."""

from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

import httpx
import pytest

from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, train, train_deadly, train_fragile, until

PLANS = {
    "two steps": [{"shadow": 1.0, "events": 20}, {"weight": 0.5, "events": 50}],
    "half": [{"weight": 0.5, "events": 1_000_000}],
}
GUARDRAILS = [
    {"metric": "error_rate", "margin_absolute": 0.2},
    {"metric": "accuracy", "margin_absolute": 0.2},
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gw")
    models = folder / "models"
    train(models, "1")
    train(models, "2")
    train(models, "3", right=False)
    train_fragile(models, "4")
    train_deadly(models, "5")
    gateway = Gateway(folder, simple_config(folder, deployment={"plans": PLANS, "guardrails": GUARDRAILS}))
    try:
        yield gateway.start()
    finally:
        gateway.close()


def start(gateway: Gateway, version: str, plan: str) -> None:
    body = {"model": f"models:/{DEPLOYMENT}/{version}", "plan": plan}
    answer = gateway.control.post(f"/admin/deployments/{DEPLOYMENT}/canary", json=body, timeout=60.0)
    assert answer.status_code == 201, answer.text


def ended(gateway: Gateway, random: Random) -> dict[str, Any]:
    """Live on until the candidate's rollout has ended; returns the candidate as operators see it."""

    def look() -> dict[str, Any] | None:
        gateway.live(random)
        candidate = gateway.variant("canary")
        return candidate if candidate and candidate["phase"] in ("promoted", "demoted") else None

    return until(look, 30.0)


def test_a_good_candidate_watches_then_shares_and_is_promoted(gateway: Gateway) -> None:
    start(gateway, "2", "two steps")
    assert ended(gateway, Random(1))["phase"] == "promoted"
    done = [(line["action"], line["actor"]) for line in reversed(gateway.timeline()) if line["candidate"] == "canary"]
    assert done == [("start", "local"), ("ready", "agent"), ("advance", "judge"), ("promote", "judge")]
    until(lambda: gateway.predict()["model_version"] == "2", 2.0)
    ledger = gateway.ledger()["shadows"]
    assert ledger["eligible"] == ledger["done"] + ledger["dropped"] > 0


def test_a_candidate_that_is_wrong_is_demoted_and_people_are_told_why(gateway: Gateway) -> None:
    start(gateway, "3", "half")
    assert ended(gateway, Random(2))["phase"] == "demoted"
    [last, *_] = gateway.timeline()
    assert (last["action"], last["actor"]) == ("demote", "judge")
    assert "accuracy" in last["reason"]
    until(lambda: {gateway.predict()["variant"] for _ in range(20)} == {"stable"}, 2.0)


def test_a_candidate_that_raises_is_demoted_and_no_caller_notices(gateway: Gateway) -> None:
    start(gateway, "4", "half")
    assert ended(gateway, Random(3))["phase"] == "demoted"
    [last, *_] = gateway.timeline()
    assert (last["action"], last["actor"]) == ("demote", "judge")
    failed = {'{deployment="churn",variant="canary",version="4"}': 1.0}
    assert gateway.sample("gateway_variant_failures_total").keys() == failed.keys()
    assert sum(gateway.sample("gateway_fallbacks_total").values()) > 0


def test_a_candidate_that_kills_its_worker_is_charged_with_it_and_demoted(gateway: Gateway) -> None:
    start(gateway, "5", "half")
    until(lambda: "canary" in {gateway.predict(visits=1.0)["variant"] for _ in range(20)})
    gateway.ledger()
    random = Random(4)

    def is_demoted() -> bool:
        with suppress(httpx.TransportError):  # the worker that died takes its callers along
            gateway.live(random)
        return (gateway.variant("canary") or {}).get("phase") == "demoted"

    until(is_demoted, 30.0)
    [last, *_] = gateway.timeline()
    assert (last["action"], last["actor"]) == ("demote", "judge")
    assert "error_rate" in last["reason"]
    assert gateway.ledger()["predictions"]["crashed"] > 0
    until(gateway.is_ready, 15.0)
    assert gateway.predict(visits=9.0)["variant"] == "stable"


def test_a_model_that_is_not_there_and_a_name_that_runs_are_refused(gateway: Gateway) -> None:
    start(gateway, "2", "half")
    until(lambda: (gateway.variant("canary") or {}).get("phase") == "running")
    refused = gateway.control.post(
        f"/admin/deployments/{DEPLOYMENT}/canary", json={"model": f"models:/{DEPLOYMENT}/99", "plan": "half"}
    )
    assert refused.status_code == 409  # one of that name runs
    other = gateway.control.post(
        f"/admin/deployments/{DEPLOYMENT}/canary",
        json={"model": f"models:/{DEPLOYMENT}/99", "plan": "half", "name": "other"},
    )
    assert other.status_code == 422
    assert gateway.predict()["logged"]


def test_the_page_and_metrics_show_how_each_variant_does(gateway: Gateway) -> None:
    until(lambda: gateway.sample("gateway_live_accuracy"), 5.0)
    assert gateway.sample("gateway_deployment_revision")['{deployment="churn"}'] > 1.0
    assert gateway.control.get("/").status_code == 200
