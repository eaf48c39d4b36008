"""Rows on the books: after every other row they balance, whoever sends what how often."""

import asyncio
import json
from random import Random
from typing import Any

from tests.chaos.clients import AUDITS
from tests.chaos.report import NotRun, Outcome, Row, Setting
from tests.chaos.rows_one_host import house
from tests.e2e.harness import Gateway, until

_SENDERS = 32


def told_again(setting: Setting) -> Outcome:
    """D6: each label is sent one to five times, and one connection in five is cut once it is sent."""
    outcome, n, dice = (
        Outcome(what="connections cut after a label was sent"),
        setting.pick(500, 100_000),
        setting.dice,
    )
    with house(setting.folder) as gateway:
        ids: list[str] = []
        while len(ids) < n:
            body = {"instances": [{"features": {"entity": float(k)}} for k in range(min(100, n - len(ids)))]}
            ids += [one["prediction_id"] for one in gateway.data.post("/predict", json=body).json()["predictions"]]
        changed = set(dice.sample(ids, n // 10))
        sent = [(ident, 1.0, 1_000.0) for ident in ids for _ in range(dice.randrange(1, 6))] + [
            (ident, 2.0, 2_000.0) for ident in changed
        ]
        dice.shuffle(sent)
        acknowledged, cut = asyncio.run(_send(gateway, sent, Random(dice.random())))
        missing = [line for line in dict.fromkeys(sent) if line not in acknowledged]
        more, _ = asyncio.run(_send(gateway, missing, None))  # a client repeats what was not acknowledged
        outcome.faults = cut
        until(lambda: sum(host["outcomes"] for host in gateway.ledger()["spooled"]) == 0, 30.0)
        books = gateway.ledger()["outcomes"]
        outcome.exactly("labels with an effect", books["joined"], n)
        outcome.exactly("corrected", books["corrected"], len(changed))
        outcome.exactly("accepted less every effect", books["accepted"] - sum(books.values()) + books["accepted"], 0)
        outcome.exactly("labels never acknowledged", len(missing) - len(more), 0)
        last = dice.sample(sorted(changed), min(50, len(changed)))
        outcome.exactly("conflicts that the later one did not win", sum(not _counts(gateway, one) for one in last), 0)
    return outcome


def _counts(gateway: Gateway, ident: str) -> bool:
    """Whether the outcome observed last is the one that counts."""
    told: list[dict[str, Any]] = gateway.control.get(f"/admin/predictions/{ident}").json()["outcomes"]
    return bool(max(told, key=lambda one: one["observed_at"])["value"] == 2.0)


async def _send(
    gateway: Gateway, sent: list[tuple[str, float, float]], dice: Random | None
) -> tuple[set[tuple[str, float, float]], int]:
    """Send each line on a connection of its own; those that were acknowledged, and how many were cut off."""
    queue, acknowledged, cut = list(sent), set[tuple[str, float, float]](), 0
    place = str(gateway.data.base_url.host), gateway.data.base_url.port

    async def work() -> None:
        nonlocal cut
        while queue:
            line = queue.pop()
            ident, value, observed_at = line
            body = json.dumps(
                {
                    "prediction_id": ident,
                    "outcome": value,
                    "observed_at": f"2026-11-24T0{int(observed_at / 1_000.0)}:00:00Z",
                }
            ).encode()
            head = "POST /feedback HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nConnection: close\r\n"
            reader, writer = await asyncio.open_connection(*place)
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            if dice is not None and dice.random() < 0.2:
                await writer.drain()
                writer.transport.abort()
                cut += 1
                continue
            if (await reader.read()).startswith(b"HTTP/1.1 202"):
                acknowledged.add(line)
            writer.close()

    await asyncio.gather(*(work() for _ in range(_SENDERS)))
    return acknowledged, cut


def balanced(setting: Setting) -> Outcome:
    """D8: every row before this one that kept a list has held it against the books."""
    del setting
    if not AUDITS:
        raise NotRun("no row that keeps a list ran before it; name one with --rows")
    outcome = Outcome(len(AUDITS), "lists of callers held against the books")
    outcome.exactly("difference over all of them", sum(AUDITS), 0)
    return outcome


ROWS = (
    Row("D6", "a label sent again and again has one effect", told_again),
    Row("D8", "the books balance after every row", balanced),
)
