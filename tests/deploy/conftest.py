"""A gateway in which everything happens: stored features, a candidate that raises, a shadow, outcomes, forgeries."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from gateway.adapters.models.joblib_folder import save
from gateway.core.deployments import Field, Type
from tests.e2e.harness import Gateway, until
from tests.feast_sandbox import FeastSandbox

INPUTS = (Field("ratio", Type.NUMBER), Field("count", Type.INTEGER), Field("age", Type.NUMBER))
ADMIN = "/admin/deployments/risk"


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory, sqlite_repo: FeastSandbox) -> Iterator[Gateway]:
    """It has answered, failed, watched, learned and refused by the time a test asks it."""
    folder = tmp_path_factory.mktemp("busy")
    random = np.random.default_rng(3)
    rows = np.column_stack([random.uniform(0, 1, 200), random.integers(0, 9, 200), random.integers(0, 5, 200)])
    truth = (rows[:, 0] > 0.5).astype(int)
    columns = ColumnTransformer([("age", OneHotEncoder(handle_unknown="error"), [2])], remainder="passthrough")
    fragile = Pipeline([("columns", columns), ("answer", LogisticRegression(max_iter=1_000))]).fit(rows, truth)
    save(folder / "models", "risk", "1", LogisticRegression(max_iter=1_000).fit(rows, truth),
         feature_service="small", inputs=INPUTS)  # fmt: skip
    save(folder / "models", "risk", "2", fragile, feature_service="small", inputs=INPUTS)
    deployment = {
        "stable": "models:/risk/1",
        "features": {"ratio": {"default": 0.5}, "count": {"default": 1}},
        "features_budget": "500ms",
        "plans": {"half": [{"weight": 0.5, "events": 1_000_000}], "watch": [{"shadow": 1.0, "events": 1_000_000}]},
        "guardrails": [
            {"metric": "error_rate", "dry_run": True},
            {"metric": "value:never_told", "low": 0.0, "high": 1.0, "absolute": 0.9},
        ],
    }
    config = {
        "registry": f"joblib:{folder / 'models'}",
        "features": str(sqlite_repo.path),
        "deployments": {"risk": deployment},
        "workers": 2,
    }
    gateway = Gateway(folder, config)
    try:
        gateway.start(ready=False)
        until(gateway.is_ready, 120.0)
        yield _lived(gateway)
    finally:
        gateway.close()


def _lived(gateway: Gateway) -> Gateway:
    for name, plan in (("canary", "half"), ("watcher", "watch")):
        body = {"model": "models:/risk/2", "plan": plan, "name": name}
        assert gateway.control.post(f"{ADMIN}/canary", json=body, timeout=60.0).status_code == 201
    until(lambda: _phases(gateway) >= {"canary": "running", "watcher": "running"}.items(), 60.0)
    until(lambda: gateway.sample("gateway_workers") == {"": 2.0}, 60.0)
    live(gateway)
    until(lambda: gateway.sample("gateway_live_accuracy"), 60.0)
    until(lambda: gateway.sample("gateway_shadows_dropped_total") and gateway.sample("gateway_fallbacks_total"), 60.0)
    return gateway


def _phases(gateway: Gateway) -> Any:
    return {each["name"]: each["phase"] for each in gateway.control.get(ADMIN).json()["variants"]}.items()


def live(gateway: Gateway, requests: int = 30) -> None:
    """Applications ask and tell, some of them nonsense."""
    for number in range(requests):
        user, age = (7, 999)[number % 2], (3.0, 50.0)[number % 3 == 0]
        body = {"entities": {"user_id": user}, "features": {"age": age}}
        answer = gateway.data.post("/predict", json=body)
        assert answer.status_code == 200, answer.text
        gateway.tell({"prediction_id": answer.json()["prediction_id"], "outcome": number % 2})
    many = [{"entities": {"user_id": 7}, "features": {"age": 3.0}}] * 1_000  # more than a shadow's queue holds
    assert gateway.data.post("/predict", json={"instances": many}).status_code == 200
    gateway.tell({"prediction_id": "forged", "outcome": 1})
