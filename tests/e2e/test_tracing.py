"""Traces and logs of a running gateway: what a request did is told, what it was about is not."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from gateway.adapters.models.joblib_folder import save
from gateway.core.deployments import Field, Type
from tests.e2e.collector import Collector, attributes
from tests.e2e.harness import Gateway, simple_config, train, until
from tests.feast_sandbox import FeastSandbox

pytest_plugins = ["tests.feast_sandbox"]

CALLER = "b7ad6b7169203331"
"""The caller's own span; each request has a trace of its own."""
PARTS = {"route", "features", "model", "spool"}
INPUTS = (Field("ratio", Type.NUMBER), Field("count", Type.INTEGER), Field("age", Type.NUMBER))
BODY = {"entities": {"user_id": 7}, "features": {"age": 47.1125}, "request_id": "jane.doe@example.org"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collecting:
        yield collecting


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, sqlite_repo: FeastSandbox, collector: Collector
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gw")
    random = np.random.default_rng(3)
    rows = np.column_stack([random.uniform(0, 1, 200), random.integers(0, 9, 200), random.uniform(0, 60, 200)])
    model = LogisticRegression(max_iter=1_000).fit(rows, (rows[:, 2] > 30.0).astype(int))
    save(folder / "models", "risk", "1", model, feature_service="small", inputs=INPUTS)
    fallbacks = {"ratio": {"default": 0.5}, "count": {"default": 1}}
    config = {
        "registry": f"joblib:{folder / 'models'}",
        "features": str(sqlite_repo.path),
        "traces": collector.url,
        "log_requests": "all",
        "log_fields": ["count"],
        "deployments": {"risk": {"stable": "models:/risk/1", "features": fallbacks, "features_budget": "500ms"}},
    }
    environment = pytest.MonkeyPatch()
    environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    gateway = Gateway(folder, config)
    try:
        yield gateway.start()
    finally:
        gateway.close()
        environment.undo()


def traced(gateway: Gateway, flags: str = "01", headers: dict[str, str] | None = None) -> tuple[str, httpx.Response]:
    """Ask within a trace; returns the trace's id and the answer."""
    trace = uuid.uuid4().hex
    said = {"traceparent": f"00-{trace}-{CALLER}-{flags}", **(headers or {})}
    answer = gateway.data.post("/predict", json=BODY, headers=said)
    assert answer.status_code == 200, answer.text
    return trace, answer


@pytest.mark.parametrize("slow", [{}, {"X-Deadline-Ms": "4000"}], ids=["hot route", "through FastAPI"])
def test_a_request_is_a_span_under_its_callers_and_its_parts_are_spans_under_it(
    gateway: Gateway, collector: Collector, slow: dict[str, str]
) -> None:
    trace, answer = traced(gateway, headers=slow)
    spans = until(lambda: found if (found := collector.trace(trace)).keys() >= {*PARTS, "POST /predict"} else None)
    whole = spans["POST /predict"]
    assert whole.parent_span_id.hex() == CALLER
    assert {spans[name].parent_span_id for name in PARTS} == {whole.span_id}
    order = [spans[name] for name in ("route", "features", "model", "spool")]
    assert all(one.end_time_unix_nano <= other.start_time_unix_nano + 1_000_000 for one, other in pairwise(order))
    assert all(whole.start_time_unix_nano <= one.start_time_unix_nano <= one.end_time_unix_nano for one in order)
    assert answer.headers["traceresponse"] == f"00-{trace}-{whole.span_id.hex()}-01"
    said = attributes(whole)
    assert (said["gateway.deployment"], said["gateway.served"], said["http.response.status_code"]) == (
        "risk",
        "stable",
        200,
    )
    assert answer.json()["prediction_id"].startswith("k1." + said["gateway.prediction"])
    assert attributes(spans["model"])["gateway.model_version"] == "1"
    assert attributes(spans["features"])["gateway.values_present"] == 2


def test_nothing_that_was_sent_or_read_is_in_a_span(gateway: Gateway, collector: Collector) -> None:
    trace, _ = traced(gateway)
    until(lambda: collector.trace(trace).get("POST /predict"))
    for secret in (b"47.1125", b"jane.doe", b"user_id", b"0.25"):
        assert secret not in collector.raw


def test_a_caller_who_does_not_sample_is_not_sampled_and_yet_told_the_trace(
    gateway: Gateway, collector: Collector
) -> None:
    trace, answer = traced(gateway, flags="00")
    assert answer.headers["traceresponse"].startswith(f"00-{trace}-")
    assert answer.headers["traceresponse"].endswith("-00")
    later, _ = traced(gateway)
    until(lambda: collector.trace(later).get("POST /predict"))
    assert collector.trace(trace) == {}


def test_feedback_is_traced_with_its_sync_and_probes_are_not(gateway: Gateway, collector: Collector) -> None:
    prediction_id = traced(gateway)[1].json()["prediction_id"]
    gateway.data.get("/readyz")
    told = gateway.data.post("/feedback", json={"prediction_id": prediction_id, "outcome": 1})
    trace_id = told.headers["traceresponse"].split("-")[1]
    spans = until(lambda: found if "POST /feedback" in (found := collector.trace(trace_id)) else None)
    assert spans["spool"].parent_span_id == spans["POST /feedback"].span_id
    assert not any("readyz" in span.name for span in collector.spans)


def test_a_refused_request_is_traced_with_its_status(gateway: Gateway, collector: Collector) -> None:
    answer = gateway.data.post("/predict/nobody", json=BODY)
    trace_id = answer.headers["traceresponse"].split("-")[1]
    span = until(lambda: collector.trace(trace_id).get("POST /predict/{deployment}"))
    assert attributes(span)["http.response.status_code"] == 404


def lines(gateway: Gateway) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gateway.log.splitlines()]


