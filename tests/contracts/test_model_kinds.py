"""Every kind of model goes the whole way: loaded, asked, recorded, told the truth, judged - through one gateway.

They are MLflow models, written by MLflow into folders and named by ``file:``. A new kind adds one entry to ``KINDS``.
"""

import importlib
import inspect
import tempfile
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
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.svm import LinearSVC

from tests.e2e.contract import PLANS, record
from tests.e2e.harness import Gateway, until

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*Any type hint is inferred as AnyType",  # MLflow's, about its own classes, when it is imported
    ),
    pytest.mark.timeout(600),
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
        def predict(self, model_input):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - MLflow would enforce hints
            return answer(model_input)

    return Answering()


def delays(frame: pd.DataFrame) -> Any:
    return (2.0 * frame["hour"] + 10.0 * (frame["carrier"] == "EV")).to_numpy()


def onnx(estimator: Any) -> Any:
    from skl2onnx import to_onnx

    return to_onnx(estimator, np.zeros((1, 2), np.float32))


def travelling() -> Any:
    """An estimator of the author's own module, which travels with it (``code_paths``)."""
    MODULE.write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MODULE.parent))
        return importlib.import_module("their_delays").Delays().fit(FLIGHTS)


MODULE = Path(tempfile.mkdtemp(), "their_delays.py")
SOURCE = """
from sklearn.base import BaseEstimator, RegressorMixin

class Delays(RegressorMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_, self.feature_names_in_ = X.shape[1], list(X.columns)
        return self
    def predict(self, X):
        return (2.0 * X["hour"] + 10.0 * (X["carrier"] == "EV")).to_numpy()
"""


@dataclass(frozen=True)
class Kind:
    """A model, what it is fitted on, what is the truth about its answers, and what judges it.

    ``truth`` is by outcome metric, ``output`` something that the signature's outputs are inferred from. ``says`` is how
    much its author says of what it takes: a signature, an example only, or nothing.
    """

    make: Callable[[], Any]
    truth: Mapping[str, Sequence[Any]]
    guardrail: str
    inputs: pd.DataFrame = field(default_factory=lambda: FLIGHTS)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    output: Any = 0.0
    says: str = "signature"


def labels(values: "pd.Series[Any]") -> dict[str, list[Any]]:
    return {"label": values.head(ROWS).tolist()}


KINDS: dict[str, Kind] = {
    "binary": Kind(lambda: encoded(LogisticRegression(max_iter=2_000)).fit(FLIGHTS, LATE), labels(LATE), "accuracy"),
    "multiclass": Kind(lambda: encoded(RandomForestClassifier(10)).fit(FLIGHTS, BAND), labels(BAND), "accuracy"),
    "labels-only": Kind(lambda: encoded(LinearSVC()).fit(FLIGHTS, LATE), labels(LATE), "accuracy"),
    "regressor": Kind(lambda: ordinal(HistGradientBoostingRegressor()).fit(FLIGHTS, DELAY), labels(DELAY), "rmse"),
    "two-numbers": Kind(
        lambda: encoded(RandomForestRegressor(10)).fit(FLIGHTS, BOTH),
        {str(name): BOTH[name].head(ROWS).tolist() for name in BOTH},
        "mae:arr_delay",
        metadata={"outputs": ["dep_delay", "arr_delay"]},
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
        {str(name): BOTH[name].head(ROWS).tolist() for name in BOTH},
        "mae:dep_delay",
    ),
    "pyfunc-example": Kind(lambda: pyfunc(delays), labels(DELAY), "mae", says="example"),
    "pyfunc-mute": Kind(lambda: pyfunc(delays), labels(DELAY), "mae", says="nothing"),
    "onnx": Kind(
        lambda: onnx(LogisticRegression(max_iter=2_000).fit(NUMBERS.to_numpy(np.float32), LATE)),
        labels(LATE),
        "accuracy",
        inputs=NUMBERS.astype(np.float32),
        metadata={"task": "binary", "classes": [0, 1]},
    ),
    "modules": Kind(lambda: travelling(), labels(DELAY), "mae"),
    "pyfunc-matrix": Kind(
        lambda: pyfunc(lambda matrix: matrix[:, 0] * 2.0), labels(DELAY), "mae", inputs=NUMBERS
    ),
}  # fmt: skip


URIS: dict[str, str] = {}
MATRICES = ("pyfunc-matrix", "onnx")
DECLARED = {"carrier": {"type": "string"}, "hour": {"type": "integer"}, "distance": {"type": "number"}}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("kinds")
    URIS.update({name: written(folder, name) for name in KINDS})
    deployments = {
        name: {
            "stable": URIS[name],
            "default": name == "binary",
            "plans": PLANS,
            "pickles": "refuse" if name == "onnx" else "allow",
            **({"inputs": DECLARED} if kind.says == "nothing" else {}),
            "guardrails": ["error_rate", kind.guardrail],
        }
        for name, kind in KINDS.items()
    }
    config = {"registry": f"sqlite:///{folder}/mlflow.db", "model_folders": [str(folder)], "deployments": deployments}
    gateway = Gateway(folder / "gw", config)
    try:
        gateway.start(ready=False)
        until(
            lambda: gateway.is_ready() and all(known(gateway, name) for name in KINDS), 480.0, 0.5
        )  # models are opened one at a time
        yield gateway
    finally:
        gateway.close()


def known(gateway: Gateway, name: str) -> bool:
    return gateway.data.get(f"/v2/models/{name}").status_code == 200


