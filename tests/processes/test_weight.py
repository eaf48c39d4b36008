"""A worker holds in memory what a request needs, and nothing that only its agent does."""

import subprocess
import sys

HEAVY = {
    "confluent_kafka": "streams are the agent's",
    "cryptography": "needed by whoever takes an identity provider's tokens",
    "evidently": "reports are made in a child of the agent",
    "feast": "plans are compiled by the agent",
    "mlflow": "models are fetched by the agent",
    "onnxruntime": "loaded with the first model that runs in it",
    "pandas": "no request needs a table",
    "psycopg": "a worker opens no database",
    "pyarrow": "exports are the agent's",
    "scipy": "judging is the agent's",
    "sklearn": "loaded with the first model that needs it",
    "treelite": "loaded with the first model that runs in it",
}


def test_a_worker_imports_nothing_heavy_that_it_does_not_use() -> None:
    program = "import sys, gateway.processes.worker; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = {name.partition(".")[0] for name in run.stdout.split()}
    assert {name: why for name, why in HEAVY.items() if name in found} == {}
