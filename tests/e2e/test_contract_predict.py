"""``POST /predict``, sentence by sentence, against a running gateway."""

from typing import Any

import pytest

from tests.e2e.contract import (
    BODY,
    DEPLOYMENTS,
    JSON,
    TOO_OFTEN,
    admin,
    answer,
    ask,
    only,
    pointers,
    problem,
    record,
    start,
    variant,
)
from tests.e2e.harness import Gateway, until

ANSWER = {"prediction_id", "deployment", "prediction", "score", "variant", "model_version", "degraded", "logged"}


@pytest.fixture(scope="module")
def gateway(contract: Gateway) -> Gateway:
    start(contract, "split", "2", "half")
    start(contract, "open", "2", "tenth")
    start(contract, "blind", "4", "all")
    start(contract, "fallen", "4", "all")
    start(contract, "hasty", "2", "all")
    start(contract, "sticky", "2", "half")
    start(contract, "keyed", "2", "half")
    return contract


def batch(*instances: Any) -> dict[str, Any]:
    return {"instances": list(instances)}


# The answer.


def test_an_answer_says_what_the_contract_says_and_no_more(gateway: Gateway) -> None:
    said = answer(gateway)
    assert said.keys() == ANSWER
    assert (said["deployment"], said["variant"], said["model_version"]) == ("churn", "stable", "1")
    assert (said["degraded"], said["logged"]) == ([], True)
    assert len(said["prediction_id"]) <= 80
    assert said["prediction_id"].replace(".", "").replace("-", "").replace("_", "").isalnum()


def test_score_is_the_probability_of_the_positive_class(gateway: Gateway) -> None:
    old, young = (answer(gateway, body={"features": {"age": age, "visits": 3.0}}) for age in (55.0, 5.0))
    assert (old["prediction"], young["prediction"]) == (1, 0)
    assert old["score"] > 0.9 > 0.1 > young["score"] >= 0.0


def test_scores_map_each_class_of_a_multi_class_model_to_its_probability(gateway: Gateway) -> None:
    said = answer(gateway, "tier")
    assert said.keys() == ANSWER - {"score"} | {"scores"}
    assert said["scores"].keys() == {"gold", "silver", "bronze"}
    assert sum(said["scores"].values()) == pytest.approx(1.0)
    assert said["prediction"] == max(said["scores"], key=said["scores"].get)


def test_a_regressor_answers_a_number_without_a_score(gateway: Gateway) -> None:
    said = answer(gateway, "spend")
    assert said.keys() == ANSWER - {"score"}
    assert said["prediction"] == pytest.approx(83.0)


def test_predict_without_a_name_asks_the_default_deployment(gateway: Gateway) -> None:
    assert answer(gateway)["deployment"] == "churn"
    assert answer(gateway, "spend")["deployment"] == "spend"


def test_an_example_body_of_the_deployment_is_accepted_by_predict(gateway: Gateway) -> None:
    listed = gateway.control.get("/admin/deployments").json()["deployments"]
    assert {one["deployment"] for one in listed} == set(DEPLOYMENTS)
    for one in listed:
        body = one["inputs"]["example"]
        if one["deployment"] == "sticky":
            body = body | {"routing_key": "somebody"}
        if one["deployment"] != "short":
            answer(gateway, one["deployment"], body)


def test_an_optional_feature_has_its_declared_default(gateway: Gateway) -> None:
    said = answer(gateway, "declared", {"features": {"visits": 2}}, X_Explain="1")
    assert said["explain"]["features"] == {"who": None, "age": 30, "visits": 2}


# Batches.


def test_a_batch_is_answered_in_the_same_order(gateway: Gateway) -> None:
    ages = [5.0, 55.0, 10.0, 50.0, 1.0]
    said = answer(gateway, body=batch(*({"features": {"age": age, "visits": 1}} for age in ages)))
    assert said.keys() == {"predictions"}
    assert [one["prediction"] for one in said["predictions"]] == [0, 1, 0, 1, 0]
    assert all(one.keys() == ANSWER for one in said["predictions"])


def test_each_instance_of_a_batch_is_routed_and_remembered_on_its_own(gateway: Gateway) -> None:
    said = answer(gateway, "split", batch(*[BODY] * 200))["predictions"]
    assert 60 < sum(one["variant"] == "canary" for one in said) < 140
    assert len({one["prediction_id"] for one in said}) == 200
    for one in (said[0], said[-1]):
        kept = record(gateway, one["prediction_id"])
        assert (kept["served"], kept["prediction"]) == (one["variant"], one["prediction"])
        assert {arm["name"]: arm["propensity"] for arm in kept["arms"]} == {"stable": 0.5, "canary": 0.5}


