"""A whole gateway and a real broker: events go out, labels come in, and a broker that is away costs nobody anything."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, train, until
from tests.kafka_house import SPRY, Broker


@pytest.fixture
def own() -> Iterator[Broker]:
    made = Broker.make().start()
    yield made
    made.remove()


def wired(folder: Path, servers: str, **take: Any) -> Gateway:
    train(folder / "models", "1")
    send = {"predictions": "predictions", "outcomes": "outcomes", "decisions": "decisions"}
    options = {"message.timeout.ms": 2_000, **SPRY}
    kafka = {"servers": servers, "send": send, "options": options, **({"take": take} if take else {})}
    return Gateway(folder, simple_config(folder, kafka=kafka))


def told(own: Broker, topic: str, count: int) -> list[dict[str, Any]]:
    return [json.loads(one.value()) for one in own.read(topic, count)]


def test_predictions_outcomes_and_decisions_are_told_and_labels_are_taken(own: Broker, tmp_path: Path) -> None:
    for topic in ("predictions", "outcomes", "decisions", "labels", "labels.dead"):
        own.made(topic, 1)
    gateway = wired(tmp_path, own.servers, topic="labels").start()
    try:
        ids = [gateway.predict(age=20.0 + n)["prediction_id"] for n in range(10)]
        assert [one["prediction_id"] for one in told(own, "predictions", 10)] == ids
        assert told(own, "decisions", 1)[0]["deployment"] == DEPLOYMENT
        own.put("labels", *(json.dumps({"prediction_id": each, "outcome": 1}).encode() for each in ids))
        own.put("labels", b"no json", json.dumps({"prediction_id": "k.a.b.c", "outcome": 1}).encode())
        until(lambda: gateway.ledger()["outcomes"]["joined"] == 10, 30.0)
        assert {one["prediction_id"] for one in told(own, "outcomes", 10)} == set(ids)
        letters = {one.value(): dict(one.headers())["gateway_reason"] for one in own.read("labels.dead", 2)}
        assert sorted(len(value) > 10 for value in letters) == [False, True]
        taken = gateway.sample("gateway_outcomes_taken_total")
        assert (taken['{became="accepted"}'], taken['{became="refused"}']) == (10.0, 2.0)
        assert gateway.stop() == 0
    finally:
        gateway.close()


def test_a_broker_that_is_away_costs_a_counter_and_hears_everything_when_it_is_back(tmp_path: Path) -> None:
    own = Broker.make()
    gateway = wired(tmp_path, own.servers).start()
    try:
        ids = {gateway.predict()["prediction_id"] for _ in range(20)}
        until(lambda: gateway.sample("gateway_events_told_total").get('{became="failed",kind="prediction"}'), 20.0)
        assert gateway.ledger()["predictions"]["stored"] == 20
        assert gateway.sample("gateway_events_waiting")[""] >= 20.0
        own.start()
        own.made("predictions", 1)
        heard: set[str] = set()

        def everything() -> bool:
            heard.update(one["prediction_id"] for one in told(own, "predictions", 20))
            return heard == ids

        until(everything, 40.0)
        assert gateway.stop() == 0
    finally:
        gateway.close()
        own.remove()
