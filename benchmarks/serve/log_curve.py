"""How a request's cost grows with the log: a whole gateway - worker, agent, store - on a log that was filled before.

The log is the served deployment's own, in SQLite, and the agent drains into it while the worker is loaded; what is
counted is the worker's processor time per request. What a long log costs the agent's joins and looks is measured up to
10^7 predictions by ``python -m benchmarks.size``.
"""

from collections.abc import Sequence
from pathlib import Path

import joblib

from benchmarks.serve import load
from benchmarks.serve.curves import CONNECTIONS, Step
from benchmarks.serve.house import inputs_of
from benchmarks.serve.progress import say
from benchmarks.serve.world import World
from benchmarks.size import loading
from benchmarks.size.population import Population
from gateway.adapters.models.joblib_folder import save
from gateway.adapters.store import open_store
from tests.control_house import NAME
from tests.e2e.harness import Gateway, until

LENGTHS = (10_000, 100_000, 1_000_000)
_RATE = 100.0


def measure(world: World, scratch: Path, seconds: float, lengths: Sequence[int]) -> list[Step]:
    """One point per length of the log."""
    registry = world.folder / "log-registry"
    estimator = joblib.load(world.model("logistic"))
    save(registry, "logistic", "1", estimator, inputs=inputs_of(estimator.n_features_in_))
    return [_point(registry, scratch, seconds, length) for length in lengths]


def _point(registry: Path, scratch: Path, seconds: float, length: int) -> Step:
    say(f"a log of {length:,}")
    folder = scratch / f"log-{length}"
    folder.mkdir()
    _fill(folder / "store.db", length)
    gateway = Gateway(
        folder,
        {
            "store": f"sqlite:{folder / 'store.db'}",
            "registry": f"joblib:{registry}",
            "max_concurrency": 1_024,
            "deployments": {NAME: {"stable": "models:/logistic/1"}},
        },
    )
    try:
        gateway.start(ready=False)
        until(gateway.is_ready, 180.0)
        [worker] = gateway.children("worker")
        url = f"{gateway.data.base_url}/predict".replace("//predict", "/predict")
        points = [
            load.run(url, "features", CONNECTIONS, seconds, scratch, 10**7 + length + turn, worker) for turn in range(3)
        ]
        best = max(points[1:], key=lambda point: point.rps)
        return Step(length, best.rps, best.cpu_us, best.p50, load.resident_mb(worker))
    finally:
        gateway.close()


def _fill(path: Path, length: int) -> None:
    open_store(f"sqlite:{path}").close()
    loading.fill_sqlite(path, Population(length, _RATE, "gone-stable", "gone-canary"), lambda _: None)
