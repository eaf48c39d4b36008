"""The books and the metrics, sentence by sentence, against a running gateway: everything that was taken is there."""

import math
from typing import Any

import httpx
import pytest

from tests.e2e.contract import (
    BODY,
    TOO_OFTEN,
    admin,
    answer,
    ask,
    in_force,
    only,
    problem,
    record,
    start,
    state,
)
from tests.e2e.harness import Gateway, until

METRICS = {
    # predictions by deployment, variant, version and status
    "gateway_predictions_total": {"deployment", "variant", "version", "status"},
    "gateway_variant_failures_total": {"deployment", "variant", "version"},
    "gateway_fallbacks_total": {"deployment", "variant"},
    # latency histograms of features, model and whole
    "gateway_features_duration_seconds_bucket": {"deployment", "le"},
    "gateway_model_duration_seconds_bucket": {"deployment", "variant", "version", "le"},
    "gateway_prediction_duration_seconds_bucket": {"deployment", "le"},
    # shadow done and dropped
    "gateway_shadows_done_total": {"deployment", "variant", "failed"},
    "gateway_ledger": {"deployment", "book", "state"},  # outcomes by state, too
    "gateway_outcomes_accepted_total": {"deployment", "metric"},
    # weight, phase and revision per deployment
    "gateway_variant_weight": {"deployment", "variant", "version"},
    "gateway_variant_shadow": {"deployment", "variant", "version"},
    "gateway_variant_phase": {"deployment", "variant", "version", "phase"},
    "gateway_deployment_revision": {"deployment"},
    # log spool depth
    "gateway_spool_bytes": set(),
    "gateway_spool_segments": set(),
    # prometheus-fastapi-instrumentator, on both apps
    "http_requests_total": {"handler", "method", "status"},
    "http_request_duration_seconds_bucket": {"handler", "method", "le"},
    "http_request_duration_highr_seconds_bucket": {"le"},
}
"""Every metric that must have samples once a gateway without a feature store has served, and its labels."""


@pytest.fixture(scope="module")
def gateway(contract: Gateway) -> Gateway:
    return contract


def books(gateway: Gateway, name: str) -> dict[str, Any]:
    params = httpx.QueryParams({"settle_s": 5, "deployment": name})
    found: dict[str, Any] = gateway.control.get("/admin/ledger", params=params).json()
    return found


def labels(series: str) -> dict[str, str]:
    """The labels of a series as Prometheus writes them."""
    pairs = [pair.partition("=") for pair in series.strip("{}").split(",") if pair]
    return {name: value.strip('"') for name, _, value in pairs}


def test_the_books_balance_against_the_clients_own_list(gateway: Gateway) -> None:
    start(gateway, "books", "2", "half")
    said = admin(gateway, "books", "shadows", {"model": "models:/churn/3", "name": "v3", "rate": 0.5})
    assert said.status_code == 201
    until(lambda: in_force(gateway, "books"))
    before = books(gateway, "books")["predictions"]  # other tests ask every deployment once
    mine: list[str] = []
    for _ in range(5):
        mine += [one["prediction_id"] for one in answer(gateway, "books", {"instances": [BODY] * 20})["predictions"]]
    again = [answer(gateway, "books", BODY | {"request_id": "again"})["prediction_id"] for _ in range(3)]
    late = ask(gateway, "books", X_Deadline_Ms="0")
    assert late.status_code == 504
    told = [{"prediction_id": ident, "outcome": 1} for ident in mine[:100]]
    told += [{"prediction_id": ident, "outcome": 0} for ident in mine[:10]]
    told += [{"prediction_id": ident, "outcome": 2.5, "metric": "revenue"} for ident in mine[:20]]
    assert gateway.tell(*told).json()["accepted"] == 130

    until(lambda: books(gateway, "books")["shadows"]["pending"] == 0)
    found = books(gateway, "books")
    predictions, outcomes, shadows = found["predictions"], found["outcomes"], found["shadows"]
    grown = {name: n - before[name] for name, n in predictions.items()}
    assert grown == {"received": 104, "stored": 102, "duplicates": 2, "crashed": 0}
    assert outcomes == {
        "accepted": 130,
        "joined": 120,
        "waiting": 0,
        "corrected": 10,
        "expired": 0,
        "duplicate": 0,
    }
    assert shadows["eligible"] == shadows["done"] + shadows["dropped"] + shadows["pending"]
    assert 25 < shadows["eligible"] < 75
    assert shadows["dropped"] == sum(n for state, n in shadows.items() if state.startswith("dropped:"))
    [host] = found["spooled"]
    assert (host["predictions"], host["outcomes"], host["shadows"]) == (0, 0, 0)
    assert host["as_of"] > 0
    kept = [record(gateway, ident) for ident in [*mine, again[0]]]
    assert [one["prediction_id"] for one in kept] == [*mine, again[0]]
    assert kept[-1]["attempts"] == 3
    assert sum(len(one["shadows"]) for one in kept[:-1]) <= shadows["eligible"]


