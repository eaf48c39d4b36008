"""Other protocols at the door: what they may carry, how it is read, and what hostile bodies hear."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.core.deployments import ServingRules
from gateway.core.errors import ModelFailed
from gateway.edge.data_plane import DataPlane, create_app
from tests.data_house import BODY, House, canary, reads_seats, table
from tests.security.house import bearer, key, locks, secret_of

ROW = {"flight": 7, "distance": 1400.0}
TENSORS: list[dict[str, Any]] = [
    {"name": "flight", "shape": [2], "datatype": "INT64", "data": [7, 8]},
    {"name": "distance", "shape": [2, 1], "datatype": "FP64", "data": [[1400.0], [1.0]]},
]
INFER = "/v2/models/flight-delay/infer"


@pytest.fixture
def house() -> House:
    forced = table(canary(0.5), name="churn", rules=ServingRules(allow_forced=True))
    sticky = table(name="sticky", rules=ServingRules(sticky=True))
    return House(table(), forced, sticky, reads_seats_as("seated"))


def reads_seats_as(name: str) -> Any:
    found = reads_seats()
    return table(name=name, stable=found.stable, features=found.features, policies=found.policies, inputs=found.inputs)


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(DataPlane(house.predict, house.feedback, house.clock, max_concurrency=1, max_body=4_000))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as opened:
        yield opened


def infer(*inputs: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"inputs": list(inputs or TENSORS), **members}


def column(said: dict[str, Any], name: str) -> list[Any]:
    return next(each["data"] for each in said["outputs"] if each["name"] == name)


def places(response: httpx.Response) -> list[str]:
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return [each["pointer"] for each in response.json()["errors"]]


# What is read.


async def test_columns_are_entities_features_and_members_by_their_names(house: House, http: httpx.AsyncClient) -> None:
    said = (await http.post("/invocations", json={"instances": [ROW | {"request_id": "one"}]})).json()
    same = (await http.post("/predict", json=BODY | {"request_id": "one"})).json()
    assert said["predictions"] == [1007.0]
    assert said["details"] == [same]
    assert house.predictions[0].request_hash is not None


async def test_a_sticky_deployment_takes_its_routing_key_as_a_column(house: House, http: httpx.AsyncClient) -> None:
    said = await http.post("/invocations/sticky", json={"dataframe_records": [ROW | {"routing_key": "user-42"}]})
    assert said.status_code == 200, said.text
    assert house.predictions[-1].sticky
    assert places(await http.post("/invocations/sticky", json={"inputs": [ROW]})) == ["/inputs/0/routing_key"]


async def test_a_tensor_has_one_type_so_whole_floats_are_integers_and_nan_is_a_gap(http: httpx.AsyncClient) -> None:
    said = await http.post("/invocations", json={"inputs": [[7.0, 1400.0]]})
    assert said.json()["predictions"] == [1007.0]
    half = await http.post("/invocations", json={"inputs": [[7.5, 1400.0]]})
    assert (places(half), half.json()["errors"][0]["detail"]) == (["/inputs/0/0"], "Must be an integer.")
    gap = await http.post(
        "/invocations", content=b'{"inputs": [[NaN, 1.0]]}', headers={"content-type": "application/json"}
    )
    assert (places(gap), gap.json()["errors"][0]["detail"]) == (["/inputs/0/0"], "Is missing.")


async def test_rows_need_names_where_the_store_fills_in_a_part(http: httpx.AsyncClient) -> None:
    assert places(await http.post("/invocations/seated", json={"instances": [[7, 1.0]]})) == ["/instances/0"]
    sent = await http.post("/invocations/seated", json={"instances": [ROW | {"seats": 100}]})
    assert (places(sent), "feature store" in sent.json()["errors"][0]["detail"]) == (["/instances/0/seats"], True)


async def test_columns_of_one_value_and_single_values_are_rows_too(http: httpx.AsyncClient) -> None:
    said = await http.post("/invocations", json={"inputs": {"flight": 7, "distance": 1.0}})
    assert said.json()["predictions"] == [1007.0]
    assert places(await http.post("/invocations", json={"inputs": [7]})) == ["/inputs/0"]
    assert places(await http.post("/invocations", json={"inputs": {"flight": [1, 2], "distance": [1.0]}})) == [
        "/inputs"
    ]


async def test_csv_is_read_as_the_fields_say(http: httpx.AsyncClient) -> None:
    async def post(text: str) -> httpx.Response:
        return await http.post("/invocations", content=text, headers={"content-type": "text/csv; charset=utf-8"})

    assert (await post("flight,distance\n7,1400\n8,1e3\n")).json()["predictions"] == [1007.0, 1008.0]
    assert places(await post("flight,distance\n7,far\n")) == ["/0/distance"]
    assert places(await post("flight,distance\n7.5,\n")) == ["/0/flight", "/0/distance"]
    assert places(await post("flight,distance\n1_0,1\n")) == ["/0/flight"]
    assert places(await post("flight,distance\n7\n")) == [""]
    assert places(await post("flight,flight\n7,8\n")) == [""]
    assert places(await post("flight,distance\n")) == [""]
    assert places(await post("")) == [""]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ([], ""),
        ({}, ""),
        ({"inputs": []}, "/inputs"),
        ({"inputs": 7}, "/inputs"),
        ({"inputs": {}}, "/inputs"),
        ({"inputs": [ROW], "more": 1}, ""),
        ({"instances": {"flight": [7]}}, "/instances"),
        ({"instances": [ROW, 7]}, "/instances/1"),
        ({"dataframe_records": ROW}, "/dataframe_records"),
        ({"dataframe_records": [7]}, "/dataframe_records/0"),
        ({"dataframe_split": [[7]]}, "/dataframe_split"),
        ({"dataframe_split": {"data": [], "columns": ["flight"]}}, "/dataframe_split/data"),
        ({"dataframe_split": {"data": [[1]], "columns": "flight"}}, "/dataframe_split/columns"),
        ({"dataframe_split": {"data": [[1, 2]], "columns": ["flight", "flight"]}}, "/dataframe_split/columns"),
        ({"dataframe_split": {"data": [[1]], "columns": ["flight", "distance"]}}, "/dataframe_split/data/0"),
        ({"dataframe_split": {"data": [[1]], "columns": ["flight"], "x": 1}}, "/dataframe_split"),
        ({"instances": [[7, 1.0]] * 1_001}, "/instances"),
    ],
)  # fmt: skip
async def test_bodies_of_the_wrong_shape_are_told_where(house: House, body: object, place: str) -> None:
    app = create_app(DataPlane(house.predict, house.feedback, house.clock))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        assert places(await http.post("/invocations", json=body)) == [place]
    assert house.predictions == []


async def test_unknown_names_are_told_once_and_never_repeated(http: httpx.AsyncClient) -> None:
    frame = {"columns": ["flight", "distance", "<script>"], "data": [[7, 1.0, 0], [8, 1.0, 0]]}
    said = await http.post("/invocations", json={"dataframe_split": frame})
    assert places(said) == ["/dataframe_split/columns"]
    assert "script" not in said.text


@pytest.mark.parametrize(
    "raw", [b'{"inputs": [[Infinity, 1]]}', b'{"inputs": [[NaN, Infinity]]}', b"NaN, {", b"[" * 3_900 + b"NaN"]
)
async def test_infinity_is_no_json_and_depth_is_bounded(http: httpx.AsyncClient, raw: bytes) -> None:
    said = await http.post("/invocations", content=raw, headers={"content-type": "application/json"})
    assert said.status_code in (400, 422)


# Tensors.


async def test_tensors_are_answered_column_by_column(http: httpx.AsyncClient) -> None:
    said = (await http.post(INFER, json=infer(id="mine"))).json()
    assert (said["model_name"], said["model_version"], said["id"]) == ("flight-delay", "v1", "mine")
    assert column(said, "prediction") == [1007.0, 1008.0]
    assert column(said, "variant") == ["stable", "stable"]
    assert all(each.startswith("k1.") for each in column(said, "prediction_id"))


async def test_the_id_of_a_request_is_no_request_id(http: httpx.AsyncClient) -> None:
    first, again = [(await http.post(INFER, json=infer(id="mine"))).json() for _ in range(2)]
    assert set(column(first, "prediction_id")).isdisjoint(column(again, "prediction_id"))


async def test_bytes_after_the_json_are_values(http: httpx.AsyncClient) -> None:
    inputs = [
        {"name": "flight", "shape": [1], "datatype": "INT16", "parameters": {"binary_data_size": 2}},
        {"name": "distance", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}},
        {"name": "request_id", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 7}},
    ]
    head = json.dumps(infer(*inputs, outputs=[{"name": "prediction"}])).encode()
    tail = b"\x07\x00" + b"\x00\x00\x80\x3f" + b"\x03\x00\x00\x00abc"
    length = {"inference-header-content-length": str(len(head))}
    said = await http.post(INFER, content=head + tail, headers=length)
    assert said.json()["outputs"] == [{"name": "prediction", "datatype": "FP64", "shape": [1], "data": [1007.0]}]
    short = await http.post(INFER, content=head + tail[:-1], headers=length)
    assert places(short) == ["/inputs/2/parameters"]
    assert places(await http.post(INFER, content=head + tail + b"x", headers=length)) == ["/inputs"]
    beyond = await http.post(INFER, content=head, headers={"inference-header-content-length": "99999"})
    assert beyond.status_code == 400


@pytest.mark.parametrize("tail", [b"\xff\xff\xff\xffabc", b"\x03\x00", b"\x01\x00\x00\x00\xff"])
async def test_bytes_that_are_no_texts_are_told_so(http: httpx.AsyncClient, tail: bytes) -> None:
    texts = {"name": "request_id", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(tail)}}
    head = json.dumps(infer(texts)).encode()
    said = await http.post(INFER, content=head + tail, headers={"inference-header-content-length": str(len(head))})
    assert places(said) == ["/inputs/0/parameters"]


def changed(**members: Any) -> dict[str, Any]:
    return infer(TENSORS[0] | members, TENSORS[1])


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ([], ""),
        ({}, ""),
        ({"inputs": []}, "/inputs"),
        ({"inputs": [7]}, "/inputs/0"),
        (changed(name=7), "/inputs/0/name"),
        (changed(shape=[]), "/inputs/0/shape"),
        (changed(shape=[-1]), "/inputs/0/shape"),
        (changed(shape=[2**62] * 9), "/inputs/0/shape"),
        (changed(shape=[2**62] * 8), "/inputs/0/data"),
        (changed(shape=[3]), "/inputs/0/data"),
        (changed(shape=[3], data=[1, 2, 3]), "/inputs"),
        (changed(datatype="COMPLEX"), "/inputs/0/datatype"),
        (changed(data=None), "/inputs/0/data"),
        (changed(data=[7, "8"]), "/inputs/0/data/1"),
        (changed(parameters={"binary_data_size": 4}), "/inputs/0/parameters"),
        (changed(parameters={"binary_data_size": True}, data=None), "/inputs/0/parameters"),
        (changed(name="distance"), "/inputs"),
        (infer(TENSORS[0]), "/inputs"),
        (infer({**TENSORS[0], "shape": [1, 2]}, TENSORS[1]), "/inputs"),
        (infer({**TENSORS[0], "name": "rows", "shape": [1, 2]}, outputs=[{"name": "no"}]), "/outputs/0/name"),
        (infer({**TENSORS[0], "name": "rows", "shape": [2, 1]}), "/inputs/0"),
    ],
)  # fmt: skip
async def test_tensors_that_do_not_fit_are_told_where(http: httpx.AsyncClient, body: object, place: str) -> None:
    assert places(await http.post(INFER, json=body)) == [place]


# The same rules as everywhere.


async def test_problems_of_v2_say_error_too_and_others_do_not(house: House, http: httpx.AsyncClient) -> None:
    house.runner.failing["stable"] = ModelFailed("E")
    said = (await http.post(INFER, json=infer())).json()
    assert (said["type"], said["error"]) == ("model-failed", said["detail"])
    assert "error" not in (await http.post("/invocations", json={"inputs": [ROW]})).json()
    assert (await http.get("/v2/models/nobody")).json()["error"]
    for method, path, status in (("GET", "/v2/nothing", 404), ("GET", INFER, 405), ("POST", INFER, 413)):
        refused = await http.request(method, path, content=b"x" * 4_001)
        assert (refused.status_code, refused.json()["error"]) == (status, refused.json()["detail"])


async def test_what_the_locks_refuse_is_read_by_clients_of_v2_too(house: House) -> None:
    locked = locks((key("reader", ["read"]), key("caller", ["predict"], rate="1/minute")), house.clock)
    app = create_app(DataPlane(house.predict, house.feedback, house.clock, locks=locked))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        answers = [
            await http.post(INFER, json=infer(), headers=headers)
            for headers in ({}, bearer(secret_of("reader")), *[bearer(secret_of("caller"))] * 2)
        ]
    assert [answer.status_code for answer in answers] == [401, 403, 200, 429]
    assert all(answer.json()["error"] == answer.json()["detail"] for answer in answers if answer.status_code != 200)


async def test_headers_mean_the_same(http: httpx.AsyncClient) -> None:
    forced = {"x-variant": "canary", "x-explain": "1"}
    said = (await http.post("/invocations/churn", json={"inputs": [ROW]}, headers=forced)).json()
    assert (said["predictions"], said["details"][0]["explain"]["variant"]) == ([2007.0], "canary")
    said = (await http.post("/v2/models/churn/infer", json=infer(), headers=forced)).json()
    assert column(said, "variant") == ["canary", "canary"]
    for path, body in ((INFER, infer()), ("/invocations", {"inputs": [ROW]})):
        assert (await http.post(path, json=body, headers=forced)).status_code == 403
        late = await http.post(path, json=body, headers={"x-deadline-ms": "0"})
        assert late.json()["type"] == "deadline-passed"


async def test_a_version_in_the_path_wins_over_the_header(http: httpx.AsyncClient) -> None:
    path = "/v2/models/churn/versions/v1/infer"
    said = (await http.post(path, json=infer(), headers={"x-variant": "canary"})).json()
    assert column(said, "variant") == ["stable", "stable"]
    assert (await http.post("/v2/models/churn/versions/v9/infer", json=infer())).status_code == 404


async def test_a_version_without_a_lease_is_not_ready(house: House, http: httpx.AsyncClient) -> None:
    assert (await http.get("/v2/models/churn/versions/v2/ready")).status_code == 200
    house.routing.leased = False
    said = await http.get("/v2/models/churn/versions/v2/ready")
    assert (said.status_code, said.json()["type"]) == (503, "not-ready")
    assert (await http.get("/v2/models/churn/versions/v1/ready")).status_code == 200


async def test_limits_and_media_types_are_kept(http: httpx.AsyncClient) -> None:
    for path in ("/invocations", INFER):
        large = await http.post(path, content=b"x" * 4_001, headers={"content-type": "application/json"})
        assert large.json()["type"] == "body-too-large"
        text = await http.post(path, content=b"{}", headers={"content-type": "text/plain"})
        assert text.json()["type"] == "unsupported-media-type"
    silent = await http.post(INFER, content=json.dumps(infer()).encode())  # as Triton's clients do
    assert silent.status_code == 200
    assert (await http.post("/invocations", content=b"{}")).status_code == 415


async def test_probes_say_what_readyz_says(house: House) -> None:
    def unready() -> str:
        return "Stable is not loaded on this worker yet."

    app = create_app(DataPlane(house.predict, house.feedback, house.clock, ready=unready))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        for path in ("/ping", "/health", "/v2/health/ready", "/v2/models/churn/ready"):
            assert (await http.get(path)).status_code == 503
        assert (await http.get("/v2/health/live")).status_code == 200
        assert (await http.get("/version")).text == "0.1.0"
        assert (await http.get("/v2")).json()["name"] == "gateway"
