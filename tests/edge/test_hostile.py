"""Hostile bodies and headers at the data plane's door: never a 5xx, never slow, and nothing sent comes back.

The corpus is made by hand, because schema fuzzing found none of what broke stock FastAPI: NaN echoed in a 422, lone
surrogates, integers past 2**63, deep nesting.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from gateway.core.deployments import Field, Inputs, ServingRules, Type
from gateway.core.routing import Part
from gateway.edge.data_plane import DataPlane, create_app
from tests.data_house import FLIGHT, House, card, table

MARK = "Zq7Xw3"
"""Hidden in what is sent; it may not be in what comes back."""
LIMIT_S = 0.25
JSON = {"content-type": "application/json"}

WIDE = (
    FLIGHT,
    Field("distance", Type.NUMBER),
    Field("carrier", Type.STRING, required=False),
    Field("late", Type.BOOLEAN, required=False),
    Field("hour", Type.INTEGER, required=False, minimum=0, maximum=23),
)

TOKENS: dict[str, bytes] = {
    "NaN": b"NaN",
    "minus NaN": b"-NaN",
    "NaN in quotes": b'"NaN"',
    "Infinity": b"Infinity",
    "minus Infinity": b"-Infinity",
    "1e999": b"1e999",
    "-1e999": b"-1e999",
    "1e400": b"1e400",
    "huge exponent": b"1e" + b"9" * 400,
    "1e308": b"1e308",
    "float32 and a bit": b"3.5e38",
    "2^63": b"9223372036854775808",
    "-2^63-1": b"-9223372036854775809",
    "2^64": b"18446744073709551616",
    "2^70": b"1180591620717411303424",
    "5,000 digits": b"7" * 5000,
    "5,000 digits negative": b"-" + b"7" * 5000,
    "100,000 digits": b"7" * 100_000,
    "100,000 decimals": b"0." + b"7" * 100_000 + b"e99999",
    "leading zero": b"01",
    "leading plus": b"+1",
    "hexadecimal": b"0x10",
    "underscore": b"1_000",
    "bare minus": b"-",
    "bare point": b".5",
    "trailing point": b"5.",
    "bare exponent": b"1e",
    "string": b'"' + MARK.encode() + b'"',
    "empty string": b'""',
    "array": b"[1]",
    "empty array": b"[]",
    "object": b'{"' + MARK.encode() + b'": 1}',
    "true": b"true",
    "null": b"null",
    "None": b"None",
    "single quotes": b"'1'",
    "comment": b"1 /* " + MARK.encode() + b" */",
    "lone high surrogate": b'"\\ud800"',
    "lone low surrogate": b'"\\udc00"',
    "reversed surrogates": b'"\\udc00\\ud800"',
    "surrogate then text": b'"\\ud800abcdefgh"',
    "NUL escaped": b'"a\\u0000b"',
    "NUL raw": b'"a\x00b"',
    "control raw": b'"a\nb"',
    "bad UTF-8": b'"\xff\xfe"',
    "overlong UTF-8": b'"\xc0\xaf"',
    "surrogate in UTF-8": b'"\xed\xa0\x80"',
    "truncated UTF-8": b'"\xe2\x82"',
    "bad escape": b'"\\x41"',
    "half an escape": b'"\\u12"',
    "long string": b'"' + MARK.encode() * 2_000 + b'"',
    "nested 10": b"[" * 10 + b"]" * 10,
    "nested 1e3": b"[" * 1_000 + b"]" * 1_000,
    "nested 1e5": b"[" * 100_000 + b"]" * 100_000,
}
"""What is sent where a number, a string, a boolean or an id is wanted."""


def _members(count: int) -> bytes:
    return b"".join(b'"%x":1,' % n for n in range(count))


_GOOD = b'{"entities":{"flight":7},"features":{"distance":1}}'
_MARK = MARK.encode()
_NO_DOCUMENT = {
    "nothing": b"",
    "blank": b" \n\t ",
    "a BOM": b"\xef\xbb\xbf" + _GOOD,
    "UTF-16": _GOOD.decode().encode("utf-16"),
    "UTF-32": _GOOD.decode().encode("utf-32"),
    "NUL": b"\x00",
    "half a document": _GOOD[:-9],
    "two documents": _GOOD + _GOOD,
    "trailing text": _GOOD + _MARK,
    "trailing comma": _GOOD[:-1] + b",}",
    "unclosed": b'{"entities": {',
    "a bare word": _MARK,
    "a number": b"1",
    "a string": b'"' + _MARK + b'"',
    "null": b"null",
    "an array": b"[]",
    "an array of bodies": b"[" + _GOOD + b"]",
    "form": b"entities=" + _MARK,
    "XML": b"<x>" + _MARK + b"</x>",
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os.",
    "gzip": b"\x1f\x8b\x08\x00" + _MARK,
}
_LARGE = {
    "objects 1e3 deep": b'{"a":' * 1_000 + b"1" + b"}" * 1_000,
    "objects 1e5 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "unclosed 1e6 deep": b"[" * 1_000_000,
    "mixed 1e5 deep": b'[{"a":' * 100_000,
    "1e5 unknown features": b'{"entities":{"flight":7},"features":{' + _members(60_000) + b'"distance":1}}',
    "1e5 unknown entities": b'{"features":{"distance":1},"entities":{' + _members(60_000) + b'"flight":7}}',
    "1e5 unknown members": b"{" + _members(60_000) + b'"entities":{"flight":7}}',
    "one member 1e5 times": b"{" + b'"entities":{},' * 70_000 + b'"features":{}}',
    "colliding keys": b"{" + b",".join(b'"%d":0' % (n * (2**61 - 1)) for n in range(30_000)) + b"}",
}
_STRANGE = {
    "an empty batch": b'{"instances":[]}',
    "a batch of null": b'{"instances":null}',
    "a batch of nulls": b'{"instances":[null,null]}',
    "a batch of numbers": b'{"instances":[' + b",".join([b"1"] * 1_000) + b"]}",
    "1,001 instances": b'{"instances":[' + b",".join([_GOOD] * 1_001) + b"]}",
    "1e5 instances": b'{"instances":[' + b",".join([b"{}"] * 100_000) + b"]}",
    "a batch in a batch": b'{"instances":[{"instances":[' + _GOOD + b"]}]}",
    "a batch with a request_id beside": b'{"instances":[' + _GOOD + b'],"request_id":"' + _MARK + b'"}',
    "a batch with a stranger beside": b'{"instances":[' + _GOOD + b'],"' + _MARK + b'":1}',
    "entities as array": b'{"entities":["' + _MARK + b'"],"features":{}}',
    "entities as string": b'{"entities":"' + _MARK + b'","features":{}}',
    "features as number": b'{"entities":{"flight":7},"features":5}',
    "an unknown name with a slash": b'{"entities":{"flight":7},"features":{"a/b~c' + _MARK + b'":1,"distance":1}}',
    "a name with a surrogate": b'{"entities":{"flight":7},"features":{"\\ud800":1,"distance":1}}',
    "a name with NUL": b'{"entities":{"flight":7},"features":{"\\u0000":1,"distance":1}}',
    "an empty name": b'{"entities":{"flight":7},"features":{"":1,"distance":1}}',
    "__proto__": b'{"__proto__":{"' + _MARK + b'":1},"constructor":1}',
    "a long name": b'{"entities":{"flight":7},"features":{"' + _MARK * 50_000 + b'":1,"distance":1}}',
    "a routing key": _GOOD[:-1] + b',"routing_key":"' + _MARK + b'"}',
    "a script": b'{"<script>alert(1)</script>' + _MARK + b'":"%s%n${jndi:ldap://x}"}',
    "SQL": b'{"entities":{"flight":"1; DROP TABLE ' + _MARK + b'"},"features":{"distance":1}}',
}
_REQUEST_IDS = {
    "an empty request_id": b'""',
    "a long request_id": b'"' + _MARK * 40 + b'"',
    "a request_id with a newline": b'"a\\nb"',
    "a request_id that is not ASCII": '"é"'.encode(),
    "a request_id number": b"5",
    "a request_id object": b"{}",
    "a request_id with a surrogate": b'"\\ud83d"',
}


def _documents() -> Iterator[tuple[str, bytes]]:
    yield from (_NO_DOCUMENT | _LARGE | _STRANGE).items()
    for name, member in _REQUEST_IDS.items():
        yield name, _GOOD[:-1] + b',"request_id":' + member + b"}"


def _slots() -> Iterator[tuple[str, bytes]]:
    """Every token in every place where a value of some type is wanted."""
    for name, token in TOKENS.items():
        yield f"{name} as entity", b'{"entities":{"flight":' + token + b'},"features":{"distance":1}}'
        for field in ("distance", "carrier", "late", "hour"):
            rest = b"" if field == "distance" else b',"distance":1'
            body = b'{"entities":{"flight":7},"features":{"' + field.encode() + b'":' + token + rest + b"}}"
            yield f"{name} as {field}", body
        batch = b'{"instances":[{"entities":{"flight":7},"features":{"distance":' + token + b"}}]}"
        yield f"{name} in a batch", batch


def _outcomes() -> Iterator[tuple[str, bytes]]:
    mark = MARK.encode()
    for name, token in TOKENS.items():
        yield f"{name} as outcome", b'{"prediction_id":"x","outcome":' + token + b"}"
        yield f"{name} as id", b'{"outcome":1,"prediction_id":' + token + b"}"
        yield f"{name} as observed_at", b'{"prediction_id":"x","outcome":1,"observed_at":' + token + b"}"
        yield f"{name} as metric", b'{"prediction_id":"x","outcome":1,"metric":' + token + b"}"
    for time_ in ("2026-02-30T00:00:00Z", "2026-11-23", "2026-11-23T21:00:00", "0000-00-00T00:00:00Z", "now", "1e9"):
        body = json.dumps({"prediction_id": "x", "outcome": 1, "observed_at": time_}).encode()
        yield f"observed_at {time_}", body
    for edge in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-11-23T23:59:60Z"):
        yield f"observed_at {edge}", json.dumps({"prediction_id": "x", "outcome": 1, "observed_at": edge}).encode()
    yield "no items", b'{"items":[]}'
    yield "items and more", b'{"items":[{"prediction_id":"x","outcome":1}],"' + mark + b'":1}'
    yield "1e5 items", b'{"items":[' + b",".join([b"{}"] * 100_000) + b"]}"
    yield "an id with many dots", b'{"outcome":1,"prediction_id":"' + b"." * 1_000 + b'"}'
    yield "a long id", b'{"outcome":1,"prediction_id":"' + mark * 100_000 + b'"}'
    yield "a stranger", b'{"prediction_id":"x","outcome":1,"' + mark + b'":2}'


HEADERS: dict[str, dict[str, str]] = {
    "no type": {"content-type": ""},
    "a type of nonsense": {"content-type": f"{MARK}/;;;=\\"},
    "a multipart type": {"content-type": f"multipart/form-data; boundary={MARK}"},
    "a long type": {"content-type": "application/json; " + MARK * 1000},
    "gzip": JSON | {"content-encoding": "gzip"},
    "stacked encodings": JSON | {"content-encoding": f"br, gzip, {MARK}"},
    "a negative length": JSON | {"content-length": "-1"},
    "a length of words": JSON | {"content-length": MARK},
    "a huge length": JSON | {"content-length": "9" * 4_000},
    "a length with an underscore": JSON | {"content-length": "1_0"},
    "a length in other digits": JSON | {"content-length": "\u00b2"},
    "deadline NaN": JSON | {"x-deadline-ms": "NaN"},
    "deadline inf": JSON | {"x-deadline-ms": "inf"},
    "deadline 1e999": JSON | {"x-deadline-ms": "1e999"},
    "deadline negative": JSON | {"x-deadline-ms": "-5"},
    "deadline of words": JSON | {"x-deadline-ms": MARK},
    "deadline of 5,000 digits": JSON | {"x-deadline-ms": "9" * 5_000},
    "variant of words": JSON | {"x-variant": MARK},
    "variant not ASCII": JSON | {"x-variant": "\u00e9\u00ff"},
    "a long variant": JSON | {"x-variant": MARK * 1_000},
    "event time of words": JSON | {"x-event-time": MARK},
    "event time NaN": JSON | {"x-event-time": "nan"},
    "event time far": JSON | {"x-event-time": "9" * 400},
    "explain of words": JSON | {"x-explain": MARK, "x-deadline-ms": "x"},
    "1,000 headers": JSON | {f"x-{n}": MARK for n in range(1_000)} | {"x-deadline-ms": "x"},
}

PATHS = [
    f"/predict/{MARK}",
    f"/predict/{MARK}/{MARK}",
    "/predict/%00",
    "/predict/%ff%fe",
    "/predict/%2e%2e%2fadmin",
    "/predict/..%2f..%2fetc%2fpasswd",
    "/predict//",
    "/predict/" + MARK * 1_000,
    "/PREDICT",
    "/predict;x=1",
    "/feedback/",
    f"/{MARK}",
]


@pytest.fixture
def app() -> FastAPI:
    stable = card("v1", *WIDE)
    inputs = Inputs((FLIGHT,), WIDE[1:])
    rules = ServingRules(allow_forced=True)
    house = House(table(inputs=inputs, rules=rules, stable=Part("stable", "g0", stable)))
    return create_app(DataPlane(house.predict, house.feedback, house.clock, replay=True))


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as opened:
        yield opened


async def _verdict(http: httpx.AsyncClient, path: str, content: bytes, headers: dict[str, str]) -> str | None:
    """Send it and say what is wrong with the answer, or None."""
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    started = time.perf_counter()
    response = await http.post(path, content=content, headers=sent)
    took = time.perf_counter() - started
    if response.status_code >= 500:
        return f"is {response.status_code}"
    if took > LIMIT_S:
        return f"took {took:.3f} s"
    if MARK in response.text or "alert(1)" in response.text:
        return "comes back"
    if len(response.content) > 16_384:
        return f"bought {len(response.content)} bytes of answer"
    if response.status_code >= 400 and response.headers["content-type"] != "application/problem+json":
        return "is no problem details"
    return None


async def _all(http: httpx.AsyncClient, path: str, corpus: dict[str, bytes]) -> dict[str, str]:
    verdicts = {name: await _verdict(http, path, body, JSON) for name, body in corpus.items()}
    return {name: verdict for name, verdict in verdicts.items() if verdict is not None}


async def test_no_hostile_document_gets_past_the_door(http: httpx.AsyncClient) -> None:
    assert await _all(http, "/predict", dict(_documents())) == {}


async def test_no_hostile_token_in_any_place_of_a_prediction_gets_past_the_door(http: httpx.AsyncClient) -> None:
    assert len(dict(_slots())) > 300
    assert await _all(http, "/predict", dict(_slots())) == {}


async def test_no_hostile_outcome_gets_past_the_door(http: httpx.AsyncClient) -> None:
    assert len(dict(_outcomes())) > 200
    assert await _all(http, "/feedback", dict(_outcomes())) == {}


async def test_no_hostile_document_gets_past_the_other_door(http: httpx.AsyncClient) -> None:
    assert await _all(http, "/feedback", dict(_documents())) == {}


@pytest.mark.parametrize("path", ["/predict", "/feedback"])
async def test_no_hostile_header_gets_past_the_door(http: httpx.AsyncClient, path: str) -> None:
    body = b'{"entities":{"flight":7},"features":{"distance":1}}'
    verdicts = {name: await _verdict(http, path, body, headers) for name, headers in HEADERS.items()}
    assert {name: verdict for name, verdict in verdicts.items() if verdict is not None} == {}


async def test_no_hostile_path_gets_past_the_door(http: httpx.AsyncClient) -> None:
    verdicts = {path: await _verdict(http, path, b"{}", JSON) for path in PATHS}
    assert {path: verdict for path, verdict in verdicts.items() if verdict is not None} == {}


@pytest.mark.parametrize(
    ("token", "accepted"),
    [("-0", True), ("-0.0", True), ("1e-999", True), ("9223372036854775807", True), ("1E2", True), ("1e39", False)],
)
async def test_odd_but_honest_numbers_are_told_from_hostile_ones(
    http: httpx.AsyncClient, token: str, accepted: bool
) -> None:
    body = b'{"entities":{"flight":7},"features":{"distance":' + token.encode() + b"}}"
    response = await http.post("/predict", content=body, headers=JSON)
    assert response.status_code == (200 if accepted else 422)


async def test_a_repeated_member_counts_once_with_its_last_value(http: httpx.AsyncClient) -> None:
    body = b'{"entities":{"flight":1,"flight":7},"features":{"distance":1}}'
    assert (await http.post("/predict", content=body, headers=JSON)).json()["prediction"] == 1007.0


# Over a real socket.


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[int]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event to wait for
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def _raw(port: int, request: bytes) -> bytes:
    """Send bytes as they are and return what comes back first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(65_536), 5.0)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def _post(body: bytes, *headers: bytes) -> bytes:
    head = [b"POST /predict HTTP/1.1", b"Host: x", b"Content-Type: application/json", *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


RAW: dict[str, bytes] = {
    "a body longer than it says": _post(b'{"a":1}' + b"x" * 100, b"Content-Length: 7"),
    "two lengths": _post(b"{}", b"Content-Length: 2", b"Content-Length: 3"),
    "a length and chunks": _post(b"0\r\n\r\n", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "a chunk of nonsense": _post(b"zz\r\n{}\r\n", b"Transfer-Encoding: chunked"),
    "a negative chunk": _post(b"-1\r\n{}\r\n", b"Transfer-Encoding: chunked"),
    "a header with NUL": _post(b"{}", b"X-Variant: a\x00b", b"Content-Length: 2"),
    "a header of 100 kB": _post(b"{}", b"X-Big: " + b"a" * 100_000, b"Content-Length: 2"),
    "10,000 headers": _post(b"{}", *[b"X-%d: 1" % n for n in range(10_000)], b"Content-Length: 2"),
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "a path with a space": b"POST /pre dict HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown method": b"BREW /predict HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
}


async def test_broken_http_is_refused_and_the_next_caller_is_served(app: FastAPI) -> None:
    async with listening(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        for name, request in RAW.items():
            answer = await _raw(port, request)
            assert not answer.startswith(b"HTTP/1.1 5"), name
            body = {"entities": {"flight": 7}, "features": {"distance": 1}}
            assert (await http.post("/predict", json=body)).status_code == 200, name


async def test_a_body_of_300_mb_is_cut_off_early_on_a_real_socket(app: FastAPI) -> None:
    sent = 0
    async with listening(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_post(b"", b"Transfer-Encoding: chunked"))
        try:
            while sent < 300 * 2**20:
                writer.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
                await writer.drain()
                sent += 65_536
                if reader.at_eof() or writer.is_closing():
                    break
        except ConnectionError:
            pass
        answer = await _answer(reader)
        writer.close()
    assert sent < 32 * 2**20, "socket buffers may hold some, the gateway must not"
    assert answer in (b"", b"HTTP/1.1 413")


async def _answer(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(12), 5.0)
    except ConnectionError:  # the peer closed with our bytes unread, and the kernel threw its answer away
        return b""


async def test_a_declared_300_mb_is_refused_before_it_is_sent(app: FastAPI) -> None:
    async with listening(app) as port:
        answer = await _raw(port, _post(b"", b"Content-Length: 314572800"))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


async def test_the_corpus_holds_over_a_real_socket_too(app: FastAPI) -> None:
    chosen = dict(list(_documents())[::4]) | dict(list(_slots())[::23])
    async with listening(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        assert await _all(http, "/predict", chosen) == {}
