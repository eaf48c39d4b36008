"""Every kind of model goes the whole way: loaded, asked, recorded, told the truth, judged - through one gateway.

The registry is a real MLflow one over SQLite. A new kind adds one entry to ``KINDS``.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.svm import LinearSVC

from tests.e2e.contract import PLANS, record
from tests.e2e.harness import Gateway, until

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:The ``noload`` loader strategy",  # SQLAlchemy's, about MLflow's own mappers
        "ignore:.*Any type hint is inferred as AnyType",  # MLflow's, about its own classes, when it is imported
    ),
    pytest.mark.timeout(300),
]

ROWS = 120


def table() -> pd.DataFrame:
    random = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "carrier": random.choice(["UA", "B6", "EV"], 300),
            "hour": random.integers(0, 24, 300),
            "distance": random.uniform(90, 3000, 300),
        }
    )


FLIGHTS = table()
LATE = (FLIGHTS["hour"] > 14).astype(int)
DELAY = 2.0 * FLIGHTS["hour"] + 10.0 * (FLIGHTS["carrier"] == "EV")
BOTH = pd.DataFrame({"dep_delay": DELAY, "arr_delay": DELAY - FLIGHTS["distance"] / 100.0})
TWO = np.column_stack([LATE, 1 - LATE])
BAND = pd.Series(np.array(["night", "day", "evening"])[(FLIGHTS["hour"] // 8).to_numpy()])
FIRST = FLIGHTS.head(ROWS)
NUMBERS = FLIGHTS[["hour", "distance"]]


def encoded(estimator: Any) -> Any:
    """A pipeline on a frame with a categorical column."""
    encoder = OneHotEncoder(handle_unknown="ignore")
    return make_pipeline(make_column_transformer((encoder, ["carrier"]), remainder="passthrough"), estimator)


def ordinal(estimator: Any) -> Any:
    """A pipeline on a frame whose categorical column stays one, as gradient boosting likes it."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(make_column_transformer((encoder, ["carrier"]), remainder="passthrough"), estimator)


def pyfunc(answer: Callable[[Any], Any]) -> Any:
    from mlflow.pyfunc import PythonModel

    class Answering(PythonModel):  # type: ignore[misc]  # MLflow has no types
        def predict(self, model_input: Any) -> Any:
            return answer(model_input)

    return Answering()


@dataclass(frozen=True)
class Kind:
    """A model, what it is fitted on, what is the truth about its answers, and what judges it.

    ``truth`` is by outcome metric; ``predict`` says what the model itself answers, for the server to answer alike.
    """

    make: Callable[[], Any]
    truth: Mapping[str, Sequence[Any]]
    guardrail: str
    inputs: pd.DataFrame = field(default_factory=lambda: FLIGHTS)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    output: Any = 0.0
    """Something that the signature's outputs are inferred from."""


def labels(values: "pd.Series[Any]") -> dict[str, list[Any]]:
    return {"label": values.head(ROWS).tolist()}


