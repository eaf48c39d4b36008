"""Other protocols, driven by their own clients: MLflow's scoring client, and Triton's for Open Inference v2."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import requests
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.e2e.contract import answer, pointers, problem, record, start
from tests.e2e.harness import Gateway

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy",  # SQLAlchemy's, about MLflow's own mappers
    "ignore:.*Any type hint is inferred as AnyType",  # MLflow's, about its own classes, when it is imported
)

PEOPLE = pd.DataFrame({"age": [55.0, 5.0, 45.0], "visits": [3.0, 3.0, 1.0]})


@pytest.fixture(scope="module")
def gateway(contract: Gateway) -> Gateway:
    start(contract, "scored", "2", "half")
    start(contract, "inferred", "2", "half")
    return contract


def address(gateway: Gateway) -> tuple[str, int]:
    parts = urlsplit(str(gateway.data.base_url))
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


class Scoring:
    """MLflow's own scoring client, which appends ``/invocations`` to its prefix."""

    def __init__(self, gateway: Gateway) -> None:
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient  # warns of itself when it is imported

        self.client = ScoringServerClient(*address(gateway))

    def ask(self, data: Any) -> dict[str, Any]:
        return dict(self.client.invoke(data))


def score(gateway: Gateway, deployment: str, frame: pd.DataFrame) -> dict[str, Any]:
    """What ``mlflow models predict`` would send, to a deployment that is not the default one."""
    from mlflow.utils.proto_json_utils import dump_input_data

    url = str(gateway.data.base_url.join(f"/invocations/{deployment}"))
    said = requests.post(url, data=dump_input_data(frame), headers={"Content-Type": "application/json"})
    assert said.status_code == 200, said.text
    found: dict[str, Any] = said.json()
    return found


# MLflow.


def test_mlflows_client_finds_the_gateway_ready_and_scores_a_frame(gateway: Gateway) -> None:
    client = Scoring(gateway).client
    client.wait_server_ready(timeout=5)
    assert client.get_version() == "0.1.0"
    said = client.invoke(PEOPLE)
    assert said.get_predictions().iloc[:, 0].tolist() == [1, 0, 1]
    assert said.get_predictions("ndarray").tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": PEOPLE.to_dict(orient="split")},
        {"dataframe_split": {"data": PEOPLE.to_numpy().tolist()}},
        {"dataframe_records": PEOPLE.to_dict(orient="records")},
        {"instances": PEOPLE.to_dict(orient="records")},
        {"instances": PEOPLE.to_numpy().tolist()},
        {"inputs": PEOPLE.to_dict(orient="list")},
        {"inputs": PEOPLE.to_numpy().tolist()},
    ],
    ids=lambda body: f"{next(iter(body))} {type(next(iter(body.values()))).__name__}",
)
def test_every_format_that_mlflow_serves_is_answered_alike(gateway: Gateway, body: dict[str, Any]) -> None:
    said = requests.post(str(gateway.data.base_url.join("/invocations")), json=body).json()
    assert said["predictions"] == [1, 0, 1]
    assert [each["prediction"] for each in said["details"]] == [1, 0, 1]


def test_csv_as_pandas_writes_it_is_scored_with_its_index_or_without(gateway: Gateway) -> None:
    url, csv = str(gateway.data.base_url.join("/invocations")), {"Content-Type": "text/csv"}
    for text in (PEOPLE.to_csv(), PEOPLE.to_csv(index=False)):
        said = requests.post(url, data=text, headers=csv)
        assert said.json()["predictions"] == [1, 0, 1], said.text


def test_rows_of_an_invocation_are_routed_remembered_and_judged_like_any_others(gateway: Gateway) -> None:
    said = score(gateway, "scored", pd.DataFrame({"age": [40.0] * 60, "visits": [3.0] * 60}))
    assert {each["variant"] for each in said["details"]} == {"stable", "canary"}
    ids = [each["prediction_id"] for each in said["details"]]
    assert len(set(ids)) == 60
    told = gateway.tell(*({"prediction_id": each, "outcome": 1} for each in ids))
    assert told.json()["accepted"] == 60
    one = record(gateway, ids[0])
    assert one["randomised"]
    assert {arm["name"]: arm["propensity"] for arm in one["arms"]} == {"stable": 0.5, "canary": 0.5}


