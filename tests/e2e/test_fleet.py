"""Two hosts of two workers around one PostgreSQL behave as one gateway."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import httpx
import pytest

from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, train, until
from tests.postgres_house import Postgres

PLANS = {"half": [{"weight": 0.5, "events": 1_000_000}], "steps": [{"weight": 0.5, "events": 50}]}
GUARDRAILS = [{"metric": "error_rate", "margin_absolute": 0.2}, {"metric": "accuracy", "margin_absolute": 0.2}]


@dataclass
class Fleet:
    """Two gateways and their store."""

    store: Postgres
    one: Gateway
    other: Gateway

    @property
    def gateways(self) -> tuple[Gateway, Gateway]:
        return self.one, self.other

    def start_canary(self, version: str, plan: str, name: str = "canary") -> None:
        body = {"model": f"models:/{DEPLOYMENT}/{version}", "plan": plan, "name": name, "override": True}
        answer = self.one.control.post(f"/admin/deployments/{DEPLOYMENT}/canary", json=body, timeout=20.0)
        assert answer.status_code == 201, answer.text
        until(lambda: all("canary" in served(gateway) for gateway in self.gateways), 20.0)

    def revision(self, gateway: Gateway) -> int:
        found: int = gateway.deployment()["revision"]
        return found


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    models = folder / "models"
    for version, right in (("1", True), ("2", True), ("3", False)):
        train(models, version, right=right)
    store = Postgres.make()
    said = {"workers": 2, "store": store.url, "deployment": {"plans": PLANS, "guardrails": GUARDRAILS}}
    gateways = [Gateway(folder / name, simple_config(folder, **said)) for name in ("one", "other")]
    try:
        store.start()
        for gateway in gateways:
            gateway.start(ready=False)
        for gateway in gateways:
            until(gateway.is_ready, 30.0)
        yield Fleet(store, *gateways)
    finally:
        for gateway in gateways:
            gateway.close()
        store.remove()


def served(gateway: Gateway, n: int = 30) -> set[str]:
    return {gateway.predict()["variant"] for _ in range(n)}


def serves(gateway: Gateway, version: str) -> bool:
    return bool(gateway.predict()["model_version"] == version)


def settled(fleet: Fleet) -> int:
    """How many predictions are stored once every host has drained; a store that has just come back gets a moment."""

    def ledgers() -> list[int] | None:
        said = [gateway.ledger() for gateway in fleet.gateways]
        return [one["predictions"]["stored"] for one in said] if all("predictions" in one for one in said) else None

    return until(ledgers, 10.0)[-1]


def live(fleet: Fleet, random: Random) -> None:
    """Customers ask one host, and tell the other what became of them."""
    for asked, told in (fleet.gateways, fleet.gateways[::-1]):
        ages = [random.uniform(0.0, 60.0) for _ in range(20)]
        body = {"instances": [{"features": {"age": age, "visits": 1.0}} for age in ages]}
        answer = asked.data.post("/predict", json=body)
        assert answer.status_code == 200, answer.text
        items = [
            {"prediction_id": said["prediction_id"], "outcome": int(age > 30.0)}
            for said, age in zip(answer.json()["predictions"], ages, strict=True)
        ]
        assert told.tell(*items).status_code == 202, "an id signed on one host is known on the other"


def test_a_candidate_is_judged_on_both_hosts_and_promoted_on_both(fleet: Fleet) -> None:
    fleet.start_canary("2", "steps")
    random = Random(1)

    def promoted() -> bool:
        live(fleet, random)
        return (fleet.other.variant("canary") or {}).get("phase") == "promoted"

    until(promoted, 30.0)
    for gateway in fleet.gateways:
        until(partial(serves, gateway, "2"), 2.0)
    decisions: list[dict[str, Any]] = fleet.other.control.get(f"/admin/deployments/{DEPLOYMENT}/timeline").json()[
        "decisions"
    ]
    assert [line["actor"] for line in decisions if line["action"] == "promote"] == ["judge"]


def test_the_books_of_all_hosts_are_one(fleet: Fleet) -> None:
    before = settled(fleet)
    for gateway in fleet.gateways:
        for _ in range(10):
            gateway.predict()
    until(lambda: fleet.one.ledger(0.0)["predictions"]["stored"] == before + 20, 5.0)
    assert fleet.other.ledger()["predictions"] == fleet.one.ledger()["predictions"]
    assert len({one["host"] for one in fleet.one.ledger()["spooled"]}) == 2


def test_a_demotion_on_one_host_reaches_the_other_at_once(fleet: Fleet) -> None:
    fleet.start_canary("3", "half")
    demoted = fleet.one.control.post(f"/admin/deployments/{DEPLOYMENT}/demote", json={"reason": "seen enough"})
    assert demoted.status_code == 200, demoted.text
    until(lambda: served(fleet.other) == {"stable"}, 1.0)
    assert fleet.revision(fleet.one) == fleet.revision(fleet.other)


def test_when_the_leaders_agent_dies_another_host_leads_and_goes_on_judging(fleet: Fleet) -> None:
    leader, other = leader_first(fleet)
    fleet.start_canary("3", "half")
    [agent] = leader.children("agent")
    os.kill(agent, signal.SIGSTOP)
    random = Random(2)
    try:

        def demoted() -> bool:
            live(fleet, random)
            return (other.variant("canary") or {}).get("phase") == "demoted"

        until(demoted, 30.0)
    finally:
        with suppress(ProcessLookupError):  # its supervisor has replaced it
            os.kill(agent, signal.SIGCONT)
    until(lambda: fleet.revision(leader) == fleet.revision(other), 5.0)
    assert served(leader) == {"stable"}


def leader_first(fleet: Fleet) -> tuple[Gateway, Gateway]:
    """The gateway that leads, and the other one, by what they say."""
    said = {gateway.log.count('"event": "leading"'): gateway for gateway in fleet.gateways}
    first = said[max(said)]
    return first, next(gateway for gateway in fleet.gateways if gateway is not first)


def test_without_its_store_every_host_answers_with_stable_and_says_so_to_operators_within_a_second(
    fleet: Fleet,
) -> None:
    fleet.start_canary("3", "half")
    fleet.store.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        until(lambda: all(served(gateway) == {"stable"} for gateway in fleet.gateways), 5.0)
        assert time.monotonic() - stopped <= 4.5
        for _ in range(3):
            asked = time.monotonic()
            answer = fleet.one.control.post(f"/admin/deployments/{DEPLOYMENT}/demote", json={"reason": "now"})
            assert answer.status_code == 503, answer.text
            assert time.monotonic() - asked <= 1.0
        assert all(gateway.predict()["logged"] for gateway in fleet.gateways)
    finally:
        fleet.store.signal(signal.SIGCONT)
    until(lambda: all("canary" in served(gateway) for gateway in fleet.gateways), 4.0)


def test_what_was_acknowledged_while_the_store_was_down_is_stored_once_it_is_back(fleet: Fleet) -> None:
    before = settled(fleet)
    fleet.store.stop()
    for gateway in fleet.gateways:
        for _ in range(25):
            assert gateway.predict()["logged"]
    fleet.store.start()

    def stored() -> bool:
        with suppress(httpx.HTTPError, KeyError):
            return bool(fleet.one.ledger(0.0)["predictions"]["stored"] == before + 50)
        return False

    until(stored, 15.0)
