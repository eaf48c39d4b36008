"""Artifacts that loop, crash, allocate without end or are no model: each is refused, and harms nothing that serves."""

import signal
import time
from pathlib import Path
from typing import Any

import joblib

from gateway.adapters.models.joblib_folder import MANIFEST_FILE, save
from tests.e2e.harness import DEPLOYMENT, Gateway


class Trap:
    """A pickle that runs a function of this module when it is opened. Children find the module by its path."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __reduce__(self) -> Any:
        return exec, (self._source,)


TRAPS = {
    "crashes": f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})",
    "exits": "import os; os._exit(7)",
    "allocates": "x = [bytearray(2**28) for _ in range(64)]",
    "loops": "while True: pass",
}
"""What opening each artifact does, by name. ``loops`` takes the whole time limit."""


def write(folder: Path, version: str, trap: str) -> None:
    """Write an artifact of the deployment's model that is a trap."""
    made = save(folder, DEPLOYMENT, version, None)
    joblib.dump(Trap(TRAPS[trap]), made / "model.joblib")
    assert (made / MANIFEST_FILE).is_file()


def refused(gateway: Gateway, version: str) -> tuple[str, float]:
    """Ask for a rollout of it, which must be refused. Returns why, and after how many seconds."""
    start = time.monotonic()
    body = {"model": f"models:/{DEPLOYMENT}/{version}", "plan": "share"}
    answer = gateway.control.post(f"/admin/deployments/{DEPLOYMENT}/canary", json=body, timeout=120.0)
    assert answer.status_code == 422, answer.text
    return str(answer.json()["detail"]), time.monotonic() - start
