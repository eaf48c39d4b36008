"""The operators' door: what each route translates, and whom it does not let in."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import httpx
import pytest
from fastapi import FastAPI, Response

from gateway.contrast import Asked
from gateway.core.deployments import Role
from gateway.core.drift.sides import Span
from gateway.core.errors import ModelUnusable, UnknownDeployment
from gateway.core.features import NO_FEATURES, FeaturePlan
from gateway.core.gates import GateResult
from gateway.core.ids import SigningKeys, mint
from gateway.core.inputs import lay_out, read_body
from gateway.core.metrics import default_guardrail
from gateway.core.tables import table_of
from gateway.edge import control_schemas
from gateway.edge.control_examples import EXAMPLES
from gateway.edge.control_guard import MAX_BODY
from gateway.edge.control_parts import ControlPlane, Prepared, Spooled
from gateway.edge.control_plane import create_app
from gateway.retraining import Runs
from tests.control_house import NAME, SPEC, House, card
from tests.drift_house import drift_of

KEYS = SigningKeys("k1", {"k1": b"k" * 32})
HERE = f"/admin/deployments/{NAME}"
GOOD = {"1": 0.2, "2": 0.2}
WORSE = {"1": 0.2, "2": 0.6}

_T = TypeVar("_T")


@dataclass(slots=True)
class Desk:
    """What stands behind the door in these tests, beside the memory house."""

    house: House
    settled: list[float] = field(default_factory=list)
    unready: str | None = None
    asked: list[Asked] = field(default_factory=list)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Work at once: there is one thread here."""
        await asyncio.sleep(0)
        return work()

    async def prepare(self, deployment: str, uri: str) -> Prepared:
        """A model of the version named, or none."""
        version = uri.rpartition("/")[2]
        if version == "broken":
            raise ModelUnusable("Its digest is not what the registry says.")
        return Prepared(card(version), self.features(deployment))

    async def vet(self, deployment: str, prepared: Prepared) -> list[GateResult]:  # noqa: ARG002 - the same for all
        """Every model passes."""
        return []

    def features(self, deployment: str) -> FeaturePlan:  # noqa: ARG002 - the same for every deployment
        """No variant reads the feature store here."""
        return NO_FEATURES

    async def report(self, asked: Asked) -> bytes:
        """A page that says what it is about."""
        if asked.deployment != NAME:
            raise UnknownDeployment
        self.asked.append(asked)
        return b"<!DOCTYPE html><body>what was asked for</body>"

    async def settle(self, seconds: float) -> Sequence[Spooled]:
        """Nothing is left."""
        self.settled.append(seconds)
        return [Spooled("host", 1.0, 0, 0, 0)]

    def app(self) -> FastAPI:
        """The app over this desk."""
        return create_app(self.plane())

    def plane(self) -> ControlPlane:
        """What the door leads to."""
        return ControlPlane(
            control=self.house.control,
            state=self.house.state,
            log=self.house.log,
            clock=self.house.clock,
            run=self.run,
            prepare=self.prepare,
            vet=self.vet,
            features=self.features,
            drift=drift_of(self.house).report,
            report=self.report,
            runs=Runs(self.house.documents, self.house.log, self.house.clock),
            settle=self.settle,
            keys=lambda: KEYS,
            metrics=lambda: Response("up 1\n", media_type="text/plain"),
            unready=lambda: self.unready,
            declared={NAME: SPEC},
            hosts=frozenset({"gateway.example"}),
        )


@pytest.fixture
def house() -> House:
    return House().open()


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(desk.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8001") as client:
        yield client


def problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """Check that it is problem details of this status and type."""
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["status"], body["type"]) == (status, status, kind), body
    assert response.headers["content-type"] == "application/problem+json"
    return body