def test_a_batch_has_at_most_1000_instances(gateway: Gateway) -> None:
    assert len(answer(gateway, body=batch(*[BODY] * 1_000))["predictions"]) == 1_000
    assert pointers(problem(ask(gateway, body=batch(*[BODY] * 1_001)), 422, "invalid-body")) == ["/instances"]
    assert pointers(problem(ask(gateway, body=batch()), 422, "invalid-body")) == ["/instances"]


def test_one_bad_instance_is_422_with_its_place_and_nothing_is_predicted(gateway: Gateway) -> None:
    before = gateway.ledger()["predictions"]["received"]
    bad = {"features": {"age": "old", "visits": 1}}
    said = problem(ask(gateway, body=batch(BODY, BODY, BODY, bad)), 422, "invalid-body")
    assert pointers(said) == ["/instances/3/features/age"]
    assert gateway.ledger()["predictions"]["received"] == before


def test_a_failure_at_run_time_fails_the_batch(gateway: Gateway) -> None:
    problem(ask(gateway, "fragile", batch(BODY, TOO_OFTEN, BODY)), 500, "model-failed")


@pytest.mark.parametrize("name", ["request_id", "routing_key"])
def test_request_id_and_routing_key_beside_instances_are_422(gateway: Gateway, name: str) -> None:
    said = problem(ask(gateway, body=batch(BODY) | {name: "a"}), 422, "invalid-body")
    assert pointers(said) == [f"/{name}"]


# Who answers.


def test_when_the_canary_fails_stable_answers_and_the_canary_is_charged(gateway: Gateway) -> None:
    said = answer(gateway, "fallen", TOO_OFTEN)
    assert (said["variant"], said["fallback"], said["model_version"]) == ("stable", True, "1")
    kept = record(gateway, said["prediction_id"])
    assert (kept["assigned"], kept["served"], kept["status"], kept["error"]) == ("canary", "stable", 200, "ValueError")
    assert "fallback" not in answer(gateway, "fallen")


def test_when_the_canary_outlives_its_share_of_the_deadline_stable_answers(gateway: Gateway) -> None:
    said = answer(gateway, "hasty")
    assert (said["variant"], said["fallback"]) == ("stable", True)
    kept = record(gateway, said["prediction_id"])
    assert (kept["assigned"], kept["error"]) == ("canary", "timeout")


def test_x_variant_is_403_where_the_deployment_does_not_allow_it(gateway: Gateway) -> None:
    problem(ask(gateway, "split", X_Variant="canary"), 403, "forcing-forbidden")
    problem(ask(gateway, "split", X_Variant="stable"), 403, "forcing-forbidden")


def test_x_variant_of_an_unknown_variant_is_422(gateway: Gateway) -> None:
    problem(ask(gateway, "open", X_Variant="nobody"), 422, "unknown-variant")


def test_x_variant_forces_a_variant_and_such_a_request_is_never_evidence(gateway: Gateway) -> None:
    start(gateway, "forced", "2", "half")

    def judged() -> int:
        said = gateway.control.get("/admin/deployments/forced/verdict").json()
        [errors] = [one for one in said["guardrails"] if one["metric"] == "error_rate"]
        return int(errors["n_stable"] + errors["n_candidate"])

    forced = [answer(gateway, "forced", X_Variant=name) for name in ["canary", "stable"] * 10]
    assert [one["variant"] for one in forced] == ["canary", "stable"] * 10
    assert [record(gateway, one["prediction_id"])["randomised"] for one in forced] == [False] * 20
    drawn = [answer(gateway, "forced") for _ in range(5)]
    until(lambda: judged() >= len(drawn))  # a look takes everything before it too
    assert judged() == len(drawn)


def test_a_demoted_candidate_cannot_be_forced(gateway: Gateway) -> None:
    start(gateway, "open", "2", "tenth", "gone")
    assert answer(gateway, "open", X_Variant="gone")["variant"] == "gone"
    assert admin(gateway, "open", "demote", {"candidate": "gone", "reason": "test"}).status_code == 200
    until(lambda: ask(gateway, "open", X_Variant="gone").status_code == 422, 1.0)


def test_a_blind_deployment_leaks_no_arm(gateway: Gateway) -> None:
    drawn = answer(gateway, "blind", X_Explain="1")
    fallen = answer(gateway, "blind", TOO_OFTEN, X_Explain="1")
    forced = answer(gateway, "blind", X_Explain="1", X_Variant="stable")
    assert record(gateway, drawn["prediction_id"])["served"] == "canary"
    assert record(gateway, fallen["prediction_id"])["error"] == "ValueError"
    for said in (drawn, fallen, forced):
        assert said.keys() == ANSWER - {"variant", "model_version"} | {"explain"}
        assert said["explain"].keys() == {"features", "feature_ages_s", "timings_ms"}
        assert said["explain"]["timings_ms"].keys() == drawn["explain"]["timings_ms"].keys()


