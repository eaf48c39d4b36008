"""A shadow's rise end to end: it watches real requests, pairs show it to be safe, and it becomes canary or stable."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.e2e.harness import DEPLOYMENT, Gateway, until, with_better_ones

SHADOWS = f"/admin/deployments/{DEPLOYMENT}/shadows"
SAID = {
    "plans": {"half": [{"weight": 0.5, "events": 40}]},
    "guardrails": [{"metric": "accuracy", "margin_absolute": 0.2}],
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = with_better_ones(tmp_path_factory.mktemp("gw"), SAID, "2", "3")
    try:
        yield gateway.start()
    finally:
        gateway.close()


def watches(gateway: Gateway, version: str, name: str) -> None:
    """An operator lets a version watch every request."""
    body = {"model": f"models:/{DEPLOYMENT}/{version}", "name": name, "rate": 1.0}
    answer = gateway.control.post(SHADOWS, json=body)
    assert answer.status_code == 201, answer.text


def risen(gateway: Gateway, random: Random, name: str, to: str) -> dict[str, Any]:
    """Live on until pairs let the shadow rise; returns the decision."""

    def ask() -> dict[str, Any] | None:
        gateway.live(random)
        answer = gateway.control.post(f"{SHADOWS}/{name}/promote", json={"to": to})
        assert answer.status_code in (201, 409), answer.text
        found: dict[str, Any] = answer.json()
        return found if answer.status_code == 201 else None

    return until(ask, 30.0)


def test_a_shadow_rises_on_pairs_to_canary_or_straight_to_stable(gateway: Gateway) -> None:
    random = Random(1)
    watches(gateway, "2", "v2")
    hasty = gateway.control.post(f"{SHADOWS}/v2/promote")
    assert (hasty.status_code, "not shown to be safe on pairs" in hasty.text) == (409, True)

    began = risen(gateway, random, "v2", "canary")
    assert (began["action"], began["candidate"], began["actor"]) == ("start", "canary", "local")
    assert began["evidence"]["n_pairs"] > 0

    def is_promoted() -> bool:
        gateway.live(random)
        return (gateway.variant("canary") or {}).get("phase") == "promoted"

    until(is_promoted, 30.0)
    until(lambda: gateway.predict()["model_version"] == "2", 2.0)
    watches(gateway, "3", "v3")
    crowned = risen(gateway, random, "v3", "stable")
    assert (crowned["action"], crowned["candidate"], crowned["actor"]) == ("promote", "v3", "local")
    assert "shown to be safe" in crowned["reason"]

    def is_served() -> bool:
        said = gateway.predict(age=50.0)
        return (said["variant"], said["model_version"], said["prediction"]) == ("stable", "3", 1)

    until(is_served, 2.0)
    told = [(line["action"], line["candidate"], line["actor"]) for line in reversed(gateway.timeline())]
    assert told[-6:] == [
        ("shadow", "v2", "local"),
        ("start", "canary", "local"),
        ("ready", "canary", "agent"),
        ("promote", "canary", "judge"),
        ("shadow", "v3", "local"),
        ("promote", "v3", "local"),
    ]
