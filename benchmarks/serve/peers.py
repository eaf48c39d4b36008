"""The systems people would otherwise run, each in an environment of its own under a cache folder, set up as documented.

``GATEWAY_BENCH_CACHE`` names the folder (default ``~/.cache/gateway-bench``). An environment is made once for what it
is to hold, and used again.
"""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import httpx
import joblib

from benchmarks.serve.house import ONE_THREAD
from benchmarks.serve.load import body, numbers
from benchmarks.serve.progress import say
from benchmarks.serve.subject import Subject
from benchmarks.serve.world import World

APPS = Path(__file__).parent / "peer_apps"
_SAME = ("scikit-learn", "joblib")
"""The models were written by these, so every peer reads them with the same."""
_CLOSE = 1e-6


@dataclass(frozen=True)
class Peer:
    """One system: what its environment holds, how it is started, where and with what kind of body it is asked."""

    name: str
    requirements: tuple[str, ...]
    command: Callable[["Stand"], list[str]]
    kind: str = "features"
    path: str = "/predict"
    before: Callable[["Stand"], None] = lambda _stand: None
    settings: str = ""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stand:
    """What a peer is started with: its environment's programs, the model, a port, a folder of its own."""

    bin: Path
    model: Path
    port: int
    folder: Path


def _mlserver(stand: Stand) -> None:
    settings = {"http_port": stand.port, "grpc_port": stand.port + 1, "metrics_port": stand.port + 2, "debug": False,
                "parallel_workers": 0, "host": "127.0.0.1"}  # fmt: skip
    model = {"name": "m", "implementation": "mlserver_app.Model", "parameters": {"uri": str(stand.model)},
             "max_batch_size": 32, "max_batch_time": 0.001}  # fmt: skip
    (stand.folder / "settings.json").write_text(json.dumps(settings))
    (stand.folder / "model-settings.json").write_text(json.dumps(model))
    (stand.folder / "mlserver_app.py").write_text((APPS / "mlserver_app.py").read_text())


def _mlflow(stand: Stand) -> None:
    target = stand.folder / "model"
    subprocess.run([stand.bin / "python", APPS / "mlflow_app.py", stand.model, target], check=True)


PEERS = (
    Peer(
        "litserve",
        ("litserve==0.2.19",),
        lambda stand: [str(stand.bin / "python"), str(APPS / "litserve_app.py"), str(stand.model), str(stand.port)],
        settings="fast queue, batches of up to 32 that wait 1 ms",
    ),
    Peer(
        "mlserver",
        ("mlserver==1.7.1",),
        lambda stand: [str(stand.bin / "mlserver"), "start", str(stand.folder)],
        kind="v2",
        path="/v2/models/m/infer",
        before=_mlserver,
        settings="no parallel workers, batches of up to 32 that wait 1 ms",
    ),
    Peer(
        "bentoml",
        ("bentoml==1.4.40",),
        lambda stand: [
            str(stand.bin / "bentoml"),
            "serve",
            "bento_app:Model",
            "--host",
            "127.0.0.1",
            "--port",
            str(stand.port),
            "--working-dir",
            str(APPS),
        ],
        settings="production mode, no access log, no metrics",
        environment={"BENTOML_DO_NOT_TRACK": "True"},
    ),
    Peer(
        "ray-serve",
        ("ray[serve]",),
        lambda stand: [str(stand.bin / "python"), str(APPS / "ray_app.py"), str(stand.model), str(stand.port)],
        settings="one replica, 256 ongoing requests, no dashboard",
        environment={"RAY_USAGE_STATS_ENABLED": "0"},
    ),
    Peer(
        "mlflow",
        (f"mlflow=={version('mlflow')}",),
        lambda stand: [
            str(stand.bin / "mlflow"),
            "models",
            "serve",
            "-m",
            str(stand.folder / "model"),
            "--env-manager",
            "local",
            "-h",
            "127.0.0.1",
            "-p",
            str(stand.port),
            "-w",
            "1",
        ],
        kind="invocations",
        path="/invocations",
        before=_mlflow,
        settings="one worker, no access log",
        environment={"UVICORN_ACCESS_LOG": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
    ),
)


def cache() -> Path:
    """Where environments are kept."""
    return Path(os.environ.get("GATEWAY_BENCH_CACHE", Path.home() / ".cache" / "gateway-bench"))


def install(peer: Peer) -> Path:
    """Make the peer's environment, if it is not there yet; return its folder of programs.

    Raises RuntimeError with what the installer said last.
    """
    wanted = [*peer.requirements, *(f"{name}=={version(name)}" for name in _SAME), "uvloop", "httptools"]
    folder = cache() / f"{peer.name}-{hashlib.sha256(' '.join(wanted).encode()).hexdigest()[:12]}"
    if not (folder / "ready").exists():
        say(f"making the environment of {peer.name}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        made = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise RuntimeError(made.stderr.strip()[-500:])
        (folder / "ready").touch()
    return folder / "bin"


@contextlib.contextmanager
def served(peer: Peer, world: World, model: str = "logistic") -> Iterator[Subject]:
    """Serve a model by a peer, one worker."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = world.folder / f"peer-{peer.name}-{model}"
    folder.mkdir(parents=True, exist_ok=True)
    stand = Stand(install(peer), world.model(model), port, folder)
    peer.before(stand)
    environment = {**os.environ, **ONE_THREAD, **peer.environment, "SERVE_MODEL": str(stand.model)}
    environment["PATH"] = f"{stand.bin}{os.pathsep}{environment['PATH']}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            peer.command(stand), env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}{peer.path}"
    try:
        answer = _until_answers(url, peer.kind, process, folder / "log")
        _check(answer, peer.kind, stand.model)
        yield Subject(peer.name if model == "logistic" else f"{peer.name}-{model}", url, peer.kind, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10.0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _until_answers(
    url: str, kind: str, process: "subprocess.Popen[bytes]", log: Path, longest_s: float = 180.0
) -> httpx.Response:
    """Wait until a prediction is answered well, and return the answer. Raises RuntimeError with the end of its log."""
    deadline = time.monotonic() + longest_s
    with httpx.Client(timeout=10.0) as client:
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                answer = client.post(url, content=body(kind, 1, "ready"), headers={"Content-Type": "application/json"})
                if answer.status_code == 200:
                    return answer
            time.sleep(0.2)
    raise RuntimeError(f"{url} does not answer: {log.read_text(errors='replace')[-2000:]}")


def _check(answer: httpx.Response, kind: str, model: Path) -> None:
    """Hold a peer's first answer to the model it was given. Raises RuntimeError for any other."""
    estimator = joblib.load(model)
    row = [numbers(1, estimator.n_features_in_)]
    said = answer.json()
    if kind == "invocations":  # MLflow serves ``predict``: a label
        found, expected = said["predictions"][0], estimator.predict(row)[0]
    else:
        found = said["outputs"][0]["data"][0] if kind == "v2" else said["score"]
        expected = estimator.predict_proba(row)[0, 1]
    if abs(found - expected) > _CLOSE:
        raise RuntimeError(f"{answer.url} answers {found}, and its model {expected}")
