"""A real Airflow in a home of its own, by its command and by its servers.

It lives in an environment of its own, which ``make test-airflow`` makes; without it these tests are skipped.
"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import until

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "deploy" / "airflow"
HERE = Path(os.environ.get("GATEWAY_AIRFLOW", ROOT / ".venv-airflow" / "bin" / "airflow"))
"""The command of an installed Airflow."""
NONE = "no Airflow here: `make test-airflow` makes its environment, or name its command in GATEWAY_AIRFLOW"
SERVERS = ("api-server", "scheduler", "dag-processor")
USER, PASSWORD = "gateway", "let me in"
"""Somebody who may start runs and nothing more: the role ``user`` of Airflow's own SimpleAuthManager."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Airflow:
    """One Airflow on SQLite that knows our DAGs. ``said`` is what the DAG finds in its variable and connection."""

    home: Path
    said: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    log_port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Where its REST API is, once it serves."""
        return f"http://127.0.0.1:{self.port}/api/v2"

    def __call__(self, *words: str, longest_s: float = 900.0) -> str:
        """Run a command of Airflow's that has to succeed; return what it printed."""
        done = self.attempt(*words, longest_s=longest_s)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def attempt(self, *words: str, longest_s: float = 900.0) -> "subprocess.CompletedProcess[str]":
        """Run a command of Airflow's."""
        return subprocess.run(
            [str(HERE), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=longest_s,
            env=self.environment,
            check=False,
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """Nothing of ours but a path, a home and a language."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        own = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:user",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": "0" * 64,
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self.log_port),
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",  # seconds, for a machine that does other things
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "PYTHONWARNINGS": "ignore",
            "TZ": "UTC",
        }
        return kept | own | self.said

    def serve(self, name: str) -> "subprocess.Popen[bytes]":
        """Start one of its servers, in a process group of its own; its log is a file in its home."""
        with (self.home / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [str(HERE), name], stdout=log, stderr=log, env=self.environment, start_new_session=True
            )

    def serves(self) -> bool:
        """Whether its API answers, its scheduler beats, and its DAG processor has read our DAG."""
        try:
            with urllib.request.urlopen(f"{self.url}/monitor/health", timeout=10.0) as answer:
                health = json.load(answer)
        except OSError:
            return False
        return health["scheduler"]["status"] == "healthy" and bool(self.rows("SELECT dag_id FROM dag"))

    def rows(self, question: str, *about: object) -> list[tuple[Any, ...]]:
        """What its own database says."""
        with closing(sqlite3.connect(self.home / "airflow.db", timeout=30.0)) as database:
            return database.execute(question, about).fetchall()

    def run(self, conf: Mapping[str, Any]) -> "subprocess.CompletedProcess[str]":
        """Run the DAG once, every task of it, with ``conf``."""
        return self.attempt("dags", "test", "gateway_retraining", "--conf", json.dumps(conf))

    def states(self) -> dict[str, str]:
        """How every task of the latest run ended, as Airflow's own database has it: its command takes ten seconds."""
        latest = "SELECT run_id FROM dag_run ORDER BY id DESC LIMIT 1"
        return dict(self.rows(f"SELECT task_id, state FROM task_instance WHERE run_id = ({latest})"))


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    if not HERE.exists():
        pytest.skip(NONE)
    made = Airflow(tmp_path_factory.mktemp("airflow"))
    made("db", "migrate")
    yield made


@contextmanager
def serving(airflow: Airflow) -> Iterator[Airflow]:
    """The same Airflow as it runs in earnest: API, scheduler, DAG processor. They know what was ``said`` before."""
    (airflow.home / "simple_auth_manager_passwords.json.generated").write_text(json.dumps({USER: PASSWORD}))
    servers = [airflow.serve(name) for name in SERVERS]
    try:
        until(airflow.serves, 600.0, 0.5)
        yield airflow
    finally:
        for server in servers:
            os.killpg(server.pid, signal.SIGTERM)
        for server in servers:
            _ended(server)


def _ended(server: "subprocess.Popen[bytes]") -> None:
    try:
        server.wait(30.0)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
