"""Callers who keep count: constant arrival, latency from the intended start, a list of everything acknowledged.

Test models are coded by arm and entity (stable answers 1e9 + entity, a canary 2e9 + entity), so one answer proves both.
Each request has a connection of its own, so that a killed worker takes along what it was working on and nothing else.
"""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import httpx
import numpy as np
from sklearn.linear_model import LinearRegression

from gateway.adapters.models.joblib_folder import save
from gateway.core.deployments import Field, Task, Type
from tests.chaos.report import Outcome
from tests.e2e.harness import DEPLOYMENT, Gateway, until

ARMS = {"stable": 1_000_000_000.0, "canary": 2_000_000_000.0}
_LONGEST = aiohttp.ClientTimeout(total=10.0)
_BESIDE = httpx.Client(timeout=10.0, headers={"Connection": "close"})
_AUDITORS = 8
_AGAIN_S = (0.1, 0.3, 1.0, 2.0, 5.0)
AUDITS: list[int] = []
"""By how much the books and the callers' list differed, each time that they were held against each other."""


def train_coded(models: Path) -> None:
    """Write stable as version 1 and the canary as version 2."""
    entities = np.arange(0.0, 1_000.0, 100.0).reshape(-1, 1)
    for version, base in zip(("1", "2"), ARMS.values(), strict=True):
        model = LinearRegression().fit(entities, base + entities[:, 0])
        inputs = (Field("entity", Type.NUMBER, example=1.0),)
        save(models, DEPLOYMENT, version, model, task=Task.REGRESSION, inputs=inputs)


@dataclass
class Seen:
    """What callers saw. Times are wall seconds."""

    asked: int = 0
    acknowledged: dict[str, float] = field(default_factory=dict)
    """Prediction id -> the answer."""
    told: set[str] = field(default_factory=set)
    """Prediction ids whose outcome was acknowledged."""
    unsure: int = 0
    """Outcomes that were sent and not acknowledged: they may be stored or not."""
    failed: list[float] = field(default_factory=list)
    refused: list[tuple[float, int]] = field(default_factory=list)
    unlogged: int = 0
    wrong: list[str] = field(default_factory=list)
    canary: list[tuple[float, str]] = field(default_factory=list)
    """When each canary's answer had come, and from which gateway."""
    under_way: int = 0
    latencies: list[tuple[float, float]] = field(default_factory=list)
    """Intended start, seconds from then to the answer."""

    def p99(self, after: float = 0.0, before: float = float("inf")) -> float:
        """The 99th percentile of latency (seconds) of requests meant to start in between."""
        found = [latency for start, latency in self.latencies if after <= start < before]
        return float(np.quantile(found, 0.99)) if found else float("nan")


@contextmanager
def load(gateways: Sequence[Gateway], rate: float, seen: Seen, dice: Random, tell: float = 0.5) -> Iterator[None]:
    """Ask ``rate`` times a second in all, and tell the outcome of a share ``tell``, until the block ends."""
    stop = threading.Event()
    addresses = [str(gateway.data.base_url) for gateway in gateways]
    thread = threading.Thread(target=lambda: asyncio.run(_arrive(addresses, rate, dice, tell, seen, stop)))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def _arrive(
    addresses: Sequence[str], rate: float, dice: Random, tell: float, seen: Seen, stop: threading.Event
) -> None:
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=_LONGEST) as session, asyncio.TaskGroup() as group:
        due = time.time()
        while not stop.is_set():
            address = dice.choice(addresses)
            group.create_task(_ask(session, address, float(dice.randrange(1_000)), due, dice.random() < tell, seen))
            due += 1.0 / rate
            await asyncio.sleep(max(0.0, due - time.time()))


async def _ask(session: aiohttp.ClientSession, address: str, entity: float, due: float, tell: bool, seen: Seen) -> None:
    seen.asked += 1
    seen.under_way += 1
    try:
        async with session.post(f"{address}/predict", json={"features": {"entity": entity}}) as answer:
            if answer.status != 200:
                seen.refused.append((time.time(), answer.status))
                return
            body = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError):
        seen.failed.append(time.time())
        return
    finally:
        seen.under_way -= 1
    _note(seen, body, entity, due, address)
    if tell:
        await _tell(session, address, body["prediction_id"], seen)


def _note(seen: Seen, body: dict[str, Any], entity: float, due: float, address: str) -> None:
    now = time.time()
    seen.latencies.append((due, now - due))
    if abs(body["prediction"] - ARMS[body["variant"]] - entity) > 0.5:
        seen.wrong.append(f"{body['variant']} answered {body['prediction']} for {entity}")
    if body["variant"] != "stable":
        seen.canary.append((now, address))
    if body["logged"]:
        seen.acknowledged[body["prediction_id"]] = body["prediction"]
    else:
        seen.unlogged += 1