KINDS: dict[str, Kind] = {
    "binary": Kind(lambda: encoded(LogisticRegression(max_iter=2_000)).fit(FLIGHTS, LATE), labels(LATE), "accuracy"),
    "multiclass": Kind(lambda: encoded(RandomForestClassifier(10)).fit(FLIGHTS, BAND), labels(BAND), "accuracy"),
    "labels-only": Kind(lambda: encoded(LinearSVC()).fit(FLIGHTS, LATE), labels(LATE), "accuracy"),
    "regressor": Kind(lambda: encoded(LinearRegression()).fit(FLIGHTS, DELAY), labels(DELAY), "mae"),
    "boosted": Kind(lambda: ordinal(HistGradientBoostingRegressor()).fit(FLIGHTS, DELAY), labels(DELAY), "rmse"),
    "two-numbers": Kind(
        lambda: encoded(RandomForestRegressor(10)).fit(FLIGHTS, BOTH),
        {name: BOTH[name].head(ROWS).tolist() for name in BOTH},
        "mae:arr_delay",
        metadata={"outputs": ["dep_delay", "arr_delay"]},
    ),
    "two-estimators": Kind(
        lambda: encoded(MultiOutputRegressor(LinearRegression())).fit(FLIGHTS, BOTH),
        {"y0": BOTH["dep_delay"].head(ROWS).tolist(), "y1": BOTH["arr_delay"].head(ROWS).tolist()},
        "rmse:y0",
        output=np.zeros((1, 2)),
    ),
    "two-labels": Kind(
        lambda: encoded(MultiOutputClassifier(LogisticRegression(max_iter=2_000))).fit(FLIGHTS, TWO),
        {"late": LATE.head(ROWS).tolist()},
        "mae:late",
        metadata={"outputs": ["late", "early"]},
        output=np.zeros((1, 2)),
    ),
    "pyfunc-score": Kind(
        lambda: pyfunc(lambda frame: (frame["hour"] > 14) * 0.8 + 0.1),
        labels(LATE.map({0: "on time", 1: "late"})),
        "accuracy",
        metadata={"task": "binary", "classes": ["on time", "late"]},
    ),
    "pyfunc-scores": Kind(
        lambda: pyfunc(lambda frame: np.eye(3)[frame["hour"] // 8]),
        labels(BAND),
        "accuracy",
        metadata={"task": "multiclass", "classes": ["night", "day", "evening"]},
    ),
    "pyfunc-labels": Kind(
        lambda: pyfunc(lambda frame: [["night", "day", "evening"][hour // 8] for hour in frame["hour"]]),
        labels(BAND),
        "accuracy",
        output=["night"],
    ),
    "pyfunc-number": Kind(
        lambda: pyfunc(lambda frame: pd.DataFrame({"delay": 2.0 * frame["hour"]})), labels(DELAY), "mae"
    ),
    "pyfunc-numbers": Kind(
        lambda: pyfunc(lambda frame: pd.DataFrame({"dep_delay": 2.0 * frame["hour"], "arr_delay": 1 * frame["hour"]})),
        {name: BOTH[name].head(ROWS).tolist() for name in BOTH},
        "mae:dep_delay",
    ),
    "pyfunc-columns": Kind(
        lambda: pyfunc(lambda frame: {"low": frame["hour"].to_numpy() * 1.0, "high": frame["hour"].to_numpy() * 2.0}),
        {"high": DELAY.head(ROWS).tolist()},
        "mae:high",
    ),
    "pyfunc-matrix": Kind(
        lambda: pyfunc(lambda matrix: matrix[:, 0] * 2.0), labels(DELAY), "mae", inputs=NUMBERS
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("kinds")
    uri = registered(folder)
    deployments = {
        name: {
            "stable": f"models:/{name}/1",
            "default": name == "binary",
            "plans": PLANS,
            "guardrails": ["error_rate", kind.guardrail],
        }
        for name, kind in KINDS.items()
    }
    gateway = Gateway(folder / "gw", {"registry": uri, "deployments": deployments})
    try:
        gateway.start(ready=False)
        until(lambda: gateway.is_ready() and all(known(gateway, name) for name in KINDS), 240.0, 0.5)
        yield gateway
    finally:
        gateway.close()


def known(gateway: Gateway, name: str) -> bool:
    return gateway.data.get(f"/v2/models/{name}").status_code == 200


def registered(folder: Path) -> str:
    """Log and register one model of each kind, as its author would; returns the registry's address."""
    import mlflow
    import mlflow.pyfunc
    import mlflow.sklearn
    from mlflow.models import infer_signature

    uri = f"sqlite:///{folder}/mlflow.db"
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's and SQLAlchemy's, to the author of a model
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        mlflow.create_experiment("kinds", artifact_location=(folder / "artifacts").as_uri())
        mlflow.set_experiment("kinds")
        for name, kind in KINDS.items():
            model = kind.make()
            python = isinstance(model, mlflow.pyfunc.PythonModel)
            example = kind.inputs.head(1)
            signature = infer_signature(
                example.to_numpy() if name == "pyfunc-matrix" else example, np.asarray(kind.output)
            )
            with mlflow.start_run():
                (mlflow.pyfunc if python else mlflow.sklearn).log_model(
                    **(
                        {"python_model": model}
                        if python
                        else {"sk_model": model, "serialization_format": "cloudpickle"}
                    ),
                    name="model",
                    registered_model_name=name,
                    pip_requirements=["scikit-learn"],
                    signature=signature,
                    input_example=example.to_numpy() if name == "pyfunc-matrix" else example,
                    metadata=dict(kind.metadata),
                )
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
    return uri


def rows_of(name: str) -> list[dict[str, Any]]:
    first = KINDS[name].inputs.head(ROWS)
    if name == "pyfunc-matrix":
        first = first.rename(columns={"hour": "x0", "distance": "x1"})
    return [{str(key): value for key, value in row.items()} for row in first.to_dict(orient="records")]


def expected(name: str) -> list[Any]:
    """What the model itself answers, asked by its author."""
    kind = KINDS[name]
    model, first = kind.make(), kind.inputs.head(ROWS)
    if not name.startswith("pyfunc"):
        found = np.asarray(model.predict(first))
        names = kind.metadata.get("outputs", [f"y{index}" for index in range(found.shape[-1])])
        return [dict(zip(names, row, strict=True)) for row in found.tolist()] if found.ndim == 2 else found.tolist()
    found = model.predict(first.to_numpy() if name == "pyfunc-matrix" else first)
    if isinstance(found, dict):
        found = pd.DataFrame(found)
    if isinstance(found, pd.DataFrame):
        return found["delay"].tolist() if "delay" in found else found.to_dict(orient="records")
    classes = kind.metadata.get("classes")
    found = np.asarray(found)
    if classes and found.ndim == 2:
        return [classes[index] for index in found.argmax(axis=1)]
    return [classes[int(score >= 0.5)] for score in found] if classes else found.tolist()


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_goes_the_whole_way(gateway: Gateway, name: str) -> None:
    candidate = {"model": f"models:/{name}/1", "plan": "half"}
    started = gateway.control.post(f"/admin/deployments/{name}/canary", json=candidate, timeout=60.0)
    assert started.status_code == 201, started.text
    until(lambda: arms(gateway, name) == {"stable", "canary"}, 30.0)

    instances = [{"features": row} for row in rows_of(name)]
    said = gateway.data.post(f"/predict/{name}", json={"instances": instances}, timeout=60.0)
    assert said.status_code == 200, said.text
    predictions = said.json()["predictions"]
    if "Forest" not in str(KINDS[name].make):
        assert [each["prediction"] for each in predictions] == approximately(expected(name))

    ids = [each["prediction_id"] for each in predictions]
    items = [
        {"prediction_id": each, "outcome": truth, "metric": metric}
        for metric, values in KINDS[name].truth.items()
        for each, truth in zip(ids, values, strict=True)
    ]
    assert gateway.tell(*items).json()["accepted"] == len(items)
    seen = record(gateway, ids[0], 5.0)
    assert seen["label"] == predictions[0]["prediction"] or seen["scores"] == predictions[0]["prediction"]
    assert {each["metric"] for each in seen["outcomes"]} == KINDS[name].truth.keys()

    judged = until(lambda: finding(gateway, name), 20.0)
    assert judged["finding"] in ("inconclusive", "pass")
    assert min(judged["n_stable"], judged["n_candidate"]) > 20


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_scored_alike_by_every_protocol(gateway: Gateway, name: str) -> None:
    rows = rows_of(name)[:5]
    said = gateway.data.post(f"/predict/{name}", json={"instances": [{"features": row} for row in rows]}).json()
    plain = [each["prediction"] for each in said["predictions"]]
    scored = gateway.data.post(f"/invocations/{name}", json={"dataframe_records": rows})
    assert scored.json()["predictions"] == plain, scored.text
    metadata = gateway.data.get(f"/v2/models/{name}").json()
    inputs = [
        {**{key: each[key] for key in ("name", "datatype")}, "shape": [5], "data": [row[each["name"]] for row in rows]}
        for each in metadata["inputs"]
    ]
    inferred = gateway.data.post(f"/v2/models/{name}/infer", json={"inputs": inputs})
    assert inferred.status_code == 200, inferred.text
    [told] = [each for each in inferred.json()["outputs"] if each["name"] == "prediction"]
    [promised] = [each for each in metadata["outputs"] if each["name"] == "prediction"]
    assert (told["datatype"], told["shape"]) == (promised["datatype"], [5, *promised["shape"][1:]])
    flat = [number for each in plain for number in (each.values() if isinstance(each, dict) else [each])]
    assert told["data"] == flat


def test_a_guardrail_of_an_output_that_there_is_not_is_refused(gateway: Gateway) -> None:
    candidate = {"model": "models:/two-numbers/1", "name": "b", "guardrails": [{"metric": "mae:taxi"}], "plan": "half"}
    said = gateway.control.post("/admin/deployments/two-numbers/canary", json=candidate)
    assert said.status_code == 422
    assert "there is no output 'taxi' here, only dep_delay, arr_delay" in said.text


def approximately(values: list[Any]) -> Any:
    if isinstance(values[0], dict):
        return [pytest.approx(each) for each in values]
    return pytest.approx(values) if isinstance(values[0], float) else values


def arms(gateway: Gateway, name: str) -> set[str]:
    body = {"instances": [{"features": rows_of(name)[0]}] * 30}
    said = gateway.data.post(f"/predict/{name}", json=body)
    return {each["variant"] for each in said.json()["predictions"]}


def finding(gateway: Gateway, name: str) -> dict[str, Any] | None:
    """What the judge says of the kind's guardrail, once it has judged what was told."""
    said = gateway.control.get(f"/admin/deployments/{name}/verdict").json()
    [found] = [each for each in said["findings"] if each["metric"] == KINDS[name].guardrail]
    return dict(found) if found["n_stable"] + found["n_candidate"] >= ROWS else None
