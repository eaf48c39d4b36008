"""One gateway of two workers, its processes killed and stopped under load: what was acknowledged is there."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, train, until

PLAN = {"half": [{"weight": 0.5, "events": 1_000_000}]}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gw")
    for version in ("1", "2"):
        train(folder / "models", version)
    gateway = Gateway(folder, simple_config(folder, workers=2, deployment={"plans": PLAN}))
    try:
        gateway.start()
        until(lambda: gateway.sample("gateway_workers") == {"": 2.0}, 30.0)
        yield gateway
    finally:
        gateway.close()


@contextmanager
def load(gateway: Gateway, threads: int = 4) -> Iterator[dict[str, list[Any]]]:
    """Predict and tell the truth all the time, each request on a connection of its own; notes what became of it."""
    seen: dict[str, list[Any]] = {"acknowledged": [], "failed": [], "told": [], "refused": []}
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                with httpx.Client(base_url=gateway.data.base_url, timeout=5.0) as client:
                    answer = client.post("/predict", json={"features": {"age": 40.0, "visits": 3.0}})
                    if answer.status_code != 200:
                        seen["refused"].append(answer.status_code)
                        continue
                    prediction_id = answer.json()["prediction_id"]
                    seen["acknowledged"].append(prediction_id)
                    told = client.post("/feedback", json={"prediction_id": prediction_id, "outcome": 1})
                    if told.status_code == 202:
                        seen["told"].append(prediction_id)
            except httpx.TransportError as error:
                seen["failed"].append(type(error).__name__)
                stop.wait(0.05)

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in running:
            thread.join()


def replaced(gateway: Gateway, old: int) -> bool:
    """Whether both workers are on the line and none of them is ``old``."""
    workers = gateway.children("worker")
    return old not in workers and len(workers) == 2 and gateway.sample("gateway_workers") == {"": 2.0}


def more(items: list[Any], than: int) -> bool:
    """Whether there are more items than that."""
    return len(items) > than


def stored(gateway: Gateway, prediction_ids: list[str]) -> list[dict[str, Any]]:
    answers = [gateway.control.get(f"/admin/predictions/{prediction_id}") for prediction_id in prediction_ids]
    return [answer.json() for answer in answers if answer.status_code == 200]


def test_a_prediction_and_its_outcome_are_in_the_books(gateway: Gateway) -> None:
    before = gateway.ledger()
    answer = gateway.predict(age=50.0)
    assert (answer["prediction"], answer["variant"], answer["model_version"], answer["logged"]) == (
        1,
        "stable",
        "1",
        True,
    )
    assert gateway.tell({"prediction_id": answer["prediction_id"], "outcome": 1}).status_code == 202
    after = gateway.ledger()
    assert after["predictions"]["stored"] == before["predictions"]["stored"] + 1
    assert after["outcomes"]["joined"] == before["outcomes"]["joined"] + 1
    [found] = stored(gateway, [answer["prediction_id"]])
    assert found["outcomes"][0]["value"] == 1


def test_metrics_add_up_over_the_workers(gateway: Gateway) -> None:
    def counted() -> float:
        return sum(gateway.sample("gateway_predictions_total").values())

    before = counted()
    for _ in range(40):  # a connection each, so that both workers get some
        with httpx.Client(base_url=gateway.data.base_url) as client:
            assert client.post("/predict", json={"features": {"age": 1.0, "visits": 1.0}}).status_code == 200
    assert counted() == before + 40


def test_a_killed_worker_loses_nothing_that_was_acknowledged_and_comes_back(gateway: Gateway) -> None:
    counted = sum(gateway.sample("gateway_predictions_total").values())
    victim = gateway.children("worker")[0]
    with load(gateway) as seen:
        until(lambda: len(seen["told"]) > 50)
        os.kill(victim, signal.SIGKILL)
        until(partial(replaced, gateway, victim), 15.0)
    assert len(seen["failed"]) <= 4  # at most what the victim had under way
    assert seen["refused"] == []
    ledger = gateway.ledger()
    assert ledger["spooled"][0]["predictions"] == 0
    records = stored(gateway, seen["told"])
    assert len(records) == len(seen["told"])
    assert all(record["outcomes"] for record in records)
    assert len(stored(gateway, seen["acknowledged"])) == len(seen["acknowledged"])
    assert sum(gateway.sample("gateway_predictions_total").values()) >= counted + len(seen["acknowledged"])


def test_workers_are_replaced_one_by_one_and_no_request_fails(gateway: Gateway) -> None:
    with load(gateway) as seen:
        for old in gateway.children("worker"):
            before = len(seen["told"])
            os.kill(old, signal.SIGTERM)
            until(partial(replaced, gateway, old), 15.0)
            until(partial(more, seen["told"], before + 20))
    assert (seen["failed"], seen["refused"]) == ([], [])


def test_without_its_agent_a_worker_serves_stable_and_the_canary_stops_within_its_lease(gateway: Gateway) -> None:
    started = gateway.control.post(
        f"/admin/deployments/{DEPLOYMENT}/canary", json={"model": f"models:/{DEPLOYMENT}/2", "plan": "half"}
    )
    assert started.status_code == 201, started.text

    def served() -> set[str]:
        return {gateway.predict()["variant"] for _ in range(30)}

    until(lambda: "canary" in served(), 15.0)
    [agent] = gateway.children("agent")
    os.kill(agent, signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        until(lambda: served() == {"stable"}, 5.0)
        assert time.monotonic() - stopped <= 4.0
        assert {gateway.predict()["variant"] for _ in range(50)} == {"stable"}
    finally:
        os.kill(agent, signal.SIGCONT)
    until(lambda: "canary" in served(), 5.0)
    demoted = gateway.control.post(f"/admin/deployments/{DEPLOYMENT}/demote", json={"reason": "seen enough"})
    assert demoted.status_code == 200, demoted.text
    until(lambda: served() == {"stable"}, 1.0)


def test_a_second_gateway_on_the_same_state_is_refused(gateway: Gateway) -> None:
    other = Gateway(gateway.folder, gateway.config)
    with suppress(AssertionError):
        other.start(ready=False)
    assert other.process is not None
    assert other.process.wait(20.0) == 2
    assert "Another gateway is running on the state folder" in gateway.log


def test_a_gateway_that_is_asked_to_end_loses_nothing(gateway: Gateway) -> None:
    with load(gateway) as seen:
        until(lambda: len(seen["told"]) > 50)
        assert gateway.stop() == 0
    assert list((gateway.state / "spool").glob("*.seg")) == []
    gateway.start()
    until(lambda: gateway.control.get("/readyz").status_code == 200)
    assert len(stored(gateway, seen["acknowledged"])) == len(seen["acknowledged"])
    assert all(record["outcomes"] for record in stored(gateway, seen["told"]))


def test_workers_serve_stable_without_a_store_and_die_with_their_supervisor(
    gateway: Gateway,
) -> None:
    if gateway.process is not None and gateway.process.poll() is None:
        gateway.stop()
    alone = Gateway(gateway.folder, {**gateway.config, "store": "sqlite:/proc/nowhere/store.db", "workers": 1})
    try:
        alone.start()
        assert alone.predict()["variant"] == "stable"
        until(lambda: "agent_cannot_start" in alone.log)
        [worker] = alone.children("worker")
        assert alone.process is not None
        alone.process.kill()  # and nothing is left behind on the port
        until(lambda: not Path(f"/proc/{worker}").exists(), 5.0)
    finally:
        alone.close()


def test_the_state_folder_can_be_looked_at(gateway: Gateway) -> None:
    names = {path.name for path in Path(gateway.state).iterdir()}
    assert {"store.db", "keys.json", "spool", "tables", "models", "run"} <= names
