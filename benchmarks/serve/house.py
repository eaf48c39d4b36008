"""One worker of the gateway on a state folder made by hand, as its agent would leave it: ``build``, then ``start``.

The agent is left out, so that what is measured is the worker: its prepared models and tables are on disk, its log
grows in the spool (what is sealed is deleted between points, as the agent does once it is stored).
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import joblib

from benchmarks.serve.world import SERVICE, World, names_of
from gateway.adapters.features import open_compiler
from gateway.adapters.models import JoblibFolder, ModelCache
from gateway.adapters.models.joblib_folder import save
from gateway.core.deployments import Durability, Field, Inputs, ModelCard, ServingRules, Task, Type
from gateway.core.features import NO_FEATURES, FeaturePlan
from gateway.core.ids import tag_of
from gateway.core.routing import Part, RoutingTable, Shadow
from gateway.processes.tables import leave_on_disk
from gateway.settings import Settings, freeze

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""In the environment of everybody who is measured: two cores are shared, and waiting threads spin."""
ENTITIES = (Field("user_id", Type.INTEGER), Field("merchant_id", Type.STRING))


def inputs_of(width: int) -> tuple[Field, ...]:
    """The inputs of a model of this width."""
    return tuple(Field(name, Type.NUMBER, example=0.1) for name in names_of(width))


@dataclass
class House:
    """A state folder, and the workers that serve it; ``settings`` beside those that every worker here has."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    port: int = 0
    started_in_s: float = 0.0
    _beats: list[int] = field(default_factory=list)

    def start(self, workers: int = 1) -> "House":
        """Start workers as their supervisor would, and wait until they are ready."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        run = self.folder / "run"
        (run / "metrics").mkdir(parents=True, exist_ok=True)
        settings = Settings(
            state_dir=self.folder, max_spool=2**36, max_concurrency=1_024, **{"log_level": "warning", **self.settings}
        )
        (run / "settings.json").write_text(freeze(settings))
        environment = {**os.environ, **ONE_THREAD, "PROMETHEUS_MULTIPROC_DIR": str(run / "metrics")}
        began = time.monotonic()
        for index in range(workers):
            self._start_one(index, listener, environment)
        listener.close()
        until_ready(f"http://127.0.0.1:{self.port}/readyz", self.processes[0])
        self.started_in_s = time.monotonic() - began
        if workers > 1:
            time.sleep(2.0)  # the others are ready too; whom the kernel gives a connection is not ours to say
        return self

    def _start_one(self, index: int, listener: socket.socket, environment: dict[str, str]) -> None:
        reading, writing = os.pipe()
        said = {
            "settings": self.folder / "run" / "settings.json",
            "parent": os.getpid(),
            "listen": listener.fileno(),
            "beat": writing,
            "index": index,
        }
        command = [
            sys.executable,
            "-m",
            "gateway.processes.worker",
            *(f"--{key}={value}" for key, value in said.items()),
        ]
        self.processes.append(subprocess.Popen(command, pass_fds=(listener.fileno(), writing), env=environment))
        os.close(writing)
        self._beats.append(reading)  # kept open: a worker that cannot beat would be told

    @property
    def pid(self) -> int:
        """The first worker's process id."""
        return self.processes[0].pid if self.processes else 0

    def stop(self) -> None:
        """End the workers."""
        for process in self.processes:
            process.kill()
            process.wait()
        for reading in self._beats:
            os.close(reading)
        self.processes, self._beats = [], []

    def sweep(self) -> None:
        """Delete what is sealed, as the agent does with what it has stored."""
        segments = sorted((self.folder / "spool").glob("*.seg"))
        for path in segments[:-2]:
            path.unlink(missing_ok=True)


def until_ready(url: str, process: "subprocess.Popen[bytes]", longest_s: float = 180.0) -> None:
    """Wait until ``url`` answers 200. Raises RuntimeError where its process ends first, or time is up."""
    deadline = time.monotonic() + longest_s
    with httpx.Client(timeout=5.0) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if client.get(url).status_code < 500:
                    return
            except httpx.TransportError:
                time.sleep(0.005)
    raise RuntimeError(f"nobody answers at {url}")


def build(world: World, folder: Path, tables: Mapping[str, str], *, shadows: Mapping[str, int] = {}) -> House:
    """Prepare the models and leave the tables: deployment name to model name.

    A deployment whose name begins with ``feast`` reads its features from Redis; ``feast-disk`` syncs its records.
    ``shadows`` says how many watch a deployment, each at 100 %; without a word one does.
    """
    registry, cache = folder / "registry", ModelCache((folder / "models").absolute())
    plan = open_compiler(str(world.repo)).compile([SERVICE])
    for name, model in tables.items():
        reads = name.startswith("feast")
        parts = [
            Part(
                "stable" if n == 0 else f"shadow{n}", f"g{n}", _card(world, registry, cache, model, n + 1, reads=reads)
            )
            for n in range(1 + shadows.get(name, 1))
        ]
        leave_on_disk(folder / "tables", _table(name, parts, plan if reads else NO_FEATURES))
    return House(folder)


def _table(name: str, parts: list[Part], plan: FeaturePlan) -> RoutingTable:
    rules = ServingRules(durability=Durability.DISK if name.endswith("disk") else Durability.PROCESS)
    inputs = Inputs(ENTITIES if plan.views else (), () if plan.views else parts[0].model.inputs)
    watching = tuple(Shadow(part, f"salt-{part.name}", 1.0) for part in parts[1:])
    return RoutingTable(name, tag_of(name), 1, parts[0], (), watching, rules=rules, inputs=inputs, features=plan)


def _card(world: World, registry: Path, cache: ModelCache, model: str, version: int, *, reads: bool) -> ModelCard:
    name = f"{model}-{'feast' if reads else 'plain'}"
    if not (registry / name / str(version)).exists():
        service = SERVICE if reads else None
        estimator = joblib.load(world.model(model))
        save(registry, name, str(version), estimator, task=Task.BINARY, classes=(0, 1), feature_service=service,
             inputs=inputs_of(estimator.n_features_in_))  # fmt: skip
    return replace(cache.prepare(JoblibFolder(registry), f"models:/{name}/{version}"))
