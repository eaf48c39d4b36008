"""The gateway that a reader of the docs has before them after `make demo`: flight-delay, version 5 stable.

It serves the committed ``gateway.yaml``; its models are small ones with the example's inputs, in a folder, so that
neither the flights nor Feast nor MLflow are needed.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gateway.adapters.models.joblib_folder import ALIASES_FILE, save
from gateway.core.deployments import Field, Type
from models.flights.estimators import REQUEST_COLUMNS, FlightEncoder
from tests.docs.pages import ROOT
from tests.e2e.harness import Gateway, until

FLIGHTS = "flight-delay"
ADMIN = f"/admin/deployments/{FLIGHTS}"
_TYPES = {int: Type.INTEGER, float: Type.NUMBER, str: Type.STRING}
_INPUTS = tuple(Field(name, _TYPES[kind]) for name, kind in REQUEST_COLUMNS.items())


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """It runs as long as the tests do; ask for ``served`` to find it as the demo leaves it."""
    folder = tmp_path_factory.mktemp("docs")
    for version in range(1, 6):
        save(folder / "models", FLIGHTS, str(version), _model(version), inputs=_INPUTS)
    (folder / "models" / FLIGHTS / ALIASES_FILE).write_text('{"champion": "1"}')
    gateway = Gateway(folder, _config(folder))
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.fixture
def served(flights: Gateway) -> Gateway:
    """No candidate alive, version 5 stable."""
    for variant in _state(flights)["variants"]:
        if variant["phase"] in ("preparing", "running", "waiting", "paused"):
            flights.control.post(f"{ADMIN}/demote", json={"candidate": variant["name"]})
    if _stable(flights) != "5":
        started = flights.control.post(f"{ADMIN}/canary", json={"model": f"models:/{FLIGHTS}/5", "plan": "direct"})
        assert started.status_code == 201, started.text
        until(lambda: _phase(flights) == "running", 20.0)
        assert flights.control.post(f"{ADMIN}/promote").status_code == 200
    until(lambda: _stable(flights) == "5")
    return flights


def _config(folder: Path) -> dict[str, Any]:
    """The committed file but for where things lie, and who trains again."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "gateway.yaml").read_text())
    elsewhere = ("state_dir", "features", "registry")
    config["deployments"][FLIGHTS]["retraining"] = {"target": {"command": ["echo", "trained"]}}
    return {name: value for name, value in config.items() if name not in elsewhere} | {
        "registry": f"joblib:{folder / 'models'}"
    }


def _model(seed: int) -> Any:
    random = Random(seed)
    flights = [_flight(random) for _ in range(300)]
    late = [int(flight[4] >= 16 or random.random() < 0.1) for flight in flights]
    return make_pipeline(FlightEncoder(), StandardScaler(), LogisticRegression()).fit(flights, late)


def _flight(random: Random) -> list[Any]:
    carrier, origin, dest = random.choice(("UA", "B6")), random.choice(("EWR", "JFK")), random.choice(("IAH", "BOS"))
    at, hour = 1_360_000_000 + random.randrange(2_000_000), random.randrange(5, 23)
    return [carrier, origin, dest, at, hour, random.randrange(1, 8), random.randrange(190, 2_500), 120]


def _state(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.control.get(ADMIN).json()
    return found


def _stable(gateway: Gateway) -> str:
    return next(str(each["model_version"]) for each in _state(gateway)["variants"] if each["role"] == "stable")


def _phase(gateway: Gateway) -> str | None:
    return next((each["phase"] for each in _state(gateway)["variants"] if each["role"] == "candidate"), None)
