"""Starts real gateways: a supervisor with its workers and agent, in a state folder of their own, on free ports.

``Gateway`` is for tests that need processes; everything it starts ends with it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import httpx
import numpy as np
import numpy.typing as npt
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from gateway.adapters.models.joblib_folder import save
from gateway.core.deployments import Field, Task, Type
from tests.e2e.deadly import Deadly

DEPLOYMENT = "churn"
INPUTS = (Field("age", Type.NUMBER, example=40.0), Field("visits", Type.NUMBER, example=3.0))

_START_S = 120.0
"""How long a start may take on a machine that does other things: it takes three seconds on one that does not."""
_Found = TypeVar("_Found")


def until(look: Callable[[], _Found | None], longest_s: float = 10.0, every_s: float = 0.05) -> _Found:
    """Look until there is something to see; fail loudly after ``longest_s`` seconds."""
    deadline = time.monotonic() + longest_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{getattr(look, '__name__', look)} saw nothing within {longest_s:g} s")
        time.sleep(every_s)


@dataclass
class Gateway:
    """One gateway on one folder; ``config`` is its ``gateway.yaml``, ports and state folder aside."""

    folder: Path
    config: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None
    data: httpx.Client = field(default_factory=httpx.Client)
    control: httpx.Client = field(default_factory=httpx.Client)

    @property
    def state(self) -> Path:
        """Its state folder."""
        return self.folder / "state"

    @property
    def log(self) -> str:
        """Everything it has said so far."""
        path = self.folder / "gateway.log"
        return path.read_text() if path.exists() else ""

    def start(self, *, ready: bool = True) -> "Gateway":
        """Start it; with ``ready`` wait until traffic is welcome."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {"state_dir": str(self.state), "data_port": 0, "control_port": 0, **self.config}
        (self.folder / "gateway.yaml").write_text(yaml.safe_dump(settings))
        (self.state / "run" / "addresses.json").unlink(missing_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        with (self.folder / "gateway.log").open("ab") as log:
            command = [sys.executable, "-m", "gateway", "serve", "--config", str(self.folder / "gateway.yaml")]
            self.process = subprocess.Popen(command, stderr=log, env=environment)
        addresses = until(self._addresses, _START_S)
        self.data.close()
        self.control.close()
        self.data = httpx.Client(base_url=addresses["data"], timeout=10.0)
        self.control = httpx.Client(base_url=addresses["control"], timeout=60.0)  # models open twice before they start
        if ready:
            until(self.is_ready, _START_S)
        return self

    def _addresses(self) -> dict[str, str] | None:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the gateway ended at once:\n{self.log}")
        path = self.state / "run" / "addresses.json"
        try:
            found: dict[str, str] = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return found

    def is_ready(self) -> bool:
        """Whether the worker that was asked welcomes traffic."""
        try:
            return self.data.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, longest_s: float = 20.0) -> int:
        """SIGTERM, and wait; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(longest_s)

    def close(self) -> None:
        """End it, whatever state it is in."""
        self.data.close()
        self.control.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()  # the children are tied to it and end by themselves
            self.process.wait()

    def children(self, module: str) -> list[int]:
        """Process ids of its ``worker`` or ``agent`` children."""
        assert self.process is not None
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [pid for pid in map(int, listed.split()) if f"gateway.processes.{module}" in _command(pid)]

    def predict(self, age: float = 40.0, visits: float = 3.0, **said: Any) -> dict[str, Any]:
        """One prediction that has to succeed."""
        answer = self.data.post("/predict", json={"features": {"age": age, "visits": visits}, **said})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def tell(self, *items: dict[str, Any]) -> httpx.Response:
        """Feedback."""
        return self.data.post("/feedback", json={"items": list(items)})

    def deployment(self) -> dict[str, Any]:
        """The deployment as operators see it."""
        found: dict[str, Any] = self.control.get(f"/admin/deployments/{DEPLOYMENT}").json()
        return found

    def variant(self, name: str) -> dict[str, Any] | None:
        """One of its variants, if it is there."""
        return next((one for one in self.deployment()["variants"] if one["name"] == name), None)

    def timeline(self) -> list[dict[str, Any]]:
        """Every decision about the deployment, the latest first."""
        answer = self.control.get(f"/admin/deployments/{DEPLOYMENT}/timeline")
        found: list[dict[str, Any]] = answer.json()["decisions"]
        return found

    def live(self, random: Random, people: int = 40, at: float | None = None) -> None:
        """Some customers ask, at data time ``at``, and what became of them is told: whoever is over 30 leaves."""
        ages = [random.uniform(0.0, 60.0) for _ in range(people)]
        visits = [float(random.randrange(10)) for _ in ages]
        body = {"instances": [{"features": {"age": a, "visits": v}} for a, v in zip(ages, visits, strict=True)]}
        headers = {} if at is None else {"X-Event-Time": str(at)}
        answer = self.data.post("/predict", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        items = [
            {"prediction_id": said["prediction_id"], "outcome": int(age > 30.0)}
            for said, age in zip(answer.json()["predictions"], ages, strict=True)
        ]
        assert self.tell(*items).status_code == 202

    def ledger(self, settle_s: float = 5.0) -> dict[str, Any]:
        """The books, drained."""
        found: dict[str, Any] = self.control.get("/admin/ledger", params={"settle_s": settle_s}).json()
        return found

    def sample(self, name: str) -> dict[str, float]:
        """Every series of one metric in ``/metrics``, by its labels as written."""
        lines = self.control.get("/metrics").text.splitlines()
        hits = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        return {line.rpartition(" ")[0].removeprefix(name): float(line.rpartition(" ")[2]) for line in hits}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except FileNotFoundError:
        return ""


def train(folder: Path, version: str, *, right: bool = True) -> None:
    """Write a small real model: whoever is over 30 churns - or, wrongly, whoever is not."""
    rows, truth = people(int(version))
    answer = truth if right else 1 - truth
    save(folder, DEPLOYMENT, version, LogisticRegression(max_iter=1_000).fit(rows, answer), inputs=INPUTS)


def train_fragile(folder: Path, version: str) -> None:
    """Write a model that is right, but has never seen more than five visits and raises when it does."""
    rows, truth = people(int(version))
    seen = rows[:, 1] <= 5
    columns = ColumnTransformer([("visits", OneHotEncoder(handle_unknown="error"), [1])], remainder="passthrough")
    model = Pipeline([("columns", columns), ("answer", LogisticRegression(max_iter=1_000))])
    save(folder, DEPLOYMENT, version, model.fit(rows[seen], truth[seen]), inputs=INPUTS)


def train_deadly(folder: Path, version: str) -> None:
    """Write a model that kills the worker it runs in when it meets more than five visits."""
    save(folder, DEPLOYMENT, version, Deadly(), task=Task.BINARY, classes=(0, 1), inputs=INPUTS)


def people(seed: int) -> "tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]":
    random = np.random.default_rng(seed)
    rows = np.column_stack([random.uniform(0.0, 60.0, 600), random.integers(0, 10, 600).astype(float)])
    return rows, (rows[:, 0] > 30.0).astype(np.int64)


def with_better_ones(folder: Path, said: dict[str, Any], *versions: str) -> Gateway:
    """A gateway, not started, whose stable is always wrong and whose other ``versions`` are right.

    Unless ``said`` otherwise, predictions do not influence labels, so that a shadow may rise on pairs.
    """
    train(folder / "models", "1", right=False)
    for version in versions:
        train(folder / "models", version)
    return Gateway(folder, simple_config(folder, deployment={"labels_independent": True, **said}))


def simple_config(folder: Path, **said: Any) -> dict[str, Any]:
    """A gateway that serves version 1 of the small model from a joblib folder, without Feast."""
    deployment = {
        "stable": f"models:/{DEPLOYMENT}/1",
        "guardrails": ["error_rate", "accuracy"],
        **said.pop("deployment", {}),
    }
    return {"registry": f"joblib:{folder / 'models'}", "deployments": {DEPLOYMENT: deployment}, **said}