def test_x_explain_tells_how_an_answer_came_about(gateway: Gateway) -> None:
    said = answer(gateway, "split", X_Explain="1")
    explain = said["explain"]
    arm = {"variant", "model_version", "propensity"}
    assert explain.keys() == arm | {"features", "feature_ages_s", "timings_ms"}
    assert (explain["variant"], explain["model_version"]) == (said["variant"], said["model_version"])
    assert explain["propensity"] == {"stable": 0.5, "canary": 0.5}
    assert explain["features"] == BODY["features"]
    assert explain["timings_ms"].keys() == {"features", "model", "total"}
    assert 0.0 < explain["timings_ms"]["model"] <= explain["timings_ms"]["total"]
    assert "explain" not in answer(gateway, "split")


# Identity.


def test_the_same_request_id_gets_the_same_prediction_id_from_every_worker_and_is_judged_once(
    gateway: Gateway,
) -> None:
    before = gateway.ledger()["predictions"]
    said = []
    for pid in [*gateway.children("worker"), *gateway.children("worker")]:
        with only(gateway, pid):
            said.append(answer(gateway, "open", BODY | {"request_id": "order 66"}))
    assert len({one["prediction_id"] for one in said}) == 1
    after = gateway.ledger()["predictions"]
    assert after["stored"] - before["stored"] == 1
    assert after["duplicates"] - before["duplicates"] == 3
    kept = record(gateway, said[0]["prediction_id"])
    assert (kept["attempts"], kept["served"]) == (4, said[0]["variant"])


def test_a_request_id_belongs_to_its_deployment(gateway: Gateway) -> None:
    one, other = (answer(gateway, name, BODY | {"request_id": "same"}) for name in ("churn", "open"))
    assert one["prediction_id"] != other["prediction_id"]


@pytest.mark.parametrize("request_id", ["", "x" * 129, "ünïcode", "a\nb", 7])
def test_a_request_id_is_1_to_128_printable_ascii_characters(gateway: Gateway, request_id: object) -> None:
    said = problem(ask(gateway, body=BODY | {"request_id": request_id}), 422, "invalid-body")
    assert pointers(said) == ["/request_id"]


def test_a_sticky_deployment_keeps_a_key_with_its_variant_on_every_worker(gateway: Gateway) -> None:
    keys = [f"user-{number}" for number in range(40)]
    served = []
    for pid in gateway.children("worker"):
        with only(gateway, pid):
            body = batch(*(BODY | {"routing_key": key} for key in keys))
            served.append([one["variant"] for one in answer(gateway, "sticky", body)["predictions"]])
    assert served[0] == served[1]
    assert set(served[0]) == {"stable", "canary"}


def test_a_sticky_deployment_requires_its_routing_key_and_elsewhere_it_is_422(gateway: Gateway) -> None:
    assert pointers(problem(ask(gateway, "sticky"), 422, "invalid-body")) == ["/routing_key"]
    keyed = {"features": BODY["features"], "entities": {"user_id": 5}}
    for name, body in (("churn", BODY), ("split", BODY), ("keyed", keyed)):
        said = problem(ask(gateway, name, body | {"routing_key": "a"}), 422, "invalid-body")
        assert pointers(said) == ["/routing_key"]


