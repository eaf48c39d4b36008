"""Rows on models that hang, hold the interpreter, cannot be loaded or answer nonsense, and on callers who walk away."""

import asyncio
import itertools
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import httpx
import joblib

from tests.chaos.clients import ARMS
from tests.chaos.models import HOLDS, SLEEPS, TRAPS, WEDGES, Coded, Huge, Moody, OnLoad, Raises, Sleepy, put
from tests.chaos.openloop import Answers, calling, knocking, quantile
from tests.chaos.report import Outcome, Row, Setting
from tests.chaos.rows_overload import entity, resident, wrong
from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, until

_ADMIN = f"/admin/deployments/{DEPLOYMENT}"
_RATE = 40.0


@contextmanager
def two_workers(folder: Path, model: Coded) -> Iterator[Gateway]:
    """Two workers around a model."""
    put(folder / "models", "1", model)
    gateway = Gateway(folder, simple_config(folder, workers=2, deployment={"guardrails": ["error_rate"]}))
    try:
        gateway.start()
        until(lambda: gateway.sample("gateway_workers") == {"": 2.0}, 60.0)
        yield gateway
    finally:
        gateway.close()


def hangs(setting: Setting) -> Outcome:
    """A5: stable itself sleeps, holds the interpreter's lock in numpy, or for good."""
    outcome, numbers, times = Outcome(what="calls that slept, sorted objects, or never returned"), itertools.count(), 0
    repeats, replaced, slowest = setting.pick(1, 20), 0, 0.0
    with two_workers(setting.folder, Moody(ARMS["stable"])) as gateway, knocking(gateway) as anew:
        calm, meanwhile, probes = Answers(), Answers(), list[float]()
        with calling(gateway, _RATE, lambda _: entity(next(numbers) % 1_000), calm):
            time.sleep(setting.pick(3, 20))
        with calling(gateway, _RATE, lambda _: entity(next(numbers) % 1_000), meanwhile):
            for _ in range(repeats):
                _send_and_forget(gateway, SLEEPS)
                until_s = time.monotonic() + setting.pick(3, 11)
                while time.monotonic() < until_s:
                    asked = time.monotonic()
                    assert anew.get("/livez").status_code == 200
                    probes.append(time.monotonic() - asked)
                    time.sleep(0.05)
        before = set(gateway.children("worker"))
        for _ in range(repeats):
            _send_and_forget(gateway, HOLDS)
            time.sleep(1.5)
        exchanged = len(before - set(gateway.children("worker")))
        for times in range(1, repeats + 1):  # noqa: B007 - counted below
            began, ran = time.monotonic(), set(gateway.children("worker"))
            _send_and_forget(gateway, WEDGES)
            until(lambda ran=ran: _exchanged(gateway, ran), 30.0)  # type: ignore[misc]
            slowest, replaced = max(slowest, time.monotonic() - began), replaced + 1
        outcome.faults = 2 * repeats + times
        outcome.at_most("p99 of /livez while one slept", float(sorted(probes)[int(0.99 * len(probes))]), 0.05, " s")
        limit = setting.noisy(2.0 * quantile(calm.of(200), 0.99))
        outcome.at_most("p99 of others while one slept", quantile(meanwhile.of(200), 0.99), limit, " s")
        outcome.exactly("failed requests of others", len(meanwhile.said) - len(meanwhile.of(200)), 0)
        outcome.exactly("workers replaced because numpy held the lock", exchanged, 0)
        outcome.exactly("wedged workers replaced", replaced, repeats)
        outcome.at_most("the slowest of them", slowest, 12.0, " s")
        outcome.exactly("answers from a wrong entity", len(wrong(meanwhile.of(200))), 0)
    return outcome


def _send_and_forget(gateway: Gateway, which: float) -> None:
    with suppress(httpx.HTTPError):
        body = {"features": {"entity": which}}
        httpx.post(f"{gateway.data.base_url}/predict", json=body, timeout=0.2)


