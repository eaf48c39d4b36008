"""The doors to retraining runs: what they show, what they take, and what they refuse."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.core.retraining.terms import Kpi, OnDrift, RetrainingTerms, Target, TargetKind
from gateway.retraining import Runs
from tests.control_house import NAME, SPEC, House
from tests.edge.test_control_plane import Desk

HERE = f"/admin/deployments/{NAME}/retraining"
SERVER = Target(TargetKind.AIRFLOW, url="http://airflow.example/api/v2", place="retrain")


@pytest.fixture
def house() -> House:
    terms = RetrainingTerms(SERVER, drift=OnDrift(), kpis=(Kpi("accuracy", 0.7),))
    return House().open(replace(SPEC, retraining=terms))


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=Desk(house).app())
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8001") as client:
        yield client


async def test_a_wish_is_201_the_first_time_and_200_from_then_on(house: House, client: httpx.AsyncClient) -> None:
    first = await client.post(HERE, json={"key": "ticket-1", "reason": "a new airline"})
    again = await client.post(HERE, json={"key": "ticket-1"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["phase"] == "waiting"
    assert house.state.timeline(NAME, 1)[0].actor == "local"


async def test_all_that_is_declared_and_every_run_is_shown(client: httpx.AsyncClient) -> None:
    run = (await client.post(HERE, json={"key": "ticket-1"})).json()
    shown = (await client.get(HERE)).json()
    assert shown == {
        "deployment": NAME,
        "target": "airflow",
        "causes": ["drift", "performance"],
        "since": None,
        "runs": [run],
    }


async def test_another_wish_while_a_run_is_under_way_is_409(client: httpx.AsyncClient) -> None:
    await client.post(HERE, json={"key": "one"})
    refused = await client.post(HERE, json={"key": "two"})
    assert (refused.status_code, refused.json()["type"]) == (409, "run-under-way")


async def test_a_server_says_how_a_run_ended(house: House, client: httpx.AsyncClient) -> None:
    run = (await client.post(HERE, json={"key": "one"})).json()["id"]
    ending = {"result": "succeeded", "said": "flights 4 is challenger", "link": "http://airflow.example/runs/1"}
    early = await client.post(f"{HERE}/{run}/end", json=ending)
    assert (early.status_code, early.json()["type"]) == (409, "invalid-transition")
    runs = Runs(house.documents, house.log, house.clock)
    runs.call(NAME, run, "me")
    runs.accepted(NAME, run, "taken", "")
    for _ in range(2):
        told = await client.post(f"{HERE}/{run}/end", json=ending)
        assert told.status_code == 200
        assert (told.json()["phase"], told.json()["link"]) == ("succeeded", "http://airflow.example/runs/1")
    changed = await client.post(f"{HERE}/{run}/end", json={"result": "failed"})
    assert changed.status_code == 409


async def test_where_nobody_trains_nothing_can_be_asked_for() -> None:
    transport = httpx.ASGITransport(app=Desk(House().open()).app())
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8001") as client:
        refused = await client.post(HERE, json={"key": "one"})
        assert (refused.status_code, refused.json()["type"]) == (409, "no-target")
        assert (await client.get(HERE)).json()["target"] is None


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        (HERE, {}, 422, "invalid-body"),
        (HERE, {"key": ""}, 422, "invalid-body"),
        (HERE, {"key": "with space"}, 422, "invalid-body"),
        (HERE, {"key": "k", "command": "rm"}, 422, "invalid-body"),
        ("/admin/deployments/nothing/retraining", {"key": "k"}, 404, "unknown-deployment"),
        (f"{HERE}/nothing/end", {"result": "succeeded"}, 404, "unknown-run"),
        (f"{HERE}/nothing/end", {"result": "well"}, 422, "invalid-body"),
        (f"{HERE}/nothing/end", {"result": "failed", "link": "javascript:alert(1)"}, 422, "invalid-body"),
    ],
)
async def test_what_does_not_fit_is_refused(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, kind: str
) -> None:
    refused = await client.post(path, json=body)
    assert (refused.status_code, refused.json()["type"]) == (status, kind)
