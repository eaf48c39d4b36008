"""Rows on one worker that is asked for more than it can do, too late, or too slowly."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gateway.adapters.store.keys import load_or_create_keys
from gateway.core.ids import body_of, mint, tag_of
from tests.chaos.clients import ARMS
from tests.chaos.models import Coded, Noted, put
from tests.chaos.openloop import Answers, Ask, Said, calling, knocking, quantile
from tests.chaos.report import Outcome, Row, Setting
from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, until

_EACH_S = 0.05
_CAPACITY = 4.0 / _EACH_S
"""Requests a second of one worker: four threads of stable's pool, so long each."""
_SLO_S = 0.5
_HEAD = b"POST /predict HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"


@contextmanager
def small_house(folder: Path, model: Any, **said: Any) -> Iterator[Gateway]:
    """One worker whose stable model takes its time."""
    put(folder / "models", "1", model)
    put(folder / "models", "2", Coded(ARMS["canary"]))
    deployment = {"guardrails": ["error_rate"], "deadline": f"{_SLO_S:g}s", **said.pop("deployment", {})}
    gateway = Gateway(folder, simple_config(folder, workers=1, deployment=deployment, **said))
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.close()


def entity(number: int) -> Ask:
    """A plain prediction for an entity of its own."""
    return Ask("/predict", {"features": {"entity": float(number)}})


def wrong(said: list[Said], base: float = ARMS["stable"]) -> list[Said]:
    """Answers that are not for the entity that was asked about."""
    return [one for one in said if abs(one.body["prediction"] - base - one.ask.body["features"]["entity"]) > 0.5]