async def test_a_deployment_shows_its_variants_and_its_revision_is_the_etag(
    house: House, client: httpx.AsyncClient
) -> None:
    house.start()
    house.serve(20, GOOD)
    house.look()
    response = await client.get(HERE)
    body = response.json()
    assert response.headers["etag"] == f'"{house.document.revision}"'
    stable, canary = body["variants"]
    assert (stable["role"], stable["model_version"], stable["weight"]) == ("stable", "1", 0.8)
    assert (canary["name"], canary["model_version"], canary["weight"]) == ("canary", "2", 0.2)
    assert (canary["phase"], canary["step"]["number"], canary["step"]["of"]) == ("running", 1, 2)
    assert canary["verdict"]["finding"] == "inconclusive"
    assert canary["digest"] == "digest-2"
    assert (await client.get("/admin/deployments")).json()["deployments"] == [body]


async def test_the_inputs_carry_a_body_that_predict_accepts(house: House, client: httpx.AsyncClient) -> None:
    inputs = (await client.get(HERE)).json()["inputs"]
    assert [feature["name"] for feature in inputs["features"]] == ["distance", "sched_dep_hour"]
    assert inputs["example"] == {"features": {"distance": 1400.0, "sched_dep_hour": 0}}
    assert read_body(lay_out(table_of(house.document, NO_FEATURES)), inputs["example"])


async def test_a_spec_that_differs_from_the_file_is_reported_and_nothing_more(
    house: House, client: httpx.AsyncClient
) -> None:
    assert (await client.get(HERE)).json()["config_drift"] is False
    house.control.apply(replace(SPEC, keep_previous=1), actor="ann", reason="less")
    assert (await client.get(HERE)).json()["config_drift"] is True


async def test_a_canary_is_prepared_and_started(house: House, client: httpx.AsyncClient) -> None:
    response = await client.post(f"{HERE}/canary", json={"model": "models:/flights/2", "plan": "quick"})
    assert response.status_code == 201
    assert (response.json()["action"], response.json()["actor"]) == ("start", "local")
    assert house.rollout().model.version == "2"


@pytest.mark.parametrize(
    ("body", "kind", "pointer"),
    [
        ({"model": "models:/flights/broken", "plan": "quick"}, "model-unusable", None),
        ({"model": "models:/flights/2", "plan": "heroic"}, "invalid-body", "/plan"),
        ({"model": "models:/flights/2"}, "invalid-body", "/plan"),
        ({"model": "m", "plan": "quick", "name": "No Good"}, "invalid-body", "/name"),
        ({"model": "m", "plan": "quick", "guardrails": []}, "invalid-body", "/guardrails"),
        ({"model": "m", "plan": "quick", "guardrails": [{"metric": "charm"}]}, "invalid-body", "/guardrails/0/metric"),
        ({"model": "m", "plan": "quick", "guardrails": ["charm"]}, "invalid-body", "/guardrails/0/metric"),
        ({"model": "m", "plan": "quick", "evil": 1}, "invalid-body", ""),
        ({"model": "\ud800", "plan": "quick"}, "invalid-body", "/model"),
    ],
)
async def test_a_canary_that_cannot_be_is_422_and_nothing_is_echoed(
    client: httpx.AsyncClient, body: dict[str, Any], kind: str, pointer: str | None
) -> None:
    headers = {"Content-Type": "application/json"}
    response = await client.post(f"{HERE}/canary", content=json.dumps(body), headers=headers)
    said = problem(response, 422, kind)
    assert pointer is None or said["errors"][0]["pointer"] == pointer
    assert not {"evil", "heroic", "No Good"} & set(response.text.replace('"', " ").split())


async def test_a_second_candidate_of_a_name_is_409_before_anything_is_prepared(
    house: House, client: httpx.AsyncClient
) -> None:
    house.start()
    response = await client.post(f"{HERE}/canary", json={"model": "models:/flights/broken", "plan": "quick"})
    problem(response, 409, "candidate-running")