async def _tell(session: aiohttp.ClientSession, address: str, prediction_id: str, seen: Seen) -> None:
    try:
        item = {"prediction_id": prediction_id, "outcome": 1.0}
        async with session.post(f"{address}/feedback", json=item) as answer:
            if answer.status == 202:
                seen.told.add(prediction_id)
            else:
                seen.unsure += 1
    except (aiohttp.ClientError, TimeoutError):
        seen.unsure += 1


def probe(gateway: Gateway, seen: Seen) -> str | None:
    """Ask once, beside the load, and note what was answered; the variant, or None."""
    due = time.time()
    try:
        answer = _BESIDE.post(f"{gateway.data.base_url}/predict", json={"features": {"entity": 1.0}})
    except httpx.TransportError:
        seen.failed.append(due)
        return None
    if answer.status_code != 200:
        seen.refused.append((due, answer.status_code))
        return None
    body = answer.json()
    _note(seen, body, 1.0, due, str(gateway.data.base_url))
    return str(body["variant"])


def start_canary(gateways: Sequence[Gateway], plan: str, seen: Seen) -> None:
    """Start a canary, and wait until every gateway serves it."""
    body = {"model": f"models:/{DEPLOYMENT}/2", "plan": plan}
    answer = gateways[0].control.post(f"/admin/deployments/{DEPLOYMENT}/canary", json=body, timeout=30.0)
    assert answer.status_code == 201, answer.text
    for gateway in gateways:
        until(partial(_serves_canary, gateway, seen), 30.0)


def _serves_canary(gateway: Gateway, seen: Seen) -> bool:
    return "canary" in {probe(gateway, seen) for _ in range(10)}


def audit(gateways: Sequence[Gateway], seen: Seen, outcome: Outcome) -> None:
    """Hold the books against the callers' list (row D8): every acknowledged id once, as it was answered, and no more.

    Extras are at most what was sent and never acknowledged.
    """
    ledgers = [gateway.ledger(20.0) for gateway in gateways]
    books = gateways[0].ledger(20.0)
    records = asyncio.run(_records([str(g.control.base_url) for g in gateways], list(seen.acknowledged)))
    lost = [one for one, record in records.items() if record is None]
    untold = [one for one in seen.told if not (records.get(one) or {}).get("outcomes")]
    differing = [
        one for one, record in records.items() if record and abs(record["prediction"] - seen.acknowledged[one]) > 1e-6
    ]
    predictions, outcomes = books["predictions"], books["outcomes"]
    extra = predictions["stored"] - len(seen.acknowledged)
    outcome.exactly("acknowledged predictions lost", len(lost), 0)
    outcome.exactly("acknowledged outcomes lost", len(untold), 0)
    outcome.exactly("answers from a wrong arm or entity", len(seen.wrong), 0)
    outcome.exactly("records unlike their answer", len(differing), 0)
    outcome.exactly("duplicates", predictions["duplicates"] + outcomes["duplicate"] + outcomes["corrected"], 0)
    unacknowledged = len(seen.failed) + len(seen.refused) + seen.unlogged
    outcome.at_most("records never acknowledged", abs(extra) if extra < 0 else max(0, extra), unacknowledged)
    AUDITS.append(abs(min(0, extra)) + len(lost) + len(untold) + len(differing))
    balance = outcomes["accepted"] - sum(count for name, count in outcomes.items() if name != "accepted")
    outcome.exactly("books out of balance by", abs(balance) + abs(_shadows(books)) + len(ledgers) - len(gateways), 0)
    AUDITS[-1] += abs(balance) + abs(_shadows(books))


def _shadows(books: dict[str, Any]) -> int:
    shadows = books["shadows"]
    difference: int = shadows["eligible"] - shadows["done"] - shadows["dropped"] - shadows["pending"]
    return difference


async def _records(addresses: Sequence[str], ids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    found: dict[str, dict[str, Any] | None] = {}
    queue = list(ids)

    async def work(session: aiohttp.ClientSession, number: int) -> None:
        while queue:
            one = queue.pop()
            address = addresses[number % len(addresses)]
            for patience_s in _AGAIN_S:
                async with session.get(f"{address}/admin/predictions/{one}") as answer:
                    found[one] = await answer.json() if answer.status == 200 else None
                    if answer.status != 503:  # a store that has just come back is asked again
                        break
                await asyncio.sleep(patience_s)

    async with aiohttp.ClientSession(timeout=_LONGEST) as session, asyncio.TaskGroup() as group:
        for number in range(_AUDITORS):
            group.create_task(work(session, number))
    return found