def written(folder: Path, name: str) -> str:
    """Write a model of a kind, as its author would; returns its URI."""
    import mlflow.onnx
    import mlflow.pyfunc
    import mlflow.sklearn
    from mlflow.models import infer_signature

    kind, model = KINDS[name], KINDS[name].make()
    example = kind.inputs.head(1).to_numpy() if name in MATRICES else kind.inputs.head(1)
    about: dict[str, Any] = {"python_model": model}
    flavour = mlflow.pyfunc
    if name == "onnx":
        flavour, about = mlflow.onnx, {"onnx_model": model}
    elif not isinstance(model, mlflow.pyfunc.PythonModel):
        flavour, about = mlflow.sklearn, {"sk_model": model, "serialization_format": "cloudpickle"}
    about["input_example"] = None if kind.says == "nothing" else example
    if name == "modules":
        about["code_paths"] = [str(MODULE)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, to the author of a model
        about["signature"] = kind.says == "signature" and infer_signature(example, np.asarray(kind.output))
        flavour.save_model(
            path=str(folder / name), pip_requirements=["scikit-learn"], metadata=dict(kind.metadata), **about
        )
    return (folder / name).as_uri()


def rows_of(name: str) -> list[dict[str, Any]]:
    first = KINDS[name].inputs.head(ROWS)
    if name in MATRICES:
        first = first.rename(columns={"hour": "x0", "distance": "x1"})
    return [{str(key): value for key, value in row.items()} for row in first.to_dict(orient="records")]


def expected(name: str) -> list[Any]:
    """What the model itself answers, asked by its author."""
    kind = KINDS[name]
    model, first = kind.make(), kind.inputs.head(ROWS)
    if name == "onnx":
        return list(
            LogisticRegression(max_iter=2_000)
            .fit(NUMBERS.to_numpy(np.float32), LATE)
            .predict(first.to_numpy(np.float32))
        )
    if not name.startswith("pyfunc"):
        array = np.asarray(model.predict(first))
        names = kind.metadata.get("outputs", ())
        return [dict(zip(names, row, strict=True)) for row in array.tolist()] if array.ndim == 2 else array.tolist()
    answered = model.predict(first.to_numpy() if name == "pyfunc-matrix" else first)
    if isinstance(answered, pd.DataFrame):
        return answered["delay"].tolist() if "delay" in answered else answered.to_dict(orient="records")
    classes, array = kind.metadata.get("classes"), np.asarray(answered)
    if classes and array.ndim == 2:
        return [classes[index] for index in array.argmax(axis=1)]
    return [classes[int(score >= 0.5)] for score in array] if classes else array.tolist()


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_goes_the_whole_way(gateway: Gateway, name: str) -> None:
    candidate = {"model": URIS[name], "plan": "half"}
    started = gateway.control.post(f"/admin/deployments/{name}/canary", json=candidate, timeout=60.0)
    assert started.status_code == 201, started.text
    until(lambda: arms(gateway, name) == {"stable", "canary"}, 30.0)

    predictions = live(gateway, name)
    if "Forest" not in inspect.getsource(KINDS[name].make):  # forests of another fit answer otherwise
        assert [each["prediction"] for each in predictions] == approximately(expected(name))
    seen = until(lambda: told(gateway, predictions[0]["prediction_id"], len(KINDS[name].truth)), 10.0)
    assert predictions[0]["prediction"] == (seen["scores"] if seen["prediction"] is None else seen["prediction"])
    assert {each["metric"] for each in seen["outcomes"]} == KINDS[name].truth.keys()

    def judge() -> dict[str, Any] | None:
        live(gateway, name)
        return finding(gateway, name)

    judged = until(judge, 30.0, 0.3)
    assert judged["finding"] in ("inconclusive", "pass")
    assert min(judged["n_stable"], judged["n_candidate"]) > 20


def live(gateway: Gateway, name: str) -> list[dict[str, Any]]:
    """Ask for every row and tell the truth about it; returns the answers."""
    instances = [{"features": row} for row in rows_of(name)]
    said = gateway.data.post(f"/predict/{name}", json={"instances": instances}, timeout=60.0)
    assert said.status_code == 200, said.text
    predictions: list[dict[str, Any]] = said.json()["predictions"]
    items = [
        {"prediction_id": each["prediction_id"], "outcome": truth, "metric": metric}
        for metric, values in KINDS[name].truth.items()
        for each, truth in zip(predictions, values, strict=True)
    ]
    assert gateway.tell(*items).json()["accepted"] == len(items)
    return predictions


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
    candidate = {"model": URIS["two-numbers"], "name": "b", "guardrails": [{"metric": "mae:taxi"}], "plan": "half"}
    said = gateway.control.post("/admin/deployments/two-numbers/canary", json=candidate)
    assert said.status_code == 422
    assert "there is no output 'taxi' here, only dep_delay, arr_delay" in said.text


def told(gateway: Gateway, prediction_id: str, outcomes: int) -> dict[str, Any] | None:
    """A prediction as operators see it, once so many outcomes have joined it."""
    seen = record(gateway, prediction_id, 5.0)
    return seen if len(seen["outcomes"]) == outcomes else None


def approximately(values: list[Any]) -> Any:
    if isinstance(values[0], dict):
        return [pytest.approx(each) for each in values]
    return pytest.approx(values) if isinstance(values[0], float) else values


def arms(gateway: Gateway, name: str) -> set[str]:
    body = {"instances": [{"features": rows_of(name)[0]}] * 30}
    said = gateway.data.post(f"/predict/{name}", json=body)
    return {each["variant"] for each in said.json()["predictions"]}


def finding(gateway: Gateway, name: str) -> dict[str, Any] | None:
    """What the judge says of the kind's guardrail, once it has judged what was told, in several looks."""
    said = gateway.control.get(f"/admin/deployments/{name}/verdict").json()
    [found] = [each for each in said["guardrails"] if each["metric"] == KINDS[name].guardrail]
    return dict(found) if found["n_stable"] + found["n_candidate"] >= ROWS else None