async def test_traffic_needs_the_revision_it_was_made_for(house: House, client: httpx.AsyncClient) -> None:
    house.start()
    etag = (await client.get(HERE)).headers["etag"]
    problem(await client.put(f"{HERE}/traffic", json={"canary": 0.4}), 428, "revision-required")
    stale = await client.put(f"{HERE}/traffic", json={"canary": 0.4}, headers={"If-Match": '"1"'})
    problem(stale, 412, "revision-conflict")
    problem(await client.put(f"{HERE}/traffic", json={}, headers={"If-Match": "*"}), 400, "bad-request")
    held = await client.put(f"{HERE}/traffic", json={"canary": 0.4}, headers={"If-Match": etag})
    assert held.status_code == 200
    assert (house.rollout().weight, house.rollout().phase) == (0.4, "paused")
    long = {"weights": {"canary": 0.3}, "shadows": {}, "reason": "less"}
    again = await client.put(f"{HERE}/traffic", json=long, headers={"If-Match": str(held.json()["revision"])})
    assert again.json()["reason"] == "less"
    assert house.rollout().weight == 0.3


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"nobody": 0.1}, 422, "unknown-variant"),
        ({"canary": 1.5}, 422, "invalid-body"),
        ({"canary": "0.1"}, 422, "invalid-body"),
        ({"canary": True}, 422, "invalid-body"),
        ({"weights": {"canary": 0.1}, "shadows": {"v9": 1.0}}, 422, "unknown-variant"),
        ({"canary": 0.1}, 409, "candidate-latched"),
    ],
)
async def test_traffic_that_cannot_be_is_refused(
    house: House, client: httpx.AsyncClient, body: dict[str, Any], status: int, kind: str
) -> None:
    house.start()
    await client.post(f"{HERE}/demote")
    match = {"If-Match": str(house.document.revision)}
    problem(await client.put(f"{HERE}/traffic", json=body, headers=match), status, kind)


async def test_not_a_number_is_no_share(house: House, client: httpx.AsyncClient) -> None:
    headers = {"If-Match": str(house.document.revision), "Content-Type": "application/json"}
    response = await client.put(f"{HERE}/traffic", content=b'{"canary": NaN}', headers=headers)
    problem(response, 422, "invalid-body")


async def test_operators_signals_move_the_rollout_and_land_in_the_timeline(
    house: House, client: httpx.AsyncClient
) -> None:
    house.start()
    for signal, phase in (("pause", "paused"), ("resume", "running"), ("promote", "promoted")):
        response = await client.post(f"{HERE}/{signal}", json={"reason": f"to {signal}", "candidate": "canary"})
        assert (response.status_code, response.json()["reason"]) == (200, f"to {signal}")
        assert house.rollout().phase == phase
    back = await client.post(f"{HERE}/rollback", json={"reason": "not so sure"})
    assert back.status_code == 200
    assert house.document.stable.model.version == "1"
    timeline = (await client.get(f"{HERE}/timeline")).json()["decisions"]
    actions = ["rollback", "promote", "resume", "pause", "ready", "start", "found"]
    assert [decision["action"] for decision in timeline] == actions
    assert len((await client.get(f"{HERE}/timeline?limit=2")).json()["decisions"]) == 2


async def test_an_abort_needs_no_words(house: House, client: httpx.AsyncClient) -> None:
    house.start()
    assert (await client.post(f"{HERE}/demote")).status_code == 200
    assert house.rollout().weight == 0.0


async def test_an_impossible_signal_is_409_and_names_phase_and_signal(house: House, client: httpx.AsyncClient) -> None:
    house.start()
    await client.post(f"{HERE}/demote")
    said = problem(await client.post(f"{HERE}/resume"), 409, "invalid-transition")
    assert (said["phase"], said["signal"]) == ("demoted", "resume")
    assert "demoted" in said["detail"]
    assert "resume" in said["detail"]
    said = problem(await client.post(f"{HERE}/rollback"), 409, "invalid-transition")
    assert (said["phase"], said["signal"]) == ("none", "rollback")