def test_every_line_of_the_log_is_one_event_in_json(gateway: Gateway) -> None:
    assert all({"event", "level", "timestamp", "process", "pid"} <= line.keys() for line in lines(gateway))


def test_a_request_leaves_one_line_with_its_ids_and_an_outcome_one_with_its_prediction(gateway: Gateway) -> None:
    trace, answer = traced(gateway)
    prediction_id = answer.json()["prediction_id"]
    assert gateway.tell({"prediction_id": prediction_id, "outcome": 1}).status_code == 202

    def about() -> list[dict[str, Any]] | None:
        found = [line for line in lines(gateway) if line.get("prediction_id") == prediction_id]
        return found if "outcome_accepted" in {line["event"] for line in found} else None

    said = until(about)
    last = [line for line in said if line["event"] == "predicted"][-1]
    assert (last["deployment"], last["status"], last["served"]) == ("risk", 200, "stable")
    assert last["trace_id"] == trace
    assert last["request_hash"]
    assert last["fields"] == {"count": 1}  # stale, so its fallback
    assert last["process"] == "worker-0"


def test_nothing_that_was_sent_is_in_the_log_but_what_is_declared(gateway: Gateway) -> None:
    traced(gateway)
    assert "47.1125" not in gateway.log
    assert "jane.doe" not in gateway.log
    assert "0.25" not in [str(value) for line in lines(gateway) for value in line.values()]


def test_a_collector_that_is_not_there_costs_no_answer(tmp_path: Path) -> None:
    train(tmp_path / "models", "1")
    lonely = Gateway(tmp_path, simple_config(tmp_path, traces="http://127.0.0.1:9/v1/traces"))
    try:
        lonely.start()
        assert all(lonely.predict()["logged"] for _ in range(20))
        assert lonely.stop() == 0, lonely.log
        assert all(json.loads(line) for line in lonely.log.splitlines())
    finally:
        lonely.close()


def test_the_agents_drains_and_decisions_are_spans_too(gateway: Gateway, collector: Collector) -> None:
    traced(gateway)
    drained = until(lambda: next((s for s in collector.spans if s.name == "drain" and attributes(s)), None))
    assert attributes(drained)["gateway.predictions"] >= 1
    below = until(lambda: [span for span in collector.spans if span.parent_span_id == drained.span_id])
    assert {span.name for span in below} == {"store.append"}
    decided = [attributes(span)["gateway.action"] for span in collector.spans if span.name == "decide"]
    assert "found" in decided


@pytest.mark.parametrize("process", ["worker", "agent"])
def test_a_process_that_traces_nothing_has_nothing_of_it_in_memory(process: str) -> None:
    said = f"import sys, gateway.processes.{process}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    ours = ("opentelemetry.sdk", "opentelemetry.exporter", "gateway.adapters.tracing", "gateway.edge.tracing")
    assert [name for name in done.stdout.split() if name.startswith(ours)] == []


def test_traces_to_what_is_no_address_are_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("traces: collector:4318")
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "check", "--config", str(tmp_path / "gateway.yaml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "traces must be an http:// or https:// address" in done.stderr