def test_a_deployment_may_route_by_an_entity(gateway: Gateway) -> None:
    assert pointers(problem(ask(gateway, "keyed"), 422, "invalid-body")) == ["/entities/user_id"]
    users = [{"features": BODY["features"], "entities": {"user_id": number // 2}} for number in range(40)]
    served = [one["variant"] for one in answer(gateway, "keyed", batch(*users))["predictions"]]
    assert served[::2] == served[1::2]
    assert set(served) == {"stable", "canary"}


# Deadlines.


def test_x_deadline_ms_bounds_the_whole_request(gateway: Gateway) -> None:
    problem(ask(gateway, X_Deadline_Ms="0"), 504, "deadline-passed")
    assert ask(gateway, X_Deadline_Ms="5000").status_code == 200


def test_the_deployments_own_deadline_holds_whatever_the_header_says(gateway: Gateway) -> None:
    problem(ask(gateway, "short"), 504, "deadline-passed")
    problem(ask(gateway, "short", X_Deadline_Ms="60000"), 504, "deadline-passed")


@pytest.mark.parametrize("deadline", ["soon", "-1", "NaN", "1e3", ""])
def test_a_deadline_that_is_no_number_of_milliseconds_is_400(gateway: Gateway, deadline: str) -> None:
    problem(ask(gateway, X_Deadline_Ms=deadline), 400, "malformed-request")


# What goes wrong.


def test_every_routed_request_is_recorded_also_one_answered_500_or_504(gateway: Gateway) -> None:
    before = gateway.ledger()["predictions"]["received"]
    problem(ask(gateway, "fragile", TOO_OFTEN | {"request_id": "it fails"}), 500, "model-failed")
    problem(ask(gateway, "fragile", BODY | {"request_id": "too late"}, X_Deadline_Ms="0"), 504, "deadline-passed")
    assert gateway.ledger()["predictions"]["received"] == before + 2
    counted = gateway.sample("gateway_predictions_total")
    for status in ("500", "504"):
        assert counted[f'{{deployment="fragile",status="{status}",variant="stable",version="4"}}'] >= 1.0


def test_an_unknown_deployment_is_404(gateway: Gateway) -> None:
    problem(ask(gateway, "nobody"), 404, "unknown-deployment")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"features": {"age": 1, "visits": 1, "zodiac": 1}}, "/features"),
        ({"features": {"age": 1}}, "/features/visits"),
        ({"features": {"age": None, "visits": 1}}, "/features/age"),
        ({"features": {"age": "1", "visits": 1}}, "/features/age"),
        ({"features": {"age": True, "visits": 1}}, "/features/age"),
        ({"features": {"age": [1], "visits": 1}}, "/features/age"),
        ({"features": {"age": 2**63, "visits": 1}}, "/features/age"),
        ({"features": {"age": 1e39, "visits": 1}}, "/features/age"),
        ({"features": [], "entities": {}}, "/features"),
        ({"features": BODY["features"], "entities": {"carrier": "UA"}}, "/entities"),
        ({"features": BODY["features"], "surprise": 1}, ""),
        ([], ""),
        ("text", ""),
    ],
)
def test_what_does_not_fit_is_422_with_its_place(gateway: Gateway, body: Any, pointer: str) -> None:
    with_body = gateway.data.post("/predict", json=body)
    assert pointer in pointers(problem(with_body, 422, "invalid-body"))


@pytest.mark.parametrize(
    ("age", "fits"), [(0, True), (150, True), (-1, False), (151, False), (40.5, False), (40, True)]
)
def test_a_declared_range_and_type_hold(gateway: Gateway, age: float, fits: bool) -> None:
    response = ask(gateway, "declared", {"features": {"age": age, "visits": 1}})
    assert response.status_code == (200 if fits else 422), response.text


def test_what_is_not_json_is_400_or_415_or_413(gateway: Gateway) -> None:
    def send(content: bytes, **headers: str) -> Any:
        return gateway.data.post("/predict", content=content, headers=JSON | headers)

    problem(send(b"{"), 400, "malformed-request")
    problem(send(b'{"features": {"age": NaN}}'), 400, "malformed-request")
    problem(gateway.data.post("/predict", content=b"{}"), 415, "unsupported-media-type")
    problem(gateway.data.post("/predict", data={"age": "1"}), 415, "unsupported-media-type")
    problem(send(b'{"features": "' + b"a" * 2**20 + b'"}'), 413, "body-too-large")


def test_no_error_echoes_what_was_sent(gateway: Gateway) -> None:
    secret = "Zq7Xw3"
    bodies: list[Any] = [
        {"features": {secret: 1}},
        {"features": {"age": secret, "visits": 1}},
        {"entities": {secret: secret}},
        {secret: {}},
        BODY | {"routing_key": secret},
        BODY | {"request_id": secret * 40},
    ]
    for body in bodies:
        said = gateway.data.post("/predict", json=body)
        assert said.status_code == 422
        assert secret not in said.text
    for path in (f"/predict/{secret}", f"/{secret}"):
        assert secret not in gateway.data.post(path, json=BODY).text
    assert secret not in ask(gateway, "open", X_Variant=secret).text
    assert secret not in ask(gateway, X_Deadline_Ms=secret).text


def test_x_event_time_is_400_on_the_wall_clock(gateway: Gateway) -> None:
    problem(ask(gateway, X_Event_Time="2026-01-01T00:00:00Z"), 400, "malformed-request")


def test_the_variant_that_answers_is_the_one_with_the_weight(gateway: Gateway) -> None:
    assert variant(gateway, "fallen")["weight"] == 1.0
    assert {answer(gateway, "fallen")["variant"] for _ in range(10)} == {"canary"}