@pytest.mark.parametrize("signal", ["promote", "demote", "pause", "resume", "rollback"])
async def test_a_signal_to_nobody_is_409_and_to_somebody_unknown_422(client: httpx.AsyncClient, signal: str) -> None:
    said = problem(await client.post(f"{HERE}/{signal}"), 409, "invalid-transition")
    assert (said["phase"], said["signal"]) == ("none", signal)
    if signal != "rollback":
        problem(await client.post(f"{HERE}/{signal}", json={"candidate": "ann"}), 422, "unknown-variant")


async def test_figures_a_guardrail_leaves_out_are_the_metrics_own(house: House, client: httpx.AsyncClient) -> None:
    guardrails = [{"metric": "error_rate"}, {"metric": "accuracy", "absolute": 0.1, "role": "signal"}]
    body = {"model": "models:/flights/2", "plan": "quick", "guardrails": guardrails}
    assert (await client.post(f"{HERE}/canary", json=body)).status_code == 201
    declared = (default_guardrail("error_rate"), replace(default_guardrail("accuracy"), absolute=0.1, role=Role.SIGNAL))
    assert house.rollout().terms.guardrails == declared


async def test_shadows_come_and_go(house: House, client: httpx.AsyncClient) -> None:
    added = await client.post(f"{HERE}/shadows", json={"model": "models:/flights/9", "name": "v9", "rate": 0.5})
    assert added.status_code == 201
    assert (await client.get(HERE)).json()["variants"][-1]["shadow"] == 0.5
    assert (await client.delete(f"{HERE}/shadows/v9")).status_code == 200
    problem(await client.delete(f"{HERE}/shadows/v9"), 422, "unknown-variant")


async def test_a_shadows_verdict_is_seen_like_a_candidates(house: House, client: httpx.AsyncClient) -> None:
    await client.post(f"{HERE}/shadows", json={"model": "models:/flights/9", "name": "v9"})
    house.serve(400, {"1": 0.3, "9": 0.1})
    house.look()
    line = (await client.get(HERE)).json()["variants"][-1]
    assert (line["name"], line["role"], line["verdict"]["finding"]) == ("v9", "shadow", "pass")
    body = (await client.get(f"{HERE}/verdict?candidate=v9")).json()
    [found] = body["guardrails"]
    assert (body["candidate"], body["model_version"], found["metric"]) == ("v9", "9", "paired_accuracy")
    assert found["low"] <= found["difference"] <= found["high"] < 0.0
    assert "shown to be below" in found["sentence"]


async def test_a_shadow_rises_where_pairs_may_stand_for_it(house: House, client: httpx.AsyncClient) -> None:
    await client.post(f"{HERE}/shadows", json={"model": "models:/flights/9", "name": "v9"})
    house.serve(400, {"1": 0.3, "9": 0.1})
    house.look()
    refused = problem(
        await client.post(f"{HERE}/shadows/v9/promote", json={"plan": "quick"}), 409, "invalid-transition"
    )
    assert "labels_independent is not declared" in refused["detail"]
    problem(await client.post(f"{HERE}/shadows/v8/promote"), 422, "unknown-variant")
    problem(await client.post(f"{HERE}/shadows/v9/promote", json={"to": "canry"}), 422, "invalid-body")


async def test_a_shadow_becomes_the_canary_or_stable(client: httpx.AsyncClient, house: House) -> None:
    house.control.apply(replace(SPEC, labels_independent=True), actor="ann", reason="labels come by themselves")
    for name in ("v8", "v9"):
        await client.post(f"{HERE}/shadows", json={"model": f"models:/flights/{name[1:]}", "name": name})
    house.serve(400, {"1": 0.3, "8": 0.1, "9": 0.1})
    house.look()
    stale = {"If-Match": f'"{house.document.revision - 1}"'}
    problem(
        await client.post(f"{HERE}/shadows/v8/promote", json={"plan": "quick"}, headers=stale), 412, "revision-conflict"
    )
    seen = {"If-Match": f'"{house.document.revision}"'}
    begun = await client.post(f"{HERE}/shadows/v8/promote", json={"plan": "quick"}, headers=seen)
    assert (begun.status_code, begun.json()["action"], begun.json()["candidate"]) == (201, "start", "canary")
    done = await client.post(f"{HERE}/shadows/v9/promote", json={"to": "stable", "plan": "quick", "reason": "better"})
    assert (done.status_code, done.json()["action"], done.json()["reason"]) == (201, "promote", "better")
    variants = {one["name"]: one for one in (await client.get(HERE)).json()["variants"]}
    assert (variants["stable"]["model_version"], variants["canary"]["model_version"]) == ("9", "8")