def test_the_books_of_all_are_the_sum_of_each(gateway: Gateway) -> None:
    until(lambda: gateway.ledger()["shadows"]["pending"] == 0)
    whole = gateway.ledger()
    each = [books(gateway, name) for name in gateway.config["deployments"]]
    for book in ("predictions", "outcomes", "shadows"):
        for name, n in whole[book].items():
            assert n == sum(one[book].get(name, 0) for one in each), (book, name)


def test_a_ledger_of_nobody_is_404_and_of_no_time_422(gateway: Gateway) -> None:
    problem(gateway.control.get("/admin/ledger", params={"deployment": "nobody"}), 404, "unknown-deployment")
    for settle_s in ("-1", "61", "nan", "soon"):
        response = gateway.control.get("/admin/ledger", params={"settle_s": settle_s})
        problem(response, 422, "invalid-body")


def test_an_acknowledged_prediction_is_visible_to_operators_within_2_s(gateway: Gateway) -> None:
    said = answer(gateway, "seen", {"features": {"age": 55.0, "visits": 2.0}})
    kept = record(gateway, said["prediction_id"], longest_s=2.0)
    assert (kept["deployment"], kept["served"], kept["assigned"]) == ("seen", "stable", "stable")
    assert (kept["prediction"], kept["score"], kept["status"]) == (1, said["score"], 200)
    assert {name: one["value"] for name, one in kept["features"].items()} == {"age": 55.0, "visits": 2.0}
    assert {one["status"] for one in kept["features"].values()} == {"request"}
    assert kept["arms"] == [{"name": "stable", "generation": kept["arms"][0]["generation"], "propensity": 1.0}]
    assert kept["latency_s"].keys() == {"features", "model", "total"}
    assert (kept["shadows"], kept["outcomes"], kept["attempts"], kept["randomised"]) == ([], [], 1, True)
    assert kept["revision"] == state(gateway, "seen")["revision"]


def test_a_prediction_that_was_never_issued_is_404(gateway: Gateway) -> None:
    ident = answer(gateway, "seen")["prediction_id"]
    for forged in ("nothing", ident[:-1] + ("a" if ident[-1] != "a" else "b"), ident + "x", "%00"):
        problem(gateway.control.get(f"/admin/predictions/{forged}"), 404, "unknown-prediction")