def resident(pid: int) -> float:
    """Bytes of memory a process holds."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return float(line.split()[1]) * 1024.0


def ten_times(setting: Setting) -> Outcome:
    """O1: ten times what the worker can do; it does as much as at its peak, and tells the others at once."""
    outcome, numbers = Outcome(what="requests refused while ten times the capacity was offered"), itertools.count()
    with small_house(setting.folder, Coded(ARMS["stable"], _EACH_S)) as gateway, knocking(gateway) as anew:
        [worker] = gateway.children("worker")
        calm, peak, storm, after = Answers(), Answers(), Answers(), Answers()
        with calling(gateway, _CAPACITY / 2, lambda _: entity(next(numbers)), calm):
            time.sleep(setting.pick(3, 20))
        with calling(gateway, _CAPACITY * 1.2, lambda _: entity(next(numbers)), peak):
            time.sleep(setting.pick(3, 20))
        memory, probes, lasts = resident(worker), list[bool](), setting.pick(4, 120)
        with calling(gateway, _CAPACITY * 10.0, lambda _: entity(next(numbers)), storm):
            until_s = time.monotonic() + lasts
            while time.monotonic() < until_s:
                probes.append(anew.get("/livez").status_code == 200)
                probes.append(gateway.control.get("/admin/deployments").status_code == 200)
                time.sleep(0.2)
        ended = time.time()
        with calling(gateway, _CAPACITY / 2, lambda _: entity(next(numbers)), after):
            time.sleep(7.0)
        refused = storm.of(429, 503)
        outcome.faults = len(refused)
        best = len(peak.of(200)) / setting.pick(3, 20)
        outcome.at_least("goodput over the peak's", len(storm.of(200)) / lasts / best, 0.9, timed=True)
        outcome.at_most("p99 of what was accepted", quantile(storm.of(200), 0.99), 2.0 * _SLO_S, " s")
        outcome.at_most("p99 of a refusal", quantile(refused, 0.99), setting.noisy(0.02), " s")
        outcome.exactly("refusals without Retry-After", sum("retry-after" not in one.headers for one in refused), 0)
        outcome.exactly("other answers", len(storm.said) - len(storm.of(200, 429, 503, 504)), 0)
        outcome.exactly("probes and operators without an answer", probes.count(False), 0)
        outcome.at_most("memory over what it was", resident(worker) / memory, 1.2)
        back = quantile(after.of(200, after=ended + 5.0), 0.5) / quantile(calm.of(200), 0.5)
        outcome.at_most("latency 5 s later over what it was", back, 1.1, timed=True)
        outcome.exactly("answers from a wrong entity", len(wrong(storm.of(200))), 0)
    return outcome


def labels_meanwhile(setting: Setting) -> Outcome:
    """O3: five times the capacity in predictions while labels arrive; shadows go before any prediction is refused."""
    outcome, numbers = Outcome(what="predictions refused while labels arrived"), itertools.count()
    with small_house(setting.folder, Coded(ARMS["stable"], _EACH_S)) as gateway:
        shadow = {"model": f"models:/{DEPLOYMENT}/2", "name": "watcher", "rate": 1.0}
        answer = gateway.control.post(f"/admin/deployments/{DEPLOYMENT}/shadows", json=shadow, timeout=60.0)
        assert answer.status_code == 201, answer.text
        time.sleep(2.0)
        first, storm, labels = Answers(), Answers(), Answers()
        with calling(gateway, _CAPACITY / 2, lambda _: entity(next(numbers)), first):
            time.sleep(3.0)
        known = [one.body["prediction_id"] for one in first.of(200)]

        def label(number: int) -> Ask:
            return Ask("/feedback", {"prediction_id": known[number % len(known)], "outcome": 1.0})

        with (
            calling(gateway, 20.0, label, labels),
            calling(gateway, _CAPACITY * 5.0, lambda _: entity(next(numbers)), storm),
        ):
            time.sleep(setting.pick(4, 300))
        refused = storm.of(429, 503)
        outcome.faults = len(refused)
        accepted = len(labels.of(202)) / len(labels.said)
        outcome.at_least("labels accepted", accepted, 0.999, timed=True)
        outcome.at_most("p99 of a label", quantile(labels.of(202), 0.99), 0.25, " s")
        begun = min(one.due + one.took for one in refused)
        before = [one.body["prediction_id"] for one in storm.of(200) if one.due <= begun]
        outcome.at_least("shadows shed before the first refusal", _shed(gateway, before), 1, timed=True)
        books = gateway.ledger(20.0)["shadows"]
        outcome.exactly("shadows unaccounted for", books["eligible"] - books["done"] - books["dropped"], 0)
    return outcome


def _shed(gateway: Gateway, ids: list[str]) -> int:
    gateway.ledger(20.0)
    found = [gateway.control.get(f"/admin/predictions/{one}").json() for one in ids[-300:]]
    return sum(shadow.get("dropped") == "crowded" for one in found for shadow in one["shadows"])


def slow_callers(setting: Setting) -> Outcome:
    """O5: hundreds of callers who send a byte a second, of a head or of a body."""
    outcome, numbers, n = Outcome(what="connections that sent a byte a second"), itertools.count(), 500
    with small_house(setting.folder, Coded(ARMS["stable"])) as gateway:
        calm, attacked = Answers(), Answers()
        with calling(gateway, 40.0, lambda _: entity(next(numbers)), calm):
            time.sleep(setting.pick(3, 20))
        with calling(gateway, 40.0, lambda _: entity(next(numbers)), attacked):
            place = str(gateway.data.base_url.host), int(gateway.data.base_url.port or 0)
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as attacker:  # not the callers' own
                lived = attacker.submit(attack, place, n, setting.pick(17, 60)).result()
        outcome.faults = len(lived)
        outcome.exactly("failed requests of others", len(attacked.said) - len(attacked.of(200)), 0)
        limit = 2.0 * quantile(calm.of(200), 0.99)
        outcome.at_most("p99 of others", quantile(attacked.of(200), 0.99), setting.noisy(limit), " s")
        outcome.at_most("longest life of a slow connection", max(lived), 15.0, " s")
        outcome.exactly("slow connections", len(lived), n)
    return outcome


def attack(place: tuple[str, int], n: int, longest_s: float) -> list[float]:
    """Open connections and feed each a byte a second; how long each lived, in seconds."""
    return asyncio.run(_drip(place, n, longest_s))


async def _drip(place: tuple[str, int], n: int, longest_s: float) -> list[float]:

    async def one(number: int) -> float:
        await asyncio.sleep(number / n)
        reader, writer = await asyncio.open_connection(*place)
        began = time.monotonic()
        said = _HEAD + (b"Content-Length: 400\r\n\r\n" if number % 2 else b"")
        whole = len(said) if number % 2 else 0  # a whole head and then a slow body, or a slow head
        writer.write(said[:whole])
        more = said[whole:] + b"x" * 400
        reading = asyncio.create_task(reader.read())
        for byte in more:
            done, _ = await asyncio.wait([reading], timeout=1.0)
            if done or time.monotonic() - began > longest_s:
                break
            writer.write(bytes([byte]))
        reading.cancel()
        writer.close()
        return time.monotonic() - began

    return list(await asyncio.gather(*(one(number) for number in range(n))))


def too_late(setting: Setting) -> Outcome:
    """O6: requests whose deadline passes while they wait are not run."""
    path = setting.folder / "calls"
    outcome, dice = Outcome(what="requests whose deadline had passed"), setting.dice
    rate, n = _CAPACITY * 3.0, setting.pick(800, 20_000)
    with small_house(
        setting.folder, Noted(ARMS["stable"], _EACH_S, str(path)), deployment={"deadline": "5s"}
    ) as gateway:
        path.unlink(missing_ok=True)
        answers = Answers()

        def make(number: int) -> Ask:
            deadline = str(dice.randrange(20, 300))
            body = {"features": {"entity": float(number)}, "request_id": f"r{number}"}
            return Ask("/predict", body, (("X-Deadline-Ms", deadline),))

        with calling(gateway, rate, make, answers):
            time.sleep(n / rate)
        until(lambda: gateway.ledger(5.0)["predictions"]["received"] >= len(answers.of(200, 504)), 30.0)
        begun = {float(line.split()[1]): float(line.split()[0]) for line in path.read_text().splitlines()}
        keys, late = load_or_create_keys(gateway.state / "keys.json"), 0
        for one in answers.of(504):
            number = one.ask.body["features"]["entity"]
            if number in begun:
                ident = mint(keys, tag_of(DEPLOYMENT), body_of("local", DEPLOYMENT, one.ask.body["request_id"]))
                arrived = gateway.control.get(f"/admin/predictions/{ident}").json()["at"]
                late += begun[number] > arrived + float(one.ask.headers[0][1]) / 1_000.0 + 0.005
        outcome.faults = len(answers.of(504))
        outcome.exactly("runs of a model for a request that was too late", late, 0)
        outcome.at_least("answered in time", len(answers.of(200)), 1)
        outcome.exactly("answers but 200, 503 and 504", len(answers.said) - len(answers.of(200, 503, 504)), 0)
    return outcome


ROWS = (
    Row("O1", "ten times the capacity: goodput stands, refusals are cheap", ten_times),
    Row("O3", "labels have their own lane; shadows are shed first", labels_meanwhile),
    Row("O5", "slow callers are cut off", slow_callers),
    Row("O6", "what is too late is not run", too_late),
)