def test_a_row_brings_its_request_id_as_a_column(gateway: Gateway) -> None:
    frame = PEOPLE.assign(request_id=["a-1", "a-2", "a-3"])
    first, again = Scoring(gateway).ask(frame), Scoring(gateway).ask(frame)
    assert [each["prediction_id"] for each in first["details"]] == [each["prediction_id"] for each in again["details"]]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"dataframe_split": {"columns": ["visits", "age"], "data": [["x", 2.0]]}}, "/dataframe_split/data/0/0"),
        ({"dataframe_split": {"columns": ["age"], "data": [[1.0]]}}, "/dataframe_split/columns"),
        ({"dataframe_records": [{"age": 1.0, "visits": None}]}, "/dataframe_records/0/visits"),
        ({"instances": [[1.0, 2.0], [1.0, "x"]]}, "/instances/1/1"),
        ({"instances": [[1.0]]}, "/instances/0"),
        ({"inputs": {"age": [1.0, 2.0], "visits": [1.0, "x"]}}, "/inputs/visits/1"),
        ({"inputs": [[1.0, 2.0]], "instances": [[1.0, 2.0]]}, ""),
        ({"inputs": [[1.0, 2.0]], "params": {"top_k": 3}}, "/params"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_a_problem_that_points_into_what_was_sent(
    gateway: Gateway, body: dict[str, Any], place: str
) -> None:
    said = problem(gateway.data.post("/invocations", json=body), 422, "invalid-body")
    assert pointers(said) == [place]


def test_a_gap_of_a_frame_is_a_missing_value_as_mlflows_client_writes_it(gateway: Gateway) -> None:
    gap = PEOPLE.assign(visits=[3.0, np.nan, 1.0])
    with pytest.raises(Exception, match="/dataframe_split/data/1/1"):
        Scoring(gateway).ask(gap)
    assert score(gateway, "declared", pd.DataFrame({"age": [np.nan], "visits": [3.0]}))["predictions"]


# Open Inference Protocol v2.


@pytest.fixture
def client(gateway: Gateway) -> Iterator[triton.InferenceServerClient]:
    host, port = address(gateway)
    opened = triton.InferenceServerClient(f"{host}:{port}")
    yield opened
    opened.close()


def tensor(name: str, values: npt.NDArray[Any], *, binary: bool = True) -> triton.InferInput:
    datatype = {"f": f"FP{values.itemsize * 8}", "i": f"INT{values.itemsize * 8}"}.get(values.dtype.kind, "BYTES")
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def people(*, binary: bool = True) -> list[triton.InferInput]:
    return [tensor(str(name), PEOPLE[name].to_numpy(), binary=binary) for name in PEOPLE]


def texts(values: npt.NDArray[Any]) -> list[str]:
    return [each.decode() if isinstance(each, bytes) else str(each) for each in values]


def test_a_triton_client_finds_server_model_and_metadata(
    gateway: Gateway, client: triton.InferenceServerClient
) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("inferred")
    assert client.is_model_ready("inferred", "2")
    assert not client.is_model_ready("inferred", "99")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    said = client.get_model_metadata("inferred")
    assert said == client.get_model_metadata("inferred", "1")
    assert said["versions"] == ["1", "2"]
    assert [(each["name"], each["datatype"], each["shape"]) for each in said["inputs"]] == [
        ("age", "FP64", [-1]),
        ("visits", "FP64", [-1]),
    ]


def test_what_metadata_promises_is_what_is_answered(gateway: Gateway, client: triton.InferenceServerClient) -> None:
    for deployment in ("inferred", "tier", "spend", "blind"):
        promised = client.get_model_metadata(deployment)["outputs"]
        given = client.infer(deployment, people()).get_response()["outputs"]
        assert [(each["name"], each["datatype"], [-1, *each["shape"][1:]]) for each in given] == [
            (each["name"], each["datatype"], each["shape"]) for each in promised
        ], deployment


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_a_triton_client_predicts_either_way(
    gateway: Gateway, client: triton.InferenceServerClient, binary: bool
) -> None:
    names = ["prediction", "score", "prediction_id", "variant", "logged"]
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
    said = client.infer("inferred", people(binary=binary), outputs=wanted, request_id="mine")
    assert said.as_numpy("prediction").tolist() == [1, 0, 1]
    assert said.as_numpy("score").dtype == np.float64
    assert said.as_numpy("logged").tolist() == [True] * 3
    assert said.get_response()["id"] == "mine"
    assert said.get_output("fallback") is None
    ids = texts(said.as_numpy("prediction_id"))
    assert [record(gateway, each)["served"] for each in ids] == texts(said.as_numpy("variant"))


def test_a_matrix_is_read_as_stables_own_row(gateway: Gateway, client: triton.InferenceServerClient) -> None:
    said = client.infer("inferred", [tensor("predict", PEOPLE.to_numpy())])
    assert said.as_numpy("prediction").tolist() == [1, 0, 1]
    said = client.infer("spend", [tensor("predict", PEOPLE.to_numpy().astype(np.float32))])
    assert said.as_numpy("prediction").round(3).tolist() == [113.0, 13.0, 91.0]


def test_classes_come_with_their_probabilities(gateway: Gateway, client: triton.InferenceServerClient) -> None:
    said = client.infer("tier", people())
    [scores] = [each for each in said.get_response()["outputs"] if each["name"] == "scores"]
    assert sorted(scores["parameters"]["classes"]) == ["bronze", "gold", "silver"]
    assert said.as_numpy("scores").sum(axis=1).round(6).tolist() == [1.0] * 3
    assert set(texts(said.as_numpy("prediction"))) <= {"bronze", "gold", "silver"}


def test_requests_are_routed_and_a_version_in_the_path_forces(
    gateway: Gateway, client: triton.InferenceServerClient
) -> None:
    many = [tensor("age", np.full(60, 40.0)), tensor("visits", np.full(60, 3))]
    free = client.infer("inferred", many)
    assert set(texts(free.as_numpy("variant"))) == {"stable", "canary"}
    forced = client.infer("inferred", many, model_version="2")
    assert set(texts(forced.as_numpy("variant"))) == {"canary"}
    assert forced.get_response()["model_version"] == "2"
    assert not record(gateway, texts(forced.as_numpy("prediction_id"))[0])["randomised"]
    with pytest.raises(InferenceServerException, match="forced"):
        client.infer("scored", many, model_version="2")


def test_a_blind_deployment_says_no_arm(gateway: Gateway, client: triton.InferenceServerClient) -> None:
    said = client.infer("blind", people())
    assert said.as_numpy("variant") is None
    assert "model_version" not in said.get_response()


def test_problems_are_read_by_the_client(gateway: Gateway, client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="/inputs/1/data/2: Must be a finite number") as caught:
        client.infer("inferred", [people()[0], tensor("visits", np.array([1.0, 2.0, np.inf]))])
    assert caught.value.status() == "422"
    with pytest.raises(InferenceServerException, match="There are: prediction, score") as caught:
        client.infer("inferred", people(), outputs=[triton.InferRequestedOutput("nothing")])
    with pytest.raises(InferenceServerException, match="deployment") as caught:
        client.infer("nobody", people())
    assert caught.value.status() == "404"


def test_the_same_row_gets_the_same_answer_by_every_protocol(
    gateway: Gateway, client: triton.InferenceServerClient
) -> None:
    row = PEOPLE.iloc[:1]
    plain = answer(gateway, body={"features": {"age": 55.0, "visits": 3.0}})
    scored = Scoring(gateway).ask(row)["details"][0]
    inferred = client.infer("churn", [tensor("predict", row.to_numpy())])
    assert plain["score"] == scored["score"] == inferred.as_numpy("score")[0]
