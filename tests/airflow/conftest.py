"""A real Airflow in a home of its own, and the gateway and the registry that its DAG works on.

Airflow lives in an environment of its own, which ``make test-airflow`` makes; without it these tests are skipped.
"""

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "deploy" / "airflow"
HERE = Path(os.environ.get("GATEWAY_AIRFLOW", ROOT / ".venv-airflow" / "bin" / "airflow"))
"""The command of an installed Airflow."""
NONE = "no Airflow here: `make test-airflow` makes its environment, or name its command in GATEWAY_AIRFLOW"


@dataclass
class Airflow:
    """One Airflow on SQLite that knows our DAGs. ``said`` is what the DAG finds in its variable and connection."""

    home: Path
    said: dict[str, str] = field(default_factory=dict)

    def __call__(self, *words: str, longest_s: float = 240.0) -> str:
        """Run a command of Airflow's that has to succeed; return what it printed."""
        done = self.attempt(*words, longest_s=longest_s)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def attempt(self, *words: str, longest_s: float = 240.0) -> "subprocess.CompletedProcess[str]":
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
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "PYTHONWARNINGS": "ignore",
            "TZ": "UTC",
        }
        return kept | own | self.said

    def run(self, conf: Mapping[str, Any]) -> "subprocess.CompletedProcess[str]":
        """Run the DAG once, every task of it, with ``conf``."""
        return self.attempt("dags", "test", "gateway_retraining", "--conf", json.dumps(conf))

    def states(self) -> dict[str, str]:
        """How every task of the latest run ended, as Airflow's own database has it: its command takes ten seconds."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as database:
            found = database.execute(
                "SELECT task_id, state FROM task_instance WHERE run_id = (SELECT run_id FROM dag_run ORDER BY id DESC)"
            )
            return dict(found.fetchall())


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    if not HERE.exists():
        pytest.skip(NONE)
    made = Airflow(tmp_path_factory.mktemp("airflow"))
    made("db", "migrate")
    yield made
