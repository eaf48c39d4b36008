"""Drift end to end: the profile beside a model, live traffic that moves, and everybody who is told."""

from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from sklearn.linear_model import LogisticRegression

from gateway.adapters.models.joblib_folder import save
from gateway.core.drift.making import made
from tests.e2e.harness import DEPLOYMENT, INPUTS, Gateway, people, simple_config, until

MARCH_S = 1_362_132_000.0
TICK_S = 600.0


def watched_model(folder: Path) -> None:
    rows, truth = people(1)
    model = LogisticRegression(max_iter=1_000).fit(rows, truth)
    random = Random(5)
    ages = [random.uniform(0.0, 60.0) for _ in range(20_000)]
    visits = [float(random.randrange(10)) for _ in ages]
    scores = model.predict_proba(list(zip(ages, visits, strict=True)))[:, 1].tolist()
    labels = [int(score >= 0.5) for score in scores]
    profile = made({"age": ages, "visits": visits}, scores=scores, labels=labels, source="people of 2012")
    save(folder, DEPLOYMENT, "1", model, inputs=INPUTS, profile=profile)


def serve(gateway: Gateway, random: Random, tick: int, lowest: float) -> None:
    """A tick of traffic: people from ``lowest`` to 60 years."""
    people = [{"age": random.uniform(lowest, 60.0), "visits": float(random.randrange(10))} for _ in range(150)]
    body = {"instances": [{"features": one} for one in people]}
    header = {"X-Event-Time": str(MARCH_S + tick * TICK_S + 1.0)}
    assert gateway.data.post("/predict", json=body, headers=header).status_code == 200


def test_people_who_are_older_than_in_training_are_told_as_the_datas_drift(tmp_path: Path) -> None:
    watched_model(tmp_path / "models")
    gateway = Gateway(tmp_path, simple_config(tmp_path, clock="replay"))
    try:
        gateway.start()
        random = Random(6)
        for tick in range(4):  # a tick is taken in when the next one has begun
            serve(gateway, random, tick, 0.0)
            if tick:
                until(partial(reached, gateway, MARCH_S + tick * TICK_S), 30.0)
        assert drift(gateway)["cause"] == "none"
        for tick in range(4, 12):
            serve(gateway, random, tick, 30.0)
        until(lambda: drift(gateway)["cause"] == "data", 30.0)
        timeline = gateway.control.get(f"/admin/deployments/{DEPLOYMENT}/timeline").json()["decisions"]
        assert any(line["action"] == "drift" and "age moved up" in line["reason"] for line in timeline)
        label = f'{{deployment="{DEPLOYMENT}",feature="age",variant="stable"}}'
        assert until(lambda: gateway.sample("gateway_drift_alarm").get(label) == 1.0)
        page = gateway.control.get(f"/admin/deployments/{DEPLOYMENT}/drift", params={"report": "html"}, timeout=60.0)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "stable version 1: what was served" in page.text and "profile (people of 2012)" in page.text
        gateway.stop()
        gateway.start()
        assert drift(gateway)["cause"] == "data"
    finally:
        gateway.close()


def drift(gateway: Gateway) -> dict[str, Any]:
    answer = gateway.control.get(f"/admin/deployments/{DEPLOYMENT}/drift")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def reached(gateway: Gateway, at: float) -> bool:
    """Whether the watch has taken in what came before ``at``."""
    [watch] = drift(gateway)["watches"]
    return (watch["until"] or 0.0) >= at