async def test_the_verdict_shows_each_guardrail_with_numbers_and_a_sentence(
    house: House, client: httpx.AsyncClient
) -> None:
    house.start()
    house.live(20, WORSE)
    body = (await client.get(f"{HERE}/verdict?candidate=canary")).json()
    assert (body["finding"], body["phase"], body["model_version"]) == ("fail", "demoted", "2")
    guardrails = {one["metric"]: one for one in body["guardrails"]}
    accuracy = guardrails["accuracy"]
    assert accuracy["evidence"] >= accuracy["threshold"]
    assert accuracy["low"] <= accuracy["difference"] <= accuracy["high"]
    assert accuracy["n_candidate"] > 0
    assert "worse than tolerated" in accuracy["sentence"]


async def test_performance_counts_predictions_errors_and_accuracy_by_variant_and_span(
    house: House, client: httpx.AsyncClient
) -> None:
    house.start()
    house.serve(200, {"1": 0.0, "2": 1.0}, fails={"2": 0.5})
    [span] = (await client.get(f"{HERE}/performance?hours=1")).json()["spans"]
    canary, stable = span["variants"]
    assert (stable["variant"], stable["model_version"], stable["accuracy"], stable["failed"]) == ("stable", "1", 1.0, 0)
    assert (canary["variant"], canary["accuracy"]) == ("canary", 0.0)
    assert 0.2 < canary["error_rate"] < 0.8
    assert stable["predictions"] + canary["predictions"] == 200
    halves = (await client.get(f"{HERE}/performance?hours={200 / 3600}&spans=2")).json()["spans"]
    assert [sum(line["predictions"] for line in half["variants"]) for half in halves] == [100, 100]


async def test_a_prediction_is_found_by_its_id_and_a_forged_id_is_not(house: House, client: httpx.AsyncClient) -> None:
    house.start()
    house.serve(3, GOOD)
    tag = table_of(house.document, NO_FEATURES).tag
    issued = mint(KEYS, tag, "b2")
    body = (await client.get(f"/admin/predictions/{issued}")).json()
    assert body["prediction_id"] == issued
    assert body["deployment"] == NAME
    assert [outcome["metric"] for outcome in body["outcomes"]] == ["label"]
    assert {arm["name"] for arm in body["arms"]} == {"stable", "canary"}
    problem(await client.get(f"/admin/predictions/{issued[:-1]}x"), 404, "unknown-prediction")
    problem(await client.get(f"/admin/predictions/{mint(KEYS, tag, 'b9')}"), 404, "unknown-prediction")


async def test_the_ledger_drains_first_and_says_what_is_left(
    house: House, desk: Desk, client: httpx.AsyncClient
) -> None:
    house.serve(10, GOOD)
    body = (await client.get("/admin/ledger?settle_s=2")).json()
    assert desk.settled == [2.0]
    assert body["predictions"]["stored"] == 10
    assert body["outcomes"]["joined"] == 10
    assert body["spooled"] == [{"host": "host", "as_of": 1.0, "predictions": 0, "outcomes": 0, "shadows": 0}]
    problem(await client.get("/admin/ledger?deployment=nowhere"), 404, "unknown-deployment")