def _exchanged(gateway: Gateway, before: set[int]) -> bool:
    now = set(gateway.children("worker"))
    return now != before and len(now) == 2 and gateway.sample("gateway_workers") == {"": 2.0}


def traps(setting: Setting) -> Outcome:
    """A7: candidates that crash, loop, sleep or swallow memory when they are opened. Nobody but them comes to harm."""
    outcome, numbers, seen_s, odd = Outcome(what="artifacts that are traps"), itertools.count(), 0.0, list[int]()
    kinds = [name for name in TRAPS if not setting.quick or name != "takes 120 s"]
    with ThreadPoolExecutor(1) as pool, two_workers(setting.folder, Coded(ARMS["stable"])) as gateway:
        workers, answers = set(gateway.children("worker")), Answers()
        with calling(gateway, 20.0, lambda _: entity(next(numbers) % 1_000), answers):
            for number, kind in enumerate(kinds * setting.pick(1, 10)):
                version = str(10 + number)
                _lay(setting.folder / "models", version, TRAPS[kind])
                body, asked = {"model": f"models:/{DEPLOYMENT}/{version}"}, time.monotonic()
                told = pool.submit(httpx.post, f"{gateway.control.base_url}{_ADMIN}/canary", json=body, timeout=200.0)
                until(lambda: told.done() or gateway.deployment()["preparing"], 20.0)  # noqa: B023 - looked at at once
                seen_s = max(seen_s, time.monotonic() - asked)
                outcome.faults += 1
                if setting.quick and kind == "loops for ever":
                    break  # its minute is the full form's
                odd += [] if told.result().status_code == 422 else [told.result().status_code]
        stable = (gateway.variant("stable") or {}).get("model_version")
        outcome.exactly("failed stable requests", len(answers.said) - len(answers.of(200)), 0)
        outcome.exactly("workers replaced", len(workers - set(gateway.children("worker"))), 0)
        outcome.at_most("until operators could see it", seen_s, 5.0, " s")
        outcome.exactly("answers but 422", odd, [])
        outcome.exactly("stable's version", stable, "1")
        outcome.exactly("answers from a wrong entity", len(wrong(answers.of(200))), 0)
    return outcome


def _lay(models: Path, version: str, trap: OnLoad) -> None:
    """Write an artifact that looks like a model until it is opened."""
    put(models, version, Coded(ARMS["canary"]))
    joblib.dump(trap, models / DEPLOYMENT / version / "model.joblib")


def shadows(setting: Setting) -> Outcome:
    """A10: a shadow that raises, sleeps, or answers a hundred megabytes. The caller never notices."""
    outcome, numbers, cases = Outcome(what="shadow runs that went wrong"), itertools.count(), (Raises, Sleepy, Huge)
    lasts = setting.pick(2, 300)
    with two_workers(setting.folder, Coded(ARMS["stable"])) as gateway:
        calm = Answers()
        with calling(gateway, _RATE, lambda _: entity(2 + next(numbers) % 1_000), calm):
            time.sleep(setting.pick(2, 60))
        base = quantile(calm.of(200), 0.99)
        memory = {pid: resident(pid) for pid in gateway.children("worker")}
        for version, case in enumerate(cases, 3):
            name = case.__name__.lower()
            put(setting.folder / "models", str(version), case(ARMS["canary"]))
            body = {"model": f"models:/{DEPLOYMENT}/{version}", "name": name, "rate": 1.0}
            assert gateway.control.post(f"{_ADMIN}/shadows", json=body, timeout=60.0).status_code == 201
            time.sleep(2.0)
            watched = Answers()
            with calling(gateway, _RATE, lambda _: entity(2 + next(numbers) % 1_000), watched):
                time.sleep(lasts)
            outcome.faults += len(watched.said)
            limit = setting.noisy(max(base + 0.001, 1.05 * base))
            outcome.at_most(f"p99 of stable beside one that {name}", quantile(watched.of(200), 0.99), limit, " s")
            outcome.exactly(f"errors beside one that {name}", len(watched.said) - len(watched.of(200)), 0)
            assert gateway.control.delete(f"{_ADMIN}/shadows/{name}").status_code == 200
        until(lambda: gateway.ledger()["shadows"]["pending"] == 0, 60.0)
        books = gateway.ledger()["shadows"]
        grown = [resident(pid) - memory[pid] for pid in gateway.children("worker") if pid in memory]
        outcome.exactly("eligible less done and dropped", books["eligible"] - books["done"] - books["dropped"], 0)
        outcome.at_least("eligible", books["eligible"], outcome.faults)
        outcome.exactly("workers that went", 2 - len(grown), 0)
        outcome.at_most("memory of a worker grew by", max(grown, default=0.0) / 2**20, 100.0, " MiB")
    return outcome


