"""The row on everything outside being down at once: Redis, the feature repository, the registry and the store."""

import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.clients import ARMS
from tests.chaos.report import Outcome, Row, Setting
from tests.chaos.rows_features import FeatureHouse, feature_house
from tests.coded_features import NOBODY, USERS, body_of
from tests.e2e.harness import DEPLOYMENT, Gateway, until


def everything_outside_down(setting: Setting) -> Outcome:
    """A8: workers live on; ones that start meanwhile serve stable from the local cache, with declared defaults."""
    outcome = Outcome(what="Redis, repository, registry and store taken away, agent and workers killed meanwhile")
    with feature_house(setting.folder) as here:
        gateway = here.gateway
        before = set(gateway.children("worker"))
        outcome.faults += _take_all_away(setting.folder, here)
        until_s, probes, alive, answers = time.monotonic() + setting.pick(5, 120), 0, 0, []
        while time.monotonic() < until_s:
            probes += 1
            alive += httpx.get(f"{gateway.data.base_url}/livez").status_code == 200
            answers.append(_answer(gateway))
            time.sleep(0.1)
        outcome.exactly("liveness failures", probes - alive, 0)
        outcome.exactly("answers of stable by default that failed to come", sum(not _by_default(a) for a in answers), 0)
        outcome.exactly("workers replaced", len(before - set(gateway.children("worker"))), 0)
        for victim in before:
            os.kill(victim, signal.SIGKILL)
        outcome.faults += len(before)
        began = time.monotonic()
        until(lambda: _by_default(_answer(gateway)), 90.0)
        outcome.at_most("stable served by restarted workers after", time.monotonic() - began, 10.0, " s")
        here.mend()
        (setting.folder / "state" / "store.db").rmdir()
    return outcome


def _take_all_away(folder: Path, here: FeatureHouse) -> int:
    """Stop Redis, move repository, registry and store away, and kill the agent, which comes back to no store."""
    here.break_it("stopped")
    for name in ("models", "repo"):
        (folder / name).rename(folder / f"{name}-gone")
    [agent] = here.gateway.children("agent")
    os.kill(agent, signal.SIGKILL)
    store = folder / "state" / "store.db"
    shutil.move(store, folder / "store.db")
    store.mkdir()  # nothing can be opened there
    for place in ("store.db-wal", "store.db-shm"):
        (folder / "state" / place).unlink(missing_ok=True)
    return 5


def _answer(gateway: Gateway) -> dict[str, Any]:
    """One answer; empty where none came."""
    with suppress(httpx.HTTPError):
        asked = body_of(USERS[0])
        answer = httpx.post(f"{gateway.data.base_url}/predict/{DEPLOYMENT}", json=asked, timeout=5.0)
        if answer.status_code == 200:
            found: dict[str, Any] = answer.json()
            return found
    return {}


def _by_default(answer: dict[str, Any]) -> bool:
    """Whether stable answered, and for what the deployment declares in place of what could not be read."""
    return bool(answer) and bool(answer["degraded"]) and answer["prediction"] == ARMS["stable"] + NOBODY


ROWS = (Row("A8", "everything outside down: liveness and stable from the local cache", everything_outside_down),)
