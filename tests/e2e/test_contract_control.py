"""The control plane, sentence by sentence, against a running gateway."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.contract import (
    BODY,
    JSON,
    TOO_OFTEN,
    admin,
    answer,
    ask,
    in_force,
    pointers,
    problem,
    record,
    start,
    state,
    variant,
)
from tests.e2e.harness import Gateway, until


@pytest.fixture(scope="module")
def gateway(contract: Gateway) -> Gateway:
    return contract


def put(gateway: Gateway, name: str, body: Any, match: str | None = "") -> httpx.Response:
    """Put a split in force, by default for the revision that stands."""
    if match == "":
        match = gateway.control.get(f"/admin/deployments/{name}").headers["etag"]
    headers = {} if match is None else {"If-Match": match}
    return gateway.control.put(f"/admin/deployments/{name}/traffic", json=body, headers=headers)


def shares(gateway: Gateway, name: str) -> dict[str, tuple[float, float]]:
    """Weight and shadow rate of every variant."""
    return {one["name"]: (one["weight"], one["shadow"]) for one in state(gateway, name)["variants"]}


def timeline(gateway: Gateway, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.control.get(f"/admin/deployments/{name}/timeline").json()["decisions"]
    return found


def served(gateway: Gateway, name: str, n: int = 400) -> dict[str, int]:
    """Who answers ``n`` requests."""
    seen: dict[str, int] = {}
    for _ in range(n // 100):
        for one in answer(gateway, name, {"instances": [BODY] * 100})["predictions"]:
            seen[one["variant"]] = seen.get(one["variant"], 0) + 1
    return seen


# State.


def test_a_deployment_shows_its_variants_and_its_inputs(gateway: Gateway) -> None:
    said = state(gateway, "untouched")
    [stable] = said["variants"]
    assert (stable["name"], stable["role"], stable["weight"]) == ("stable", "stable", 1.0)
    assert (stable["model"], stable["model_version"]) == ("churn", "1")
    assert len(stable["digest"]) == 64
    assert said["inputs"]["entities"] == []
    age, visits = said["inputs"]["features"]
    assert (age["name"], age["type"], age["required"]) == ("age", "number", True)
    assert visits["name"] == "visits"
    assert said["inputs"]["example"] == {"features": {"age": 40.0, "visits": 3.0}}


def test_inputs_carry_declared_types_ranges_and_defaults(gateway: Gateway) -> None:
    said = state(gateway, "declared")["inputs"]
    [who] = said["entities"]
    assert (who["name"], who["type"], who["required"]) == ("who", "string", False)
    age = next(one for one in said["features"] if one["name"] == "age")
    assert age == {
        "name": "age",
        "type": "integer",
        "required": False,
        "default": 30,
        "minimum": 0.0,
        "maximum": 150.0,
        "categories": [],
    }
    assert said["example"]["features"]["age"] == 41


def test_the_revision_is_also_the_etag(gateway: Gateway) -> None:
    response = gateway.control.get("/admin/deployments/untouched")
    assert response.headers["etag"] == f'"{response.json()["revision"]}"'
    assert gateway.control.head("/admin/deployments/untouched").headers["etag"] == response.headers["etag"]


def test_every_deployment_is_listed_by_name(gateway: Gateway) -> None:
    listed = gateway.control.get("/admin/deployments").json()["deployments"]
    names = [one["deployment"] for one in listed]
    assert names == sorted(gateway.config["deployments"])
    assert listed[names.index("untouched")] == state(gateway, "untouched")
    assert [one["deployment"] for one in listed if one["default"]] == ["churn"]


@pytest.mark.parametrize("path", ["", "/verdict", "/timeline", "/performance"])
def test_an_unknown_deployment_is_404_wherever_it_is_read(gateway: Gateway, path: str) -> None:
    problem(gateway.control.get(f"/admin/deployments/nobody{path}"), 404, "unknown-deployment")


@pytest.mark.parametrize("verb", ["promote", "demote", "pause", "resume", "rollback"])
def test_an_unknown_deployment_is_404_wherever_it_is_changed(gateway: Gateway, verb: str) -> None:
    problem(admin(gateway, "nobody", verb), 404, "unknown-deployment")
    problem(put(gateway, "nobody", {}, '"1"'), 404, "unknown-deployment")
    model = {"model": "models:/churn/2", "plan": "half", "name": "canary"}
    problem(admin(gateway, "nobody", "canary", model), 404, "unknown-deployment")
    problem(admin(gateway, "nobody", "shadows", {"model": "models:/churn/2", "name": "v"}), 404, "unknown-deployment")
    problem(gateway.control.delete("/admin/deployments/nobody/shadows/v"), 404, "unknown-deployment")


# Traffic.


def test_traffic_by_hand(gateway: Gateway) -> None:
    """One life of a candidate under ``PUT traffic``: every sentence of that row of the contract."""
    start(gateway, "traffic", "2", "tenth")
    assert shares(gateway, "traffic") == {"stable": (0.9, 0.0), "canary": (0.1, 0.0)}

    # If-Match: 428 when missing, 412 when stale; and then nothing has changed.
    before = state(gateway, "traffic")
    problem(put(gateway, "traffic", {"canary": 0.4}, None), 428, "revision-required")
    problem(put(gateway, "traffic", {"canary": 0.4}, '"1"'), 412, "revision-conflict")
    problem(put(gateway, "traffic", {"canary": 0.4}, f'"{before["revision"] + 1}"'), 412, "revision-conflict")
    assert state(gateway, "traffic") == before

    # The short form; the running plan is paused by it.
    held = put(gateway, "traffic", {"canary": 0.4})
    assert held.status_code == 200
    assert (held.json()["action"], held.json()["actor"]) == ("traffic", "local")
    assert held.json()["revision"] == before["revision"] + 1
    canary = variant(gateway, "traffic")
    assert (canary["weight"], canary["phase"], canary["step"]["number"]) == (0.4, "paused", 1)
    assert shares(gateway, "traffic")["stable"] == (0.6, 0.0)
    until(lambda: in_force(gateway, "traffic"))
    assert 100 < served(gateway, "traffic")["canary"] < 220

    # `resume` returns to its step.
    assert admin(gateway, "traffic", "resume").status_code == 200
    canary = variant(gateway, "traffic")
    assert (canary["weight"], canary["phase"], canary["step"]["number"]) == (0.1, "running", 1)

    # An unknown name is 422, also stable's, which takes the rest; so is more than everything.
    strangers: list[Any] = [{"nobody": 0.1}, {"stable": 0.9}, {"weights": {}, "shadows": {"nobody": 1.0}}]
    for body in strangers:
        problem(put(gateway, "traffic", body), 422, "unknown-variant")
    no_shares: list[Any] = [*({"canary": share} for share in (1.1, -0.1, "half", None, True)), [], "x"]
    for body in no_shares:
        problem(put(gateway, "traffic", body), 422, "invalid-body")

    # The whole split: whoever is not named gets nothing.
    assert put(gateway, "traffic", {}).status_code == 200
    assert shares(gateway, "traffic") == {"stable": (1.0, 0.0), "canary": (0.0, 0.0)}
    until(lambda: in_force(gateway, "traffic"))
    assert served(gateway, "traffic") == {"stable": 400}

    # The long form, with a reason and the candidate as its own shadow.
    split = {"weights": {"canary": 0.25}, "shadows": {"canary": 0.5}, "reason": "try it"}
    assert put(gateway, "traffic", split).json()["reason"] == "try it"
    assert shares(gateway, "traffic") == {"stable": (0.75, 0.0), "canary": (0.25, 0.5)}


def at_once(work: Callable[[], httpx.Response], times: int = 8) -> list[httpx.Response]:
    """Do the same so many times at the same moment."""
    with ThreadPoolExecutor(times) as pool:
        return [each.result() for each in [pool.submit(work) for _ in range(times)]]


def test_of_changes_made_for_the_same_revision_one_holds_and_the_others_are_412(gateway: Gateway) -> None:
    start(gateway, "raced", "2", "tenth")
    before = state(gateway, "raced")["revision"]
    answers = at_once(lambda: put(gateway, "raced", {"canary": 0.3}, f'"{before}"'))
    assert sorted(one.status_code for one in answers) == [200, *[412] * 7]
    assert state(gateway, "raced")["revision"] == before + 1


def test_of_candidates_of_one_name_started_at_once_one_holds_and_the_others_are_409(gateway: Gateway) -> None:
    model = {"model": "models:/churn/2", "plan": "half", "name": "racer"}
    answers = at_once(lambda: admin(gateway, "raced", "canary", model))
    assert sorted(one.status_code for one in answers) == [201, *[409] * 7]
    assert [line["action"] for line in timeline(gateway, "raced") if line["candidate"] == "racer"].count("start") == 1
    demoted = at_once(lambda: admin(gateway, "raced", "demote", {"candidate": "racer"}))
    assert sorted(one.status_code for one in demoted) == [200, *[409] * 7]


def test_looks_and_evidence_move_no_revision(gateway: Gateway) -> None:
    before = state(gateway, "raced")["revision"]
    served(gateway, "raced", 200)
    until(lambda: gateway.control.get("/admin/deployments/raced/verdict?candidate=canary").json()["at"] > 0.0)
    assert state(gateway, "raced")["revision"] == before


def test_traffic_to_a_demoted_canary_is_409_and_its_latch_holds(gateway: Gateway) -> None:
    start(gateway, "latched", "2", "half")
    assert admin(gateway, "latched", "demote", {"reason": "test"}).status_code == 200
    problem(put(gateway, "latched", {"canary": 0.1}), 409, "candidate-latched")
    problem(put(gateway, "latched", {"weights": {}, "shadows": {"canary": 1.0}}), 409, "candidate-latched")
    assert put(gateway, "latched", {"canary": 0.0}).status_code == 200  # nothing is no traffic
    until(lambda: served(gateway, "latched", 100) == {"stable": 100}, 1.0)
    for verb in ("resume", "pause", "promote", "demote"):
        said = problem(admin(gateway, "latched", verb), 409, "invalid-transition")
        assert (said["phase"], said["signal"]) == ("demoted", verb)
    start(gateway, "latched", "2", "half")  # a new generation may
    assert variant(gateway, "latched")["phase"] == "running"


def test_traffic_to_a_candidate_that_is_not_running_is_409(gateway: Gateway) -> None:
    start(gateway, "lives", "2", "half", "crowned")
    assert admin(gateway, "lives", "promote", {"candidate": "crowned", "reason": "test"}).status_code == 200
    said = problem(put(gateway, "lives", {"crowned": 0.1}), 409, "invalid-transition")
    assert said["phase"] == "promoted"


# Rollouts.


def test_a_rollout_is_refused_with_the_reason(gateway: Gateway) -> None:
    def refused(**said: Any) -> httpx.Response:
        return admin(gateway, "untouched", "canary", {"model": "models:/churn/2", "plan": "half"} | said)

    assert pointers(problem(refused(plan="heroic"), 422, "invalid-body")) == ["/plan"]
    assert pointers(problem(refused(plan=None), 422, "invalid-body")) == ["/plan"]
    assert pointers(problem(refused(name="stable"), 422, "invalid-body")) == ["/name"]
    assert pointers(problem(refused(name="No Good"), 422, "invalid-body")) == ["/name"]
    problem(refused(model="models:/churn/99"), 422, "model-unusable")
    problem(refused(model="models:/nobody/1"), 422, "model-unusable")
    problem(refused(model="https://example.org/model"), 422, "model-unusable")
    problem(refused(model="models:/spend/1"), 422, "model-unusable")  # it answers another question
    charm = problem(refused(guardrails=[{"metric": "charm"}]), 422, "invalid-body")
    assert pointers(charm)[0] == "/guardrails/0/metric"
    assert pointers(problem(refused(guardrails=[]), 422, "invalid-body")) == ["/guardrails"]
    assert len(state(gateway, "untouched")["variants"]) == 1
    assert len(timeline(gateway, "untouched")) == 1


def test_a_second_candidate_of_a_name_is_409(gateway: Gateway) -> None:
    start(gateway, "several", "2", "half", "twin")
    model = {"model": "models:/churn/2", "plan": "half", "name": "twin"}
    problem(admin(gateway, "several", "canary", model), 409, "candidate-running")
    assert admin(gateway, "several", "demote", {"candidate": "twin"}).status_code == 200


def test_several_candidates_draw_their_own_shares(gateway: Gateway) -> None:
    start(gateway, "several", "2", "tenth", "a")
    start(gateway, "several", "4", "tenth", "b")
    assert put(gateway, "several", {"a": 0.3, "b": 0.2}).status_code == 200
    assert shares(gateway, "several")["stable"] == (0.5, 0.0)
    until(lambda: in_force(gateway, "several"))
    seen = served(gateway, "several", 1_000)
    assert 230 < seen["a"] < 370
    assert 130 < seen["b"] < 270
    said = answer(gateway, "several", X_Explain="1")
    assert said["explain"]["propensity"] == pytest.approx({"stable": 0.5, "a": 0.3, "b": 0.2})
    problem(put(gateway, "several", {"a": 0.6, "b": 0.6}), 422, "invalid-body")

    # Each is told apart, and each is judged on its own.
    for name in ("a", "b"):
        verdict = gateway.control.get("/admin/deployments/several/verdict", params={"candidate": name}).json()
        assert verdict["candidate"] == name
    assert admin(gateway, "several", "demote", {"candidate": "b", "reason": "test"}).status_code == 200
    assert variant(gateway, "several", "b")["phase"] == "demoted"
    assert variant(gateway, "several", "a")["phase"] == "paused"
    problem(admin(gateway, "several", "demote", {"candidate": "nobody"}), 422, "unknown-variant")


def test_the_operators_signals(gateway: Gateway) -> None:
    """Each signal where it may come, and 409 with phase and signal where it may not."""

    def refused(verb: str, phase: str) -> None:
        said = problem(admin(gateway, "signals", verb, {"candidate": "canary"}), 409, "invalid-transition")
        assert (said["phase"], said["signal"]) == (phase, verb)

    def done(verb: str) -> dict[str, Any]:
        body = {"reason": f"to {verb}", "candidate": "canary"}
        response = admin(gateway, "signals", verb, body)
        assert response.status_code == 200, response.text
        decision: dict[str, Any] = response.json()
        assert (decision["action"], decision["actor"], decision["reason"]) == (verb, "local", f"to {verb}")
        return decision

    for verb in ("promote", "demote", "pause", "resume", "rollback"):  # nobody is there to be told
        said = problem(admin(gateway, "signals", verb), 409, "invalid-transition")
        assert said["signal"] == verb
    start(gateway, "signals", "2", "tenth")
    refused("resume", "running")
    done("pause")
    assert variant(gateway, "signals")["weight"] == 0.1
    refused("pause", "paused")
    done("resume")
    promoted = done("promote")
    assert promoted["revision"] == state(gateway, "signals")["revision"]
    assert variant(gateway, "signals", "stable")["model_version"] == "2"
    for verb in ("pause", "resume", "promote", "demote"):
        refused(verb, "promoted")
    until(lambda: answer(gateway, "signals")["model_version"] == "2", 1.0)

    # `rollback` returns to the previous stable, once.
    assert [one["model_version"] for one in state(gateway, "signals")["previous"]] == ["1"]
    assert admin(gateway, "signals", "rollback", {"reason": "not so sure"}).json()["action"] == "rollback"
    until(lambda: answer(gateway, "signals")["model_version"] == "1", 1.0)
    assert state(gateway, "signals")["previous"] == []
    said = problem(admin(gateway, "signals", "rollback"), 409, "invalid-transition")
    assert said["signal"] == "rollback"

    # The timeline tells all of it, newest first, with who and why.
    told = timeline(gateway, "signals")
    actions = ["rollback", "promote", "resume", "pause", "ready", "start", "found"]
    assert [line["action"] for line in told] == actions
    assert [line["revision"] for line in told] == list(range(len(told), 0, -1))
    assert all(line["actor"] and line["reason"] for line in told)
    assert [line["actor"] for line in told] == [*["local"] * 4, "agent", "local", "first start"]
    assert all(line["candidate"] == "canary" and line["generation"] for line in told[1:6])


def test_the_timeline_says_as_many_lines_as_asked_for(gateway: Gateway) -> None:
    for limit, status in ((1, 200), (0, 422), (1_001, 422), ("all", 422)):
        response = gateway.control.get("/admin/deployments/untouched/timeline", params={"limit": limit})
        assert response.status_code == status
    assert pointers(problem(response, 422, "invalid-body")) == ["/query/limit"]


# Shadows.


def test_any_number_of_shadows_watch_each_at_its_own_rate(gateway: Gateway) -> None:
    def add(name: str, version: str, rate: float) -> httpx.Response:
        return admin(gateway, "watched", "shadows", {"model": f"models:/churn/{version}", "name": name, "rate": rate})

    for name, version, rate in (("all", "2", 1.0), ("half", "3", 0.5), ("tenth", "4", 0.1)):
        added = add(name, version, rate)
        assert added.status_code == 201, added.text
        assert (added.json()["action"], added.json()["candidate"]) == ("shadow", name)
    assert pointers(problem(add("all", "2", 1.0), 422, "invalid-body")) == ["/name"]
    assert pointers(problem(add("more", "2", 1.5), 422, "invalid-body")) == ["/rate"]
    problem(add("none", "99", 1.0), 422, "model-unusable")
    assert shares(gateway, "watched") == {
        "stable": (1.0, 0.0),
        "all": (0.0, 1.0),
        "half": (0.0, 0.5),
        "tenth": (0.0, 0.1),
    }
    until(lambda: in_force(gateway, "watched"))

    def watching(n: int = 100) -> dict[str, int]:
        """How many of ``n`` predictions each shadow scored, one after the other so that none is shed."""
        idents = [answer(gateway, "watched")["prediction_id"] for _ in range(n)]
        until(lambda: gateway.ledger()["shadows"]["pending"] == 0)
        seen: dict[str, int] = {}
        for ident in idents:
            for shadow in record(gateway, ident)["shadows"]:
                if shadow["dropped"] is None:
                    seen[shadow["name"]] = seen.get(shadow["name"], 0) + 1
        return seen

    until(lambda: watching(1).get("all") == 1, 10.0)  # every worker has loaded it
    until(lambda: watching(1).get("all") == 1, 10.0)
    seen = watching()
    assert seen["all"] == 100
    assert 25 < seen["half"] < 75
    assert 1 < seen["tenth"] < 30

    # A shadow that fails is recorded as failed; what it would have answered is there; no caller sees either.
    ident = answer(gateway, "watched", TOO_OFTEN)["prediction_id"]
    until(lambda: len(record(gateway, ident)["shadows"]) >= 1)
    found = {one["name"]: one for one in record(gateway, ident)["shadows"]}
    assert (found["all"]["prediction"], found["all"]["error"]) == (1, None)

    # Rates change by PUT traffic, and an omitted shadow stops.
    assert put(gateway, "watched", {"weights": {}, "shadows": {"all": 0.5, "half": 0.5}}).status_code == 200
    assert shares(gateway, "watched") == {"stable": (1.0, 0.0), "all": (0.0, 0.5), "half": (0.0, 0.5)}

    # DELETE removes one.
    gone = gateway.control.delete("/admin/deployments/watched/shadows/half", params={"reason": "seen enough"})
    assert (gone.status_code, gone.json()["reason"]) == (200, "seen enough")
    problem(gateway.control.delete("/admin/deployments/watched/shadows/half"), 422, "unknown-variant")
    assert shares(gateway, "watched") == {"stable": (1.0, 0.0), "all": (0.0, 0.5)}
    ledger = gateway.control.get("/admin/ledger", params={"deployment": "watched", "settle_s": 5}).json()["shadows"]
    assert ledger["eligible"] == ledger["done"] + ledger["dropped"] + ledger["pending"]


# The judge.


def test_the_verdict_shows_each_guardrail_with_its_numbers_and_a_sentence(gateway: Gateway) -> None:
    problem(gateway.control.get("/admin/deployments/untouched/verdict"), 422, "unknown-variant")
    start(gateway, "judged", "3", "half")
    told = []
    for _ in range(10):
        said = answer(gateway, "judged", {"instances": [BODY] * 40})["predictions"]
        told += [{"prediction_id": one["prediction_id"], "outcome": 1} for one in said]
    assert gateway.tell(*told).status_code == 202
    until(lambda: variant(gateway, "judged")["phase"] == "demoted", 20.0)

    verdict = gateway.control.get("/admin/deployments/judged/verdict", params={"candidate": "canary"}).json()
    assert (verdict["finding"], verdict["phase"], verdict["model_version"]) == ("fail", "demoted", "3")
    assert "accuracy" in verdict["sentence"]
    found = {one["metric"]: one for one in verdict["guardrails"]}
    assert {"error_rate", "accuracy"} <= found.keys()
    for one in found.values():
        assert one["n_stable"] > 0
        assert one["n_candidate"] > 0
        assert one["sentence"].startswith(one["metric"])
        assert one["finding"] in {"pass", "fail", "inconclusive"}
        assert one["threshold"] > 1.0
    worse = found["accuracy"]
    assert worse["finding"] == "fail"
    assert (worse["stable"], worse["candidate"], worse["difference"]) == (0.0, 1.0, 1.0)
    assert worse["low"] <= worse["difference"] <= worse["high"]
    assert worse["evidence"] >= worse["threshold"]
    assert found["error_rate"]["finding"] != "fail"

    # The decision carries its evidence: the rule, the verdict, how far was looked.
    [line, *_] = timeline(gateway, "judged")
    assert (line["action"], line["actor"], line["candidate"]) == ("demote", "judge", "canary")
    assert line["reason"] == verdict["sentence"]
    evidence = line["evidence"]
    assert evidence["judge_version"] == verdict["judge_version"]
    assert evidence["verdict"]["finding"] == "fail"
    assert evidence["n_candidate"] == worse["n_candidate"]
    assert evidence["visible"]
    assert evidence["window"]["until"] <= line["data_at"]
    assert line["revision"] == state(gateway, "judged")["revision"]


# Conversation.


def test_a_body_may_be_left_out_when_every_second_counts(gateway: Gateway) -> None:
    start(gateway, "lives", "2", "half", "hurried")
    response = gateway.control.post("/admin/deployments/lives/demote")
    assert response.status_code == 200
    assert "gave no reason" in response.json()["reason"]
    until(lambda: {answer(gateway, "lives")["variant"] for _ in range(20)} == {"stable"}, 1.0)


def test_control_bodies_that_are_not_json_are_400_or_415(gateway: Gateway) -> None:
    path = "/admin/deployments/untouched/canary"
    problem(gateway.control.post(path, content=b"{", headers=JSON), 400, "malformed-request")
    problem(gateway.control.post(path, content=b"{}"), 415, "unsupported-media-type")
    problem(gateway.control.post(path, data={"model": "x"}), 415, "unsupported-media-type")
    said = problem(gateway.control.post(path, json={"model": "m", "plan": "half", "more": 1}), 422, "invalid-body")
    assert pointers(said) == [""]


def test_no_error_of_the_control_plane_echoes_what_was_sent(gateway: Gateway) -> None:
    secret = "zq7xw3"
    requests = [
        ("PUT", "traffic", {secret: 0.1}),
        ("PUT", "traffic", {"weights": {secret: secret}}),
        ("POST", "canary", {"model": secret, "plan": "half"}),
        ("POST", "canary", {"model": "m", "plan": secret}),
        ("POST", "canary", {"model": "m", "plan": "half", "guardrails": [{"metric": secret}]}),
        ("POST", "canary", {secret: secret}),
        ("POST", "shadows", {"model": f"models:/{secret}/1", "name": secret}),
        ("POST", "demote", {"candidate": secret}),
        ("POST", secret, {}),
        ("DELETE", f"shadows/{secret}", None),
    ]
    for method, path, body in requests:
        url = f"/admin/deployments/untouched/{path}"
        response = gateway.control.request(method, url, json=body, headers={"If-Match": '"1"'})
        assert 400 <= response.status_code < 500
        assert secret not in response.text, (method, path, response.text)
    for path in (f"/admin/deployments/{secret}", f"/admin/predictions/{secret}", f"/{secret}"):
        assert secret not in gateway.control.get(path).text
    assert ask(gateway, "untouched").status_code == 200