def test_metrics_have_every_series_that_is_promised(gateway: Gateway) -> None:
    start(gateway, "counted", "4", "all")
    said = admin(gateway, "counted", "shadows", {"model": "models:/churn/2", "name": "v2", "rate": 1.0})
    assert said.status_code == 201
    until(lambda: in_force(gateway, "counted"))
    idents = [answer(gateway, "counted", body)["prediction_id"] for body in (BODY, TOO_OFTEN)]
    assert gateway.tell(*({"prediction_id": ident, "outcome": 1} for ident in idents)).status_code == 202
    until(lambda: record(gateway, idents[0])["shadows"] and record(gateway, idents[0])["outcomes"])
    until(lambda: any('book="outcomes"' in series for series in gateway.sample("gateway_ledger")))
    for name, names in METRICS.items():
        found = gateway.sample(name)
        assert found, f"{name} has no sample"
        assert all(labels(series).keys() == names for series in found), (name, next(iter(found)))
        assert all(math.isfinite(value) for value in found.values())
    arm = 'deployment="counted",variant="canary",version="4"'
    assert gateway.sample("gateway_variant_weight")[f"{{{arm}}}"] == 1.0
    assert (
        gateway.sample("gateway_variant_phase")['{deployment="counted",phase="running",variant="canary",version="4"}']
        == 1.0
    )
    assert (
        gateway.sample("gateway_deployment_revision")['{deployment="counted"}'] == state(gateway, "counted")["revision"]
    )
    assert gateway.sample("gateway_fallbacks_total")['{deployment="counted",variant="canary"}'] == 1.0


def test_metrics_say_help_and_type_for_everything(gateway: Gateway) -> None:
    response = gateway.control.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.text.splitlines()
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    helped = {line.split()[2] for line in lines if line.startswith("# HELP") and len(line.split()) > 3}
    assert typed == helped
    ours = {line.partition("{")[0].split()[0] for line in lines if line.startswith("gateway_")}
    for name in ours:
        base = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        assert base in typed or name in typed, name


def test_metrics_sum_all_workers(gateway: Gateway) -> None:
    series = '{deployment="summed",status="200",variant="stable",version="1"}'

    def counted() -> tuple[float, float, float]:
        predictions = gateway.sample("gateway_predictions_total").get(series, 0.0)
        whole = gateway.sample("gateway_prediction_duration_seconds_count").get('{deployment="summed"}', 0.0)
        http = gateway.sample("http_requests_total").get(
            '{handler="/predict/{deployment}",method="POST",status="200"}', 0.0
        )
        return predictions, whole, http

    before = counted()
    for pid in gateway.children("worker"):
        with only(gateway, pid):
            for _ in range(5):
                answer(gateway, "summed")
    assert [now - was for now, was in zip(counted(), before, strict=True)] == [10.0, 10.0, 10.0]


def test_http_is_counted_on_both_apps_by_route_and_probes_are_left_out(gateway: Gateway) -> None:
    for path in ("/livez", "/readyz"):
        assert gateway.data.get(path).status_code == gateway.control.get(path).status_code == 200
    state(gateway, "seen")
    ask(gateway, "nobody")
    gateway.data.get("/no/such/route/zq7xw3")
    found = [labels(series) for series in gateway.sample("http_requests_total")]
    handlers = {one["handler"] for one in found}
    assert {"/predict/{deployment}", "/feedback", "/admin/deployments/{deployment}"} <= handlers
    assert not {"/livez", "/readyz", "/metrics"} & handlers
    assert not any("zq7xw3" in handler or "nobody" in handler for handler in handlers)
    assert {"200", "404"} <= {one["status"] for one in found if one["handler"] == "/predict/{deployment}"}


def test_strangers_cannot_make_series(gateway: Gateway) -> None:
    before = len(gateway.control.get("/metrics").text.splitlines())
    for number in range(30):
        ask(gateway, f"stranger-{number}")
        gateway.data.request(f"VERB{number}", "/predict")
        gateway.data.post("/feedback", json={"prediction_id": f"x{number}", "outcome": 1, "metric": f"m{number}"})
        gateway.control.get(f"/admin/deployments/stranger-{number}")
    after = gateway.control.get("/metrics").text
    assert "stranger" not in after
    assert "VERB" not in after
    assert len(after.splitlines()) - before < 60