def cancelled(setting: Setting) -> Outcome:
    """A12: three in ten callers walk away at a random moment."""
    outcome, seen, n = Outcome(what="callers who walked away"), _Walked(), setting.pick(1_500, 100_000)
    with two_workers(setting.folder, Coded(ARMS["stable"], each_s=0.002)) as gateway:
        time.sleep(1.0)
        idle = _sockets(gateway)
        asyncio.run(_walk(gateway, n, Random(setting.dice.random()), seen))
        ended = time.monotonic()
        until(lambda: _sockets(gateway) <= idle, 10.0)
        outcome.faults = seen.left
        outcome.at_most("connections as many as before after", time.monotonic() - ended, 5.0, " s")
        outcome.exactly("answers from a wrong entity", seen.wrong, 0)
        outcome.exactly("failed requests of those who stayed", seen.failed, 0)
        until(lambda: sum(gateway.sample("gateway_requests_under_way").values()) == 0.0, 5.0)
        under_way = sum(gateway.sample("gateway_requests_under_way").values())
        outcome.exactly("requests under way", under_way, 0.0)
        books = gateway.ledger()["predictions"]
        outcome.at_least("stored", books["stored"], seen.answered)
        outcome.at_most("stored, at most", books["stored"], n)
    return outcome


class _Walked:
    """What callers saw who stayed, and how many did not."""

    answered = left = wrong = failed = 0


async def _walk(gateway: Gateway, n: int, dice: Random, seen: _Walked) -> None:
    queue = list(range(n))
    place = str(gateway.data.base_url.host), gateway.data.base_url.port

    async def work() -> None:
        while queue:
            number = queue.pop() % 1_000
            body = b'{"features": {"entity": %d.0}}' % number
            head = b"POST /predict HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            said = head % len(body) + b"Connection: close\r\n\r\n" + body
            reader, writer = await asyncio.open_connection(*place)
            goes = dice.random() < 0.3
            writer.write(said[: dice.randrange(len(said))] if goes and dice.random() < 0.3 else said)
            if goes:
                await asyncio.sleep(dice.uniform(0.0, 0.01))
                seen.left += 1
                writer.transport.abort()
                continue
            answer = await reader.read()
            writer.close()
            seen.answered += answer.startswith(b"HTTP/1.1 200")
            seen.failed += not answer.startswith(b"HTTP/1.1 200")
            right = b'"prediction":%d.0' % (ARMS["stable"] + number)
            seen.wrong += answer.startswith(b"HTTP/1.1 200") and right not in answer

    await asyncio.gather(*(work() for _ in range(32)))


def _sockets(gateway: Gateway) -> int:
    """How many sockets the workers hold open."""
    count = 0
    for pid in gateway.children("worker"):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                count += str(Path(entry.path).readlink()).startswith("socket:")
    return count


ROWS = (
    Row("A5", "a model that hangs: probes answer, a wedged loop is replaced", hangs),
    Row("A7", "an artifact that is a trap: the last good one stays", traps),
    Row("A10", "a shadow that raises, sleeps or answers too much: nobody notices", shadows),
    Row("A12", "callers who walk away leave nothing behind", cancelled),
)