@pytest.mark.parametrize("path", ["", "/verdict", "/timeline", "/performance", "/pulse", "/course", "/kpis"])
async def test_an_unknown_deployment_is_404_wherever_it_is_asked_for(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(f"/admin/deployments/nowhere{path}"), 404, "unknown-deployment")


async def test_probes_say_alive_and_ready_or_why_not(desk: Desk, client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).status_code == 200
    desk.unready = "the store cannot be reached"
    response = await client.get("/readyz")
    assert problem(response, 503, "not-ready")["detail"] == "the store cannot be reached"
    assert response.headers["retry-after"] == "1"
    assert (await client.get("/metrics")).text == "up 1\n"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8001", "127.0.0.1:8001", "[::1]:8001", "gateway.example"])
async def test_its_own_names_are_let_in(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/livez", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_foreign_host_or_origin_is_403_whatever_it_asks_for(
    house: House, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    house.start()
    problem(await client.post(f"{HERE}/demote", headers=headers), 403, "foreign-host")
    assert house.rollout().phase == "running"


async def test_a_large_body_is_413_announced_or_not(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 65_536 + 2):
            yield b" " * 65_536

    headers = {"Content-Type": "application/json"}
    for content in (b" " * (MAX_BODY + 1), endless()):
        response = await client.post(f"{HERE}/canary", content=content, headers=headers)
        problem(response, 413, "body-too-large")


@pytest.mark.parametrize(
    ("content", "status"), [(b"{", 400), (b"[1]", 422), (b"\xff", 400), (b'"text"', 422), (b"[" * 5_000, 400)]
)
async def test_what_is_no_json_is_400_and_what_is_no_object_422(
    client: httpx.AsyncClient, content: bytes, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    response = await client.post(f"{HERE}/canary", content=content, headers=headers)
    problem(response, status, {400: "malformed-request", 422: "invalid-body"}[status])


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
async def test_a_body_that_is_not_said_to_be_json_is_415(client: httpx.AsyncClient, kind: str) -> None:
    response = await client.post(f"{HERE}/demote", content=b"{}", headers={"Content-Type": kind})
    problem(response, 415, "unsupported-media-type")


async def test_a_pointer_never_repeats_a_name_that_the_caller_made_up(client: httpx.AsyncClient) -> None:
    headers = {"If-Match": '"1"'}
    response = await client.put(f"{HERE}/traffic", json={"weights": {"secret": "x"}}, headers=headers)
    assert problem(response, 422, "invalid-body")["errors"][0]["pointer"] == "/weights"
    assert "secret" not in response.text


async def test_head_is_answered_as_get_is_and_a_slash_too_many_is_404(client: httpx.AsyncClient) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/admin/ledger"):
        assert (await client.head(path)).status_code == 200
    assert (await client.head(HERE)).headers["etag"] == (await client.get(HERE)).headers["etag"]
    wrong = await client.head(f"{HERE}/demote")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    problem(await client.get(f"{HERE}/"), 404, "not-found")


async def test_openapi_describes_every_route_with_its_refusals(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    traffic = document["paths"]["/admin/deployments/{deployment}/traffic"]["put"]
    assert {"200", "404", "409", "412", "422", "428", "503"} <= traffic["responses"].keys()
    for status, response in traffic["responses"].items():
        assert response["content"].keys() == {"application/json" if status == "200" else "application/problem+json"}
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert document["components"]["schemas"]["TrafficRequest"]["examples"]
    routes = {
        f"{verb} {path.removeprefix('/admin/deployments/{deployment}')}"
        for path, verbs in document["paths"].items()
        for verb in verbs
    }
    assert {"post /canary", "post /rollback", "delete /shadows/{name}", "get /verdict", "get /admin/ledger"} <= routes


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_in_openapi_are_what_the_views_say(name: str) -> None:
    view = getattr(control_schemas, name)
    assert view.model_validate(EXAMPLES[name]).model_dump(mode="json") == EXAMPLES[name]


async def test_the_verdict_says_when_it_would_be_decided(house: House, client: httpx.AsyncClient) -> None:
    house.start()
    house.serve(30, GOOD)
    house.look()
    assert (await client.get(f"{HERE}/verdict")).json()["still_needed"] is None
    house.serve(400, {"1": 0.02, "2": 0.02})
    house.look()
    still = (await client.get(f"{HERE}/verdict")).json()["still_needed"]
    assert still["towards"] == "pass"
    assert still["observations"] > 0
    assert still["seconds"] > 0.0
    assert "At this pace" in still["sentence"]


async def test_a_rollout_may_bring_guardrails_of_its_own(house: House, client: httpx.AsyncClient) -> None:
    own = ["error_rate", {"metric": "accuracy", "absolute": 0.01, "role": "signal", "dry_run": True}]
    body = {"model": "models:/flights/2", "plan": "quick", "guardrails": own}
    assert (await client.post(f"{HERE}/canary", json=body)).status_code == 201
    errors, accuracy = house.rollout().terms.guardrails
    assert errors == default_guardrail("error_rate")
    assert accuracy == replace(default_guardrail("accuracy"), absolute=0.01, role=Role.SIGNAL, dry_run=True)


@pytest.mark.parametrize(
    ("guardrail", "reason"),
    [
        ({"metric": "accuracy", "absolute": 1.5}, "an absolute tolerance is a share between -1 and 1"),
        ({"metric": "accuracy", "margin_absolute": -1.0}, "an absolute tolerance is a share between -1 and 1"),
    ],
)
async def test_a_guardrail_that_cannot_be_measured_is_refused_with_the_reason_before_the_model_is_prepared(
    desk: Desk, client: httpx.AsyncClient, guardrail: object, reason: str
) -> None:
    body = {"model": "models:/flights/broken", "plan": "quick", "guardrails": [guardrail]}
    refusal = problem(await client.post(f"{HERE}/canary", json=body), 422, "unmeasurable")
    assert reason in refusal["detail"]


async def test_a_drift_report_is_a_page_that_can_reach_nothing(desk: Desk, client: httpx.AsyncClient) -> None:
    query = {"report": "html", "since": "2013-07-01T00:00:00Z", "until": "2013-07-02T00:00:00+00:00"}
    response = await client.get(f"{HERE}/drift", params=query)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = response.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'") and "allow-same-origin" not in policy
    assert desk.asked == [Asked(NAME, Span(1_372_636_800.0, 1_372_723_200.0), None)]
    query = {"report": "html", "reference_since": "1362096000", "reference_until": "1362700800"}
    assert (await client.get(f"{HERE}/drift", params=query)).status_code == 200
    assert desk.asked[1:] == [Asked(NAME, None, Span(1_362_096_000.0, 1_362_700_800.0))]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"report": "pdf"}, "/query/report"),
        ({"report": "html", "since": "2013-07-01T00:00:00Z"}, "/query/until"),
        ({"report": "html", "since": "2013-07-02T00:00:00Z", "until": "2013-07-01T00:00:00Z"}, "/query/until"),
        ({"report": "html", "reference_until": "2013-07-01T00:00:00Z"}, "/query/reference_since"),
        ({"report": "html", "since": "2013-07-01T00:00:00", "until": "2013-07-02T00:00:00Z"}, "/query/since"),
        ({"report": "html", "refrence_since": "2013-07-01T00:00:00Z"}, "/query"),
    ],
)
async def test_a_report_that_cannot_be_meant_is_refused_at_its_place(
    client: httpx.AsyncClient, query: dict[str, str], pointer: str
) -> None:
    body = problem(await client.get(f"{HERE}/drift", params=query), 422, "invalid-body")
    assert [place["pointer"] for place in body["errors"]] == [pointer]


async def test_a_report_on_a_deployment_that_is_not_there_is_404(client: httpx.AsyncClient) -> None:
    response = await client.get("/admin/deployments/nobody/drift", params={"report": "html"})
    problem(response, 404, "unknown-deployment")
