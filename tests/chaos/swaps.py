"""Models swapped under load: what callers saw, and what it cost. ``python -m tests.chaos.rollouts`` runs it at length.

Every model answers ``1000 x version + the row's value``, so one number proves which model answered whom: an answer
that does not fit the version and the row it names is a *wrong-arm* answer.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sklearn.linear_model import LinearRegression

from gateway.adapters.models.joblib_folder import save
from gateway.core.deployments import Field, Task, Type
from tests.e2e.harness import DEPLOYMENT, Gateway, until

VERSIONS = 4
PLANS = {"share": [{"weight": 0.5, "events": 1_000_000_000}]}
_STEP = 1_000.0
_CLOSE = 1e-6


def config(folder: Path, workers: int = 1) -> dict[str, Any]:
    """A gateway over four models that a number tells apart."""
    rows = np.array([[0.0], [1.0]])
    for version in range(1, VERSIONS + 1):
        model = LinearRegression().fit(rows, rows[:, 0] + _STEP * version)
        inputs = (Field("value", Type.NUMBER, example=1.0),)
        save(folder / "models", DEPLOYMENT, str(version), model, task=Task.REGRESSION, inputs=inputs)
    deployment = {"stable": f"models:/{DEPLOYMENT}/1", "plans": PLANS, "keep_previous": 1}
    return {"registry": f"joblib:{folder / 'models'}", "workers": workers, "deployments": {DEPLOYMENT: deployment}}


@dataclass
class Load:
    """Callers who never stop, and what they were answered."""

    url: str
    answers: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def call(self, caller: int) -> None:
        """Ask until it is over."""
        with httpx.Client(base_url=self.url, timeout=10.0) as client:
            for number in itertools.count():
                if self.over.is_set():
                    return
                self._ask(client, float((caller * 97 + number) % 900))

    def _ask(self, client: httpx.Client, value: float) -> None:
        try:
            answer = client.post("/predict", json={"features": {"value": value}})
        except httpx.HTTPError as error:
            self.failed.append(type(error).__name__)
            return
        if answer.status_code != 200:
            self.failed.append(f"{answer.status_code} {answer.text}")
            return
        said = answer.json()
        self.answers[said["model_version"]] += 1
        if abs(said["prediction"] - (_STEP * int(said["model_version"]) + value)) > _CLOSE:
            self.wrong.append(f"{said['prediction']} from version {said['model_version']} for {value}")


@contextmanager
def loaded(gateway: Gateway, callers: int = 2) -> Iterator[Load]:
    """Keep so many callers asking."""
    load = Load(str(gateway.data.base_url))
    threads = [threading.Thread(target=load.call, args=(caller,), daemon=True) for caller in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.over.set()
        for thread in threads:
            thread.join(20.0)


def swap_twice(gateway: Gateway, version: int) -> list[float]:
    """Start a version, let it share, promote it, and roll back: two swaps of stable. Returns how long each took."""
    candidate = {"model": f"models:/{DEPLOYMENT}/{version}", "plan": "share"}
    tell(gateway, "canary", candidate)
    until(lambda: (gateway.variant("canary") or {}).get("phase") == "running", 20.0)
    before = int(gateway.deployment()["variants"][0]["model_version"])
    return [_swapped(gateway, "promote", version), _swapped(gateway, "rollback", before)]


def _swapped(gateway: Gateway, signal: str, version: int) -> float:
    start = time.monotonic()
    tell(gateway, signal, {})
    until(lambda: ask(gateway)["model_version"] == str(version), 5.0, 0.005)
    return time.monotonic() - start


def ask(gateway: Gateway) -> dict[str, Any]:
    """One prediction that has to succeed."""
    answer = gateway.data.post("/predict", json={"features": {"value": 1.0}})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def tell(gateway: Gateway, signal: str, body: dict[str, Any]) -> None:
    """An operator's signal that has to be taken."""
    answer = gateway.control.post(f"/admin/deployments/{DEPLOYMENT}/{signal}", json=body, timeout=60.0)
    assert answer.status_code in (200, 201), answer.text


def resident_mib(gateway: Gateway, process: str = "worker") -> float:
    """Memory of all workers together, or of the agent, in MiB."""
    found = 0
    for pid in gateway.children(process):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        found += int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])
    return found / 1024.0
