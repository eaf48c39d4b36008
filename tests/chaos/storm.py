"""Operators who all talk at once: whatever comes of it must be a walk through the table of transitions."""

import threading
from collections import Counter
from itertools import dropwhile, pairwise
from random import Random
from typing import Any

import httpx

from gateway.core.rollout import TRANSITIONS, Phase, Signal
from tests.e2e.harness import DEPLOYMENT, Gateway

_LONGEST = 1_000
"""Lines of the timeline in one answer."""
_SIGNALS = ("pause", "resume", "promote", "demote", "rollback", "pause", "resume")


def blow(gateway: Gateway, seed: int, signals: int, operators: int = 4) -> Counter[int]:
    """Let so many operators send so many signals each, as fast as they can. Counts answers by status."""
    url, seen = str(gateway.control.base_url), Counter[int]()
    lock = threading.Lock()

    def operator(number: int) -> None:
        random = Random(f"{seed}/{number}")
        with httpx.Client(base_url=url, timeout=120.0) as client:
            for _ in range(signals):
                status = _send(client, random)
                with lock:
                    seen[status] += 1

    threads = [threading.Thread(target=operator, args=(number,)) for number in range(operators)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def _send(client: httpx.Client, random: Random) -> int:
    if random.random() < 0.15:
        body = {"model": f"models:/{DEPLOYMENT}/{random.randrange(1, 5)}", "plan": "share", "override": True}
        return client.post(f"/admin/deployments/{DEPLOYMENT}/canary", json=body).status_code
    return client.post(f"/admin/deployments/{DEPLOYMENT}/{random.choice(_SIGNALS)}").status_code


def illegal(gateway: Gateway) -> list[str]:
    """Walk the timeline: revisions without gaps, and no step that the table does not have.

    Of a timeline longer than one answer the walk begins with the first candidate whose start is in it.
    """
    path = f"/admin/deployments/{DEPLOYMENT}/timeline"
    lines = list(reversed(gateway.control.get(path, params={"limit": _LONGEST}).json()["decisions"]))
    if len(lines) == _LONGEST:
        lines = list(dropwhile(lambda line: line["action"] != "start", lines))
    found = [
        f"revision {later['revision']} follows {earlier['revision']}"
        for earlier, later in pairwise(lines)
        if later["revision"] != earlier["revision"] + 1
    ]
    phase: Phase | None = None
    for line in lines:
        phase, wrong = _step(phase, line)
        found += wrong
    return found


def _step(phase: Phase | None, line: dict[str, Any]) -> tuple[Phase | None, list[str]]:
    if line["candidate"] is None:
        return phase, []
    if line["action"] == "start":
        alive = phase not in (None, Phase.DEMOTED, Phase.PROMOTED)
        return Phase.PREPARING, [f"revision {line['revision']}: started while {phase}"] if alive else []
    if phase is None or (phase, Signal(line["action"])) not in TRANSITIONS:
        return phase, [f"revision {line['revision']}: {line['action']} while {phase}"]
    return TRANSITIONS[phase, Signal(line["action"])], []
