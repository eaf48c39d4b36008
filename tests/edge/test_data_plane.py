"""The data plane's door: what HTTP says and hears. The stories behind it are real, the world is in memory."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway.core import errors
from gateway.core.deployments import ServingRules
from gateway.core.errors import GatewayError, LogRefused, ModelFailed
from gateway.edge.data_plane import DataPlane, create_app
from gateway.edge.problems import TABLE, row_of
from tests.data_house import BODY, T0, House, canary, flights, reads_seats, shadow, table
from tests.security.house import bearer, locks, secret_of

JSON = {"content-type": "application/json"}


def door(house: House, **options: Any) -> FastAPI:
    return create_app(DataPlane(house.predict, house.feedback, house.clock, **options))


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


@pytest.fixture
def house() -> House:
    return House(table(), table(canary(1.0), name="churn", rules=ServingRules(allow_forced=True)))


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with client(door(house)) as opened:
        yield opened


def is_problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """Check that the answer is problem details of this status and type, and return it."""
    said: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, said["status"], said["type"]) == (status, status, kind)
    assert said["title"]
    assert said["detail"]
    return said


# Predictions.


async def test_a_prediction_is_answered_as_the_contract_says(http: httpx.AsyncClient) -> None:
    response = await http.post("/predict", json=BODY)
    assert response.status_code == 200
    said = response.json()
    assert said.pop("prediction_id").startswith("k1.")
    assert said == {
        "deployment": "flight-delay",
        "prediction": 1007.0,
        "variant": "stable",
        "model_version": "v1",
        "degraded": [],
        "logged": True,
    }


async def test_the_deployment_is_named_in_the_path(http: httpx.AsyncClient) -> None:
    said = (await http.post("/predict/churn", json=BODY)).json()
    assert (said["deployment"], said["variant"], said["prediction"]) == ("churn", "canary", 2007.0)
    is_problem(await http.post("/predict/nothing", json=BODY), 404, "unknown-deployment")


async def test_a_batch_is_answered_in_order(http: httpx.AsyncClient) -> None:
    said = (await http.post("/predict", json=flights(3, 1, 2))).json()
    assert [each["prediction"] for each in said["predictions"]] == [1003.0, 1001.0, 1002.0]


async def test_a_fallback_is_said(house: House, http: httpx.AsyncClient) -> None:
    house.runner.failing["canary"] = ModelFailed("E")
    said = (await http.post("/predict/churn", json=BODY)).json()
    assert (said["variant"], said["fallback"]) == ("stable", True)


async def test_a_degraded_feature_is_named() -> None:
    async with client(door(House(reads_seats(default=150)))) as http:
        assert (await http.post("/predict", json=BODY)).json()["degraded"] == ["seats"]


async def test_an_explanation_is_given_to_whoever_asks_for_it(http: httpx.AsyncClient) -> None:
    said = (await http.post("/predict/churn", json=BODY, headers={"X-Explain": "1"})).json()["explain"]
    assert (said["variant"], said["model_version"]) == ("canary", "v2")
    assert said["propensity"] == {"stable": 0.0, "canary": 1.0}
    assert said["features"] == {"flight": 7, "distance": 1400.0}
    assert set(said["timings_ms"]) == {"features", "model", "total"}


async def test_a_blind_deployment_leaves_out_every_arm_field() -> None:
    async with client(door(House(table(canary(1.0), rules=ServingRules(blind=True))))) as http:
        said = (await http.post("/predict", json=BODY, headers={"X-Explain": "1"})).json()
    arms = {"variant", "model_version", "propensity", "fallback"}
    assert not arms & said.keys()
    assert not arms & said["explain"].keys()


async def test_a_forced_variant_answers_where_the_deployment_allows_it(http: httpx.AsyncClient) -> None:
    forced = await http.post("/predict/churn", json=BODY, headers={"X-Variant": "stable"})
    assert forced.json()["variant"] == "stable"
    is_problem(await http.post("/predict", json=BODY, headers={"X-Variant": "stable"}), 403, "forcing-forbidden")
    is_problem(await http.post("/predict/churn", json=BODY, headers={"X-Variant": "x"}), 422, "unknown-variant")


async def test_without_the_debug_scope_nothing_is_forced_or_explained(house: House) -> None:
    async with client(door(house, locks=locks({"shop": ["predict"]}))) as http:
        http.headers.update(bearer(secret_of("shop")))
        is_problem(await http.post("/predict/churn", json=BODY, headers={"X-Variant": "stable"}), 403, "forbidden")
        assert "explain" not in (await http.post("/predict", json=BODY, headers={"X-Explain": "1"})).json()


async def test_the_caller_is_the_keys_name_so_that_its_request_ids_are_its_own(house: House) -> None:
    async with client(door(house, locks=locks({"shop": ["predict"], "app": ["predict"]}))) as http:
        body = {**BODY, "request_id": "r1"}
        said = [
            (await http.post("/predict", json=body, headers=bearer(secret_of(name)))).json()
            for name in ("shop", "app", "shop")
        ]
    ids = [one["prediction_id"] for one in said]
    assert ids[0] == ids[2] != ids[1]


async def test_the_deadline_header_bounds_the_request(house: House, http: httpx.AsyncClient) -> None:
    house.runner.seconds["stable"] = 2.0
    is_problem(await http.post("/predict", json=BODY, headers={"X-Deadline-Ms": "250"}), 504, "deadline-passed")
    assert (await http.post("/predict", json=BODY, headers={"X-Deadline-Ms": "3000"})).status_code == 200
    is_problem(await http.post("/predict", json=BODY, headers={"X-Deadline-Ms": "soon"}), 400, "malformed-request")


async def test_data_time_is_the_callers_under_replay_only(house: House, http: httpx.AsyncClient) -> None:
    then = {"X-Event-Time": "2013-03-01T10:00:00-05:00"}
    is_problem(await http.post("/predict", json=BODY, headers=then), 400, "malformed-request")
    async with client(door(house, replay=True)) as replay:
        assert (await replay.post("/predict", json=BODY, headers=then)).status_code == 200
        assert (await replay.post("/predict", json=BODY, headers={"X-Event-Time": f"{T0 + 9}"})).status_code == 200
        is_problem(
            await replay.post("/predict", json=BODY, headers={"X-Event-Time": "1e999"}), 400, "malformed-request"
        )
    assert [record.at for record in house.predictions] == [1362150000.0, T0 + 9]
    assert house.clock.data() == T0 + 9


async def test_a_body_that_does_not_fit_is_told_where(http: httpx.AsyncClient) -> None:
    body = {"entities": {}, "features": {"distance": "far", "distanse": 1}, "routing_key": "x"}
    said = is_problem(await http.post("/predict", json=body), 422, "invalid-body")
    assert [place["pointer"] for place in said["errors"]] == [
        "/entities/flight",
        "/features/distance",
        "/features",
        "/routing_key",
    ]
    assert "Did you mean: distance?" in said["errors"][2]["detail"]
    assert "distanse" not in json.dumps(said)


async def test_a_failing_stable_is_500_and_says_so(house: House, http: httpx.AsyncClient) -> None:
    house.runner.failing["stable"] = ModelFailed("ValueError")
    is_problem(await http.post("/predict", json=BODY), 500, "model-failed")


async def test_what_cannot_be_served_now_is_503_with_retry_after(house: House, http: httpx.AsyncClient) -> None:
    house.spool.full = True
    response = await http.post("/predict", json=BODY)
    is_problem(response, 503, "log-refused")
    assert response.headers["retry-after"] == "1"


async def test_a_bug_of_ours_is_problem_details_too(house: House) -> None:
    house.runner.failing["stable"] = ZeroDivisionError()
    transport = httpx.ASGITransport(door(house), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        is_problem(await http.post("/predict", json=BODY), 500, "internal-error")
    assert house.predictions[0].error == "ZeroDivisionError"


async def test_more_requests_than_fit_are_turned_away_at_once_and_outcomes_are_not(house: House) -> None:
    house.runner.gates["stable"] = asyncio.Event()
    async with client(door(house, max_concurrency=2)) as http:
        waiting = [asyncio.create_task(http.post("/predict", json=BODY)) for _ in range(2)]
        while house.predict.under_way() < 2:  # noqa: ASYNC110 - the stories are turning on this very loop
            await asyncio.sleep(0)
        refused = await http.post("/predict", json=BODY)
        is_problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        outcome = {"prediction_id": "forged", "outcome": 1}
        assert (await http.post("/feedback", json=outcome)).status_code == 422
        house.runner.gates["stable"].set()
        assert [response.status_code for response in await asyncio.gather(*waiting)] == [200, 200]
        assert (await http.post("/predict", json=BODY)).status_code == 200


async def test_shadows_run_after_the_answer() -> None:
    house = House(table(shadows=[shadow()]))
    async with client(door(house)) as http:
        assert (await http.post("/predict", json=BODY)).json()["variant"] == "stable"
    await house.shadows.drain(1.0)
    assert [record.label for record in house.shadowed] == [3007.0]


# The HTTP around it.


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=utf-16"},
        JSON | {"content-encoding": "gzip"},
    ],
)
async def test_what_is_not_said_to_be_plain_json_is_415(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    is_problem(await http.post("/predict", content=json.dumps(BODY), headers=headers), 415, "unsupported-media-type")


async def test_json_may_say_its_charset_and_its_kind(http: httpx.AsyncClient) -> None:
    for kind in ("application/json; charset=UTF-8", "application/cloudevents+json"):
        response = await http.post("/predict", content=json.dumps(BODY), headers={"content-type": kind})
        assert response.status_code == 200


async def test_a_body_over_the_limit_is_cut_off_while_it_streams(house: House) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 65_536
            yield b" " * 65_536

    async with client(door(house, max_body=100_000)) as http:
        response = await http.post("/predict", content=endless(), headers=JSON)
    is_problem(response, 413, "body-too-large")
    assert response.headers["connection"] == "close"
    assert read <= 100_000 + 65_536


async def test_a_body_that_says_it_is_too_large_is_not_read_at_all(house: House) -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("nobody should read this")
        yield b""

    headers = JSON | {"content-length": "314572800"}
    async with client(door(house)) as http:
        is_problem(await http.post("/predict", content=unread(), headers=headers), 413, "body-too-large")


async def test_a_body_that_trickles_is_408(house: House) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with client(door(house, body_patience_s=0.01)) as http:
        is_problem(await http.post("/predict", content=trickle(), headers=JSON), 408, "body-too-slow")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("POST", "/predict/", 404, "not-found"),
        ("POST", "/predict/a/b", 404, "not-found"),
        ("GET", "/predict", 405, "method-not-allowed"),
        ("OPTIONS", "/predict", 405, "method-not-allowed"),
        ("DELETE", "/feedback", 405, "method-not-allowed"),
        ("POST", "/livez", 405, "method-not-allowed"),
    ],
)
async def test_a_wrong_path_or_method_is_problem_details_too(
    http: httpx.AsyncClient, method: str, path: str, status: int, kind: str
) -> None:
    response = await http.request(method, path)
    is_problem(response, status, kind)
    assert ("allow" in response.headers) == (status == 405)


async def test_the_probes_answer_and_readiness_gives_its_reason(house: House) -> None:
    reasons = [None, "Stable of churn is not loaded yet."]
    async with client(door(house, ready=lambda: reasons.pop(0))) as http:
        assert (await http.get("/livez")).json() == {"status": "alive"}
        assert (await http.get("/readyz")).json() == {"status": "ready"}
        unready = await http.get("/readyz")
        assert "churn" in is_problem(unready, 503, "not-ready")["detail"]
        assert unready.headers["retry-after"] == "1"
        head = await http.head("/livez")
        assert (head.status_code, head.content) == (200, b"")


# Outcomes.


async def test_an_outcome_is_acknowledged_once_it_is_on_disk(house: House, http: httpx.AsyncClient) -> None:
    said = (await http.post("/predict", json=BODY)).json()
    outcome = {
        "prediction_id": said["prediction_id"],
        "outcome": 1,
        "observed_at": "2026-11-23T21:00:00Z",
        "source": "ops",
    }
    response = await http.post("/feedback", json=outcome)
    assert (response.status_code, response.json()) == (202, {"accepted": 1, "rejected": []})
    [record] = house.outcomes
    assert house.outcomes_spool.flushes == 1
    assert (record.body, record.metric, record.value, record.source) == (
        house.predictions[0].body,
        "label",
        1,
        "ops",
    )
    assert (record.observed_at, record.received_at) == (1_795_467_600.0, T0)


async def test_an_outcome_without_a_time_was_observed_now(house: House, http: httpx.AsyncClient) -> None:
    said = (await http.post("/predict", json=BODY)).json()
    await http.post("/feedback", json={"prediction_id": said["prediction_id"], "outcome": 12.5, "metric": "revenue"})
    assert [(each.metric, each.value, each.observed_at) for each in house.outcomes] == [("revenue", 12.5, T0)]


async def test_forged_ids_are_rejected_one_by_one_and_the_others_taken(house: House, http: httpx.AsyncClient) -> None:
    real = (await http.post("/predict", json=BODY)).json()["prediction_id"]
    key, tag, body, mac = real.split(".")
    forged = [f"{key}.{tag}.{body}.{mac[::-1]}", f"k2.{tag}.{body}.{mac}", "x", "", "é" * 40, f"{real}.x"]
    items = [{"prediction_id": each, "outcome": True} for each in [*forged, real]]
    response = await http.post("/feedback", json={"items": items})
    assert (response.status_code, response.json()["accepted"]) == (202, 1)
    assert [each["index"] for each in response.json()["rejected"]] == list(range(len(forged)))
    assert len(house.outcomes) == 1


async def test_a_label_that_the_deployment_does_not_declare_is_not_taken_and_the_others_are(
    house: House, http: httpx.AsyncClient
) -> None:
    house.routing.tables["flight-delay"] = replace(house.routing.table(None), labels=(0, 1, "late"))
    known = (await http.post("/predict", json=BODY)).json()["prediction_id"]
    told = [1, True, "late", 0.0, 2, "Late", "1", None]
    items = [{"prediction_id": known, "outcome": value} for value in told[:-1]]
    revenue = {"prediction_id": known, "outcome": 812.5, "metric": "revenue"}
    response = await http.post("/feedback", json={"items": [*items, revenue]})
    assert (response.status_code, response.json()["accepted"]) == (202, 5)
    assert [each["index"] for each in response.json()["rejected"]] == [4, 5, 6]
    assert response.json()["rejected"][0] == {
        "index": 4,
        "detail": "A label of flight-delay is one of these: 0, 1, late.",
    }
    said = is_problem(await http.post("/feedback", json=items[4]), 422, "nothing-accepted")
    assert said["rejected"][0]["detail"].startswith("A label of flight-delay")


async def test_when_no_outcome_was_accepted_the_same_body_is_422(house: House, http: httpx.AsyncClient) -> None:
    said = is_problem(await http.post("/feedback", json={"prediction_id": "x", "outcome": 1}), 422, "nothing-accepted")
    assert (said["accepted"], [each["index"] for each in said["rejected"]]) == (0, [0])
    assert house.outcomes == []


async def test_one_outcome_of_a_wrong_shape_spoils_them_all(house: House, http: httpx.AsyncClient) -> None:
    real = (await http.post("/predict", json=BODY)).json()["prediction_id"]
    good = {"prediction_id": real, "outcome": 1}
    said = is_problem(
        await http.post("/feedback", json={"items": [good, good | {"outcome": [1]}, good | {"observed_at": "today"}]}),
        422,
        "invalid-body",
    )
    assert [place["pointer"] for place in said["errors"]] == ["/items/1/outcome", "/items/2/observed_at"]
    assert house.outcomes == []


async def test_an_outcome_the_disk_refuses_is_not_acknowledged(house: House, http: httpx.AsyncClient) -> None:
    real = (await http.post("/predict", json=BODY)).json()["prediction_id"]
    house.outcomes_spool.full = True
    response = await http.post("/feedback", json={"prediction_id": real, "outcome": 1})
    is_problem(response, 503, "log-refused")
    assert "retry-after" in response.headers


async def test_ten_thousand_outcomes_are_taken_in_one_go(house: House, http: httpx.AsyncClient) -> None:
    real = (await http.post("/predict", json=BODY)).json()["prediction_id"]
    items = [{"prediction_id": real, "outcome": n} for n in range(10_000)]
    assert (await http.post("/feedback", json={"items": items})).json()["accepted"] == 10_000
    assert house.outcomes_spool.flushes == 1
    said = is_problem(await http.post("/feedback", json={"items": [*items, items[0]]}), 422, "invalid-body")
    assert said["errors"][0]["pointer"] == "/items"


# The table of problems, and the document.


def test_every_error_has_its_row() -> None:
    classes = {each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, GatewayError)}
    assert classes - {GatewayError} <= TABLE.keys(), "an error without a row leaves as something it is not"
    assert len({row.type for row in TABLE.values()}) == len(TABLE)
    assert row_of(LogRefused("full")).status == 503


def test_the_document_describes_every_route_with_examples_and_its_references_hold(house: House) -> None:
    document = door(house).openapi()
    own = {path for path in document["paths"] if not path.startswith(("/v2", "/invocations"))}
    assert own - {"/ping", "/health", "/version"} == {
        "/predict",
        "/predict/{deployment}",
        "/feedback",
        "/livez",
        "/readyz",
    }
    text = json.dumps(document)
    components = document["components"]["schemas"]
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in components
    post = document["paths"]["/predict/{deployment}"]["post"]
    assert {each["name"] for each in post["parameters"]} == {
        "deployment",
        "X-Deadline-Ms",
        "X-Variant",
        "X-Explain",
    }
    assert "X-Event-Time" not in text
    assert "X-Event-Time" in json.dumps(door(house, replay=True).openapi())
    assert set(post["responses"]) >= {"200", "400", "403", "404", "413", "415", "422", "500", "503", "504"}
    assert components["Instance"]["properties"]["entities"]["examples"]
    assert "HTTPValidationError" not in components
