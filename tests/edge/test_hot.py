"""The hot route and the app behind it give one answer, and are counted alike."""

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Histogram, Summary

from gateway.core.errors import ModelFailed
from gateway.edge.data_plane import DataPlane, create_app
from gateway.edge.hot import HotApp
from gateway.edge.http_metrics import HttpMetrics, Seen
from gateway.edge.tally import observe_all, sum_up
from tests.data_house import BODY, House, flights

PLAIN = {"content-type": "application/json"}
AROUND = {"content-type": "application/json; charset=utf-8"}
"""The same to the app; the hot route leaves it alone."""


async def ask(app: FastAPI, content: bytes, headers: dict[str, str], path: str = "/predict") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        return await client.post(path, content=content, headers=headers)


def app_and_taken(house: House) -> tuple[HotApp, list[Seen]]:
    app, taken = create_app(DataPlane(house.predict, house.feedback, house.clock)), list[Seen]()
    assert app.hot is not None
    app.hot.answered = taken.append
    return app, taken


BODIES: dict[str, bytes] = {
    "one": json.dumps(BODY).encode(),
    "a batch": json.dumps(flights(1, 2)).encode(),
    "no JSON": b"{",
    "not UTF-8": b'"\xff"',
    "a bad place": json.dumps({**BODY, "entities": {"flight": "seven"}}).encode(),
    "nothing": b"",
    "a list": b"[]",
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/predict", "/predict/flight-delay", "/predict/nobody"])
async def test_both_ways_give_the_same_answer(name: str, path: str) -> None:
    answers = []
    for headers, expected in ((PLAIN, 1), (AROUND, 0)):
        app, taken = app_and_taken(House())
        answer = await ask(app, BODIES[name], headers, path)
        assert len(taken) == expected
        answers.append((answer.status_code, dict(answer.headers), answer.content))
    assert answers[0] == answers[1]


async def test_a_failing_model_is_the_same_problem_both_ways() -> None:
    answers = []
    for headers in (PLAIN, AROUND):
        house = House()
        house.runner.failing["stable"] = ModelFailed("E")
        answer = await ask(app_and_taken(house)[0], BODIES["one"], headers)
        answers.append((answer.status_code, answer.content))
    assert answers[0] == answers[1]
    assert answers[0][0] == 500


async def test_a_bug_is_a_problem_to_the_caller_and_an_error_to_the_server() -> None:
    house = House()
    app, taken = app_and_taken(house)
    house.runner.failing["stable"] = RuntimeError("a bug nobody foresaw")
    with pytest.raises(RuntimeError, match="nobody foresaw"):
        await ask(app, BODIES["one"], PLAIN)
    assert [seen.status for seen in taken] == ["500"]


@pytest.mark.parametrize(
    "special",
    [
        {"x-explain": "1"},
        {"x-deadline-ms": "100"},
        {"x-variant": "canary"},
        {"x-event-time": "1"},
        {"content-encoding": "gzip"},
        {"content-type": "text/plain"},
        {"content-length": "-1"},
        {"content-length": "99999999"},
    ],
)
def test_what_is_special_is_left_to_the_app(special: dict[str, str]) -> None:
    app, _ = app_and_taken(House())
    headers = {**PLAIN, "content-length": "2", **special}
    assert app.hot is not None
    assert not app.hot.takes(scope("/predict", headers))


@pytest.mark.parametrize("path", ["/", "/predict/", "/predict/a/b", "/predictable", "/feedback"])
def test_other_paths_are_left_to_the_app(path: str) -> None:
    app, _ = app_and_taken(House())
    assert app.hot is not None
    assert not app.hot.takes(scope(path, {**PLAIN, "content-length": "2"}))


def scope(path: str, headers: dict[str, str]) -> dict[str, Any]:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": path, "headers": raw}


# Counting.


def test_requests_are_counted_as_the_instrumentator_counts_them() -> None:
    registry = CollectorRegistry()
    http = HttpMetrics((0.1, 1.0), (0.5,), registry)
    http.answered(Seen("/predict", "POST", "200", 10, 20, 0.05))
    http.answered(Seen("/predict", "POST", "200", 30, 40, 0.7))
    by_all = {"handler": "/predict", "method": "POST", "status": "200"}
    assert registry.get_sample_value("http_requests_total", by_all) == 2.0
    assert registry.get_sample_value("http_request_size_bytes_sum", {"handler": "/predict"}) == 40.0
    assert registry.get_sample_value("http_response_size_bytes_count", {"handler": "/predict"}) == 2.0
    assert registry.get_sample_value("http_request_duration_highr_seconds_bucket", {"le": "0.1"}) == 1.0
    few = {"handler": "/predict", "method": "POST", "le": "0.5"}
    assert registry.get_sample_value("http_request_duration_seconds_bucket", few) == 1.0


def test_many_at_once_count_as_one_by_one() -> None:
    values = [0.0, 0.1, 0.1000001, 0.5, 7.0]
    one, many = (Histogram("h", "h", buckets=(0.1, 0.5), registry=None) for _ in range(2))
    single, summed = (Summary("s", "s", registry=None) for _ in range(2))
    for value in values:
        one.observe(value)
        single.observe(value)
    observe_all(many, values)
    sum_up(summed, values)
    for each, other in ((one, many), (single, summed)):
        [wanted], [found] = each.collect(), other.collect()
        known = [(s.name, s.labels, s.value) for s in wanted.samples if not s.name.endswith("_created")]
        assert [(s.name, s.labels, s.value) for s in found.samples if not s.name.endswith("_created")] == known
