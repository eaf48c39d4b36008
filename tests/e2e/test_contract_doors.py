"""Both doors of a running gateway: probes, methods, names, documents, and whatever hostile callers send."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.contract import BODY, JSON, MEDIA_TYPE, answer, problem
from tests.e2e.harness import Gateway

MODELS = ("/v2/models/{deployment}", "/v2/models/{deployment}/versions/{version}")
DATA_ROUTES = {
    "POST /predict",
    "POST /predict/{deployment}",
    "POST /feedback",
    "GET /livez",
    "GET /readyz",
    *(f"POST /invocations{of}" for of in ("", "/{deployment}")),
    *("GET /ping", "GET /health", "GET /version"),
    *("GET /v2", "GET /v2/health/live", "GET /v2/health/ready"),
    *(f"GET {of}{what}" for of in MODELS for what in ("", "/ready")),
    *(f"POST {of}/infer" for of in MODELS),
}
ADMIN = "/admin/deployments/{deployment}"
CONTROL_ROUTES = {
    "GET /admin/deployments",
    f"GET {ADMIN}",
    f"PUT {ADMIN}/traffic",
    f"POST {ADMIN}/canary",
    f"POST {ADMIN}/validate",
    f"POST {ADMIN}/shadows",
    f"DELETE {ADMIN}/shadows/{{name}}",
    f"POST {ADMIN}/shadows/{{name}}/promote",
    *(f"POST {ADMIN}/{verb}" for verb in ("approve", "promote", "demote", "pause", "resume", "rollback")),
    *(f"GET {ADMIN}/{what}" for what in ("course", "drift", "kpis", "pulse", "retraining")),
    f"POST {ADMIN}/retraining",
    f"POST {ADMIN}/retraining/{{run_id}}/end",
    f"GET {ADMIN}/verdict",
    f"GET {ADMIN}/timeline",
    f"GET {ADMIN}/performance",
    "GET /admin/predictions/{prediction_id}",
    "GET /admin/ledger",
    "GET /metrics",
    "GET /livez",
    "GET /readyz",
    "GET /",
}
LIMIT_S = 0.05
ATTEMPTS = 5
"""A refusal is timed at its best of so many: a busy machine proves nothing against the gateway."""


@pytest.fixture(scope="module")
def gateway(contract: Gateway) -> Gateway:
    return contract


def document(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, verbs in described["paths"].items():
        for verb, operation in verbs.items():
            yield f"{verb.upper()} {path}", operation


# Probes, methods and paths.


@pytest.mark.parametrize("plane", ["data", "control"])
def test_both_planes_are_alive_and_ready(gateway: Gateway, plane: str) -> None:
    client: httpx.Client = getattr(gateway, plane)
    for path in ("/livez", "/readyz"):
        for method in ("GET", "HEAD"):
            assert client.request(method, path).status_code == 200
        refused = client.post(path)
        problem(refused, 405, "method-not-allowed")
        assert "GET" in refused.headers["allow"]


def test_head_of_whatever_operators_read_has_the_headers_and_no_body(gateway: Gateway) -> None:
    for path in ("/admin/deployments", "/admin/deployments/churn", "/admin/ledger", "/metrics", "/"):
        head = gateway.control.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 0


def test_a_wrong_method_is_405_and_says_which_is_right(gateway: Gateway) -> None:
    wrong = [
        (gateway.data, "GET", "/predict", "POST"),
        (gateway.data, "OPTIONS", "/predict", "POST"),
        (gateway.data, "DELETE", "/feedback", "POST"),
        (gateway.control, "GET", "/admin/deployments/churn/canary", "POST"),
        (gateway.control, "POST", "/admin/deployments/churn/traffic", "PUT"),
        (gateway.control, "OPTIONS", "/admin/deployments/churn/traffic", "PUT"),
        (gateway.control, "PUT", "/admin/ledger", "GET"),
    ]
    for client, method, path, right in wrong:
        response = client.request(method, path)
        problem(response, 405, "method-not-allowed")
        assert response.headers["allow"] == right


def test_a_path_that_is_not_there_is_404_also_with_a_slash_too_many(gateway: Gateway) -> None:
    for path in ("/nobody", "/predict/", "/feedback/", "/livez/", "/predict/churn/more", "/metrics", "/admin/ledger"):
        problem(gateway.data.request("POST", path, json=BODY), 404, "not-found")
    for path in ("/nobody", "/admin", "/admin/deployments/", "/admin/deployments/churn/", "/livez/", "/predict"):
        problem(gateway.control.get(path), 404, "not-found")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "0.0.0.0", "", "localhost:80@evil.example"])
def test_a_foreign_host_is_403_on_the_control_plane(gateway: Gateway, host: str) -> None:
    for method, path in (("GET", "/admin/deployments"), ("POST", "/admin/deployments/churn/demote"), ("GET", "/livez")):
        response = gateway.control.request(method, path, headers={"Host": host})
        problem(response, 403, "foreign-host")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_another_sites_page_is_403_on_the_control_plane(gateway: Gateway, origin: str) -> None:
    response = gateway.control.post("/admin/deployments/churn/demote", headers={"Origin": origin})
    problem(response, 403, "foreign-host")
    own = gateway.control.get("/livez", headers={"Origin": str(gateway.control.base_url).rstrip("/")})
    assert own.status_code == 200


def test_the_control_plane_listens_on_loopback_only(gateway: Gateway) -> None:
    assert gateway.control.base_url.host == "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: it only names the address that would be used
        except OSError:
            pytest.skip("this machine has no address beside loopback")
        address = probe.getsockname()[0]
    with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
        socket.create_connection((address, gateway.control.base_url.port or 0), timeout=1.0)


def test_the_page_for_people_is_there_and_fetches_nothing(gateway: Gateway) -> None:
    page = gateway.control.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert all(not found.startswith(("http", "//")) for found in re.findall(r'(?:src|href)="([^"]+)"', page.text))
    assert re.findall(r"<script[^>]*>([^<]+)</script>", page.text) == []


# OpenAPI.


def test_openapi_describes_every_route_of_each_plane(gateway: Gateway) -> None:
    assert {route for route, _ in operations(document(gateway.data))} == DATA_ROUTES
    assert {route for route, _ in operations(document(gateway.control))} == CONTROL_ROUTES


@pytest.mark.parametrize("plane", ["data", "control"])
def test_openapi_says_problem_json_for_every_refusal_and_its_references_hold(gateway: Gateway, plane: str) -> None:
    described = document(getattr(gateway, plane))
    components = described["components"]["schemas"]
    for part in json.dumps(described).split("#/components/schemas/")[1:]:
        assert part.split('"')[0] in components
    for route, operation in operations(described):
        assert operation["summary"], route
        for status, response in operation["responses"].items():
            assert response["description"], route
            kinds = set(response.get("content", {}))
            if status.startswith(("4", "5")):
                assert kinds == {MEDIA_TYPE}, (route, status)
            else:  # a tensor's bytes follow the JSON, where a client of the other protocol asks for them
                tensors = {"application/octet-stream"} if route.endswith("/infer") else set()
                pages = {"text/html"} if route.endswith("/drift") else set()
                assert len(kinds - tensors - pages) == 1, (route, status)


@pytest.mark.parametrize("plane", ["data", "control"])
def test_openapi_shows_an_example_of_every_body_and_of_every_answer(gateway: Gateway, plane: str) -> None:
    described = document(getattr(gateway, plane))
    components = described["components"]["schemas"]

    def exemplified(schema: dict[str, Any]) -> bool:
        """Whether the schema, or what it is made of, shows an example."""
        if "$ref" in schema:
            schema = components[schema["$ref"].rpartition("/")[2]]
        parts = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
        choices = schema.get("oneOf", schema.get("anyOf", []))
        return "examples" in schema or any(map(exemplified, parts)) or (choices and all(map(exemplified, choices)))

    for route, operation in operations(described):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for said in (*bodies, *operation["responses"].values()):
            schema = said["content"].get("application/json", {}).get("schema")
            assert schema is None or exemplified(schema), (route, schema)


# Whatever hostile callers send.


HOSTILE: dict[str, bytes] = {
    "NaN": b'{"features": {"age": NaN, "visits": 1}}',
    "infinity": b'{"features": {"age": Infinity, "visits": 1}}',
    "minus infinity": b'{"features": {"age": -Infinity, "visits": 1}}',
    "1e999": b'{"features": {"age": 1e999, "visits": 1}}',
    "1e308": b'{"features": {"age": 1e308, "visits": 1}}',
    "2^63": b'{"features": {"age": 9223372036854775808, "visits": 1}}',
    "100,000 digits": b'{"features": {"age": ' + b"7" * 100_000 + b', "visits": 1}}',
    "lone surrogate": b'{"features": {"age": "\\ud800", "visits": 1}}',
    "lone surrogate as a name": b'{"features": {"\\ud800": 1}}',
    "bad UTF-8": b'{"features": {"age": "\xff\xfe"}}',
    "NUL": b'{"entities": {"a": "a\\u0000b"}}',
    "nested 100,000": b"[" * 100_000 + b"]" * 100_000,
    "nested in place": b'{"features": {"age": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "objects 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "unknown entity": b'{"features": {"age": 1, "visits": 1}, "entities": {"carrier": "UA"}}',
    "unknown feature": b'{"features": {"age": 1, "visits": 1, "zodiac": 3}}',
    "missing feature": b'{"features": {"age": 1}}',
    "wrong type": b'{"features": {"age": "old", "visits": 1}}',
    "many keys": b'{"features": {' + b",".join(b'"k%d":1' % n for n in range(70_000)) + b"}}",
    "a megabyte of text": b'{"features": {"age": "' + b"a" * 1_000_000 + b'"}}',
    "half a document": b'{"features": {"age": 1',
    "nothing": b"",
    "a number": b"17",
    "an array": b"[]",
}


def fastest(send: Any) -> httpx.Response:
    """The quickest of some attempts, each answered the same."""
    responses: list[httpx.Response] = [send() for _ in range(ATTEMPTS)]
    assert len({response.status_code for response in responses}) == 1
    return min(responses, key=lambda response: response.elapsed)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("path", ["/predict", "/feedback"])
def test_a_hostile_body_is_a_4xx_within_50_ms_that_echoes_nothing(gateway: Gateway, path: str, name: str) -> None:
    response = fastest(lambda: gateway.data.post(path, content=HOSTILE[name], headers=JSON))
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.json()["status"] == response.status_code
    if response.status_code == 422:
        assert response.json()["errors"], "no place is named"
    assert response.elapsed.total_seconds() < LIMIT_S
    assert len(response.content) < 8_192
    assert not {"zodiac", "carrier", "777", "aaaa", "k0"} & set(response.text.replace('"', " ").split())


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in ("nothing",)])
def test_a_hostile_body_of_an_operator_is_a_4xx_too(gateway: Gateway, name: str) -> None:
    def send() -> httpx.Response:
        url = "/admin/deployments/churn/traffic"
        return gateway.control.put(url, content=HOSTILE[name], headers=JSON | {"If-Match": '"1"'})

    response = fastest(send)
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    assert (
        response.elapsed.total_seconds() < 5 * LIMIT_S
    )  # 70,000 keys; operators are on loopback, beside two test processes


def test_a_million_keys_are_refused_before_they_are_read(gateway: Gateway) -> None:
    body = b'{"features": {' + b",".join(b'"k%d":1' % n for n in range(1_000_000)) + b"}}"
    response = fastest(lambda: gateway.data.post("/predict", content=body, headers=JSON))
    problem(response, 413, "body-too-large")
    assert response.elapsed.total_seconds() < LIMIT_S
    problem(gateway.data.post("/feedback", content=body, headers=JSON), 413, "body-too-large")
    problem(gateway.control.post("/admin/deployments/churn/canary", content=body, headers=JSON), 413, "body-too-large")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "text/html", "application/json; charset=latin-1", ""]
)
def test_another_content_type_is_415(gateway: Gateway, kind: str) -> None:
    headers = {"Content-Type": kind}
    for path in ("/predict", "/feedback"):
        problem(gateway.data.post(path, content=b"{}", headers=headers), 415, "unsupported-media-type")
    response = gateway.control.post("/admin/deployments/churn/pause", content=b"{}", headers=headers)
    problem(response, 415, "unsupported-media-type")


@pytest.mark.parametrize("header", ["X-Variant", "X-Deadline-Ms", "X-Event-Time", "X-Explain"])
@pytest.mark.parametrize("value", [b"\xff\xfe", b"NaN", b"1" * 5_000, b"<script>", b"%00"])
def test_a_hostile_header_never_breaks_anything(gateway: Gateway, header: str, value: bytes) -> None:
    headers = [(b"Content-Type", b"application/json"), (header.encode(), value)]
    response = gateway.data.post("/predict", content=json.dumps(BODY), headers=headers)
    assert response.status_code < 500
    assert b"script" not in response.content
    if response.status_code != 200:
        assert response.headers["content-type"] == MEDIA_TYPE


@pytest.mark.parametrize(
    "path", ["%ED%A0%80", "%00", "..%2f..%2fetc", "%ff", "a" * 5_000, "churn%0d%0aX: y", "{{7*7}}"]
)
def test_a_hostile_name_is_404(gateway: Gateway, path: str) -> None:
    for response in (
        gateway.data.post(f"/predict/{path}", json=BODY),
        gateway.control.get(f"/admin/deployments/{path}"),
        gateway.control.get(f"/admin/predictions/{path}"),
    ):
        assert response.status_code == 404
        assert response.headers["content-type"] == MEDIA_TYPE


def test_a_client_that_hangs_up_or_talks_nonsense_harms_nobody(gateway: Gateway) -> None:
    async def nonsense(raw: bytes) -> None:
        host, port = gateway.data.base_url.host, gateway.data.base_url.port
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(raw)
        await writer.drain()
        if not raw.endswith(b"..."):
            await asyncio.wait_for(reader.read(1_024), 5.0)
        writer.close()

    async def all_of_it() -> None:
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        await asyncio.gather(
            nonsense(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
            nonsense(b"GET / HTTP/9.9\r\n\r\n"),
            nonsense(b"NONSENSE\r\n\r\n"),
            nonsense(head + b"Content-Length: -5\r\n\r\n{}"),
            nonsense(head + b"Content-Length: 100\r\n\r\n{..."),
            nonsense(head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
            nonsense(head + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}"),
        )

    asyncio.run(all_of_it())
    began = time.monotonic()
    assert answer(gateway)["logged"]
    assert time.monotonic() - began < 5.0
