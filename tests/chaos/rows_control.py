"""Rows on what is decided: how soon a bad candidate goes, what cannot be judged, what is written down, who is drawn."""

import itertools
import math
import os
import signal
import sqlite3
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from random import Random
from typing import Any

import httpx
import numpy as np

from gateway.adapters.store import open_store
from gateway.core.audit import faults
from gateway.core.deployments import Guardrail, Plan, Step
from gateway.core.events import ArmRecord, PredictionRecord
from gateway.core.features import NO_FEATURES
from gateway.core.metrics import default_guardrail
from gateway.core.rollout import Signal
from gateway.core.routing import Candidate, RoutingTable, assign
from gateway.core.tables import table_of
from tests.chaos.clients import ARMS, Seen, load, start_canary
from tests.chaos.models import Raises, put
from tests.chaos.report import Outcome, Row, Setting
from tests.chaos.rows_one_host import house
from tests.control_house import NAME, SPEC, SPOOL, House
from tests.e2e.harness import DEPLOYMENT, Gateway, until

_ADMIN = f"/admin/deployments/{DEPLOYMENT}"
_LOOK_S = 0.5
_RATE = 200
_SHARE = 0.1
_HELD = Plan("held", (Step(weight=_SHARE, events=1_000_000_000),))
_WEIGHTS = (0.01, 0.1, 0.2, 0.5, 0.9)
_HALF = _WEIGHTS.index(0.5)
_QUICKLY = (default_guardrail("error_rate"), default_guardrail("latency"))


@dataclass(frozen=True)
class Behaviour:
    """How one side behaves: share of errors, and the median seconds of its model."""

    errors: float = 0.005
    median_s: float = 0.005


def harmful(setting: Setting) -> Outcome:
    """C9: candidates that fail or are slow at 20 requests a second, in virtual time; one that always fails, really."""
    outcome, runs = Outcome(what="harmful candidates, and harmless ones that must stay"), setting.pick(5, 100)
    cases = {
        "all errors": Behaviour(errors=1.0),
        "5 % errors": Behaviour(errors=0.05),
        "three times as slow": Behaviour(median_s=0.015),
    }
    gone = {
        name: [_until_demoted(Random(setting.dice.random()), one) for _ in range(runs)] for name, one in cases.items()
    }
    outcome.at_most("all errors, slowest demotion", max(gone["all errors"]), 2.0, " s")
    outcome.at_most("5 % errors against 0.5 %, median", float(np.median(gone["5 % errors"])), 10.0, " s")
    outcome.at_most("5 % errors against 0.5 %, 95 %", float(np.quantile(gone["5 % errors"], 0.95)), 30.0, " s")
    outcome.at_most("three times as slow, slowest", max(gone["three times as slow"]), 10.0, " s")
    lives = setting.pick(20, 1_000)
    false = sum(_demoted_in_a_day(Random(setting.dice.random())) for _ in range(lives))
    outcome.at_most(f"harmless candidates demoted, of {lives} days", false / lives, 0.05)
    outcome.faults = 3 * runs
    for _ in range(setting.pick(1, 20)):
        outcome.at_most("really, with all errors", _for_real(setting), 2.0, " s")
        outcome.faults += 1
    return outcome


def _opened(guardrails: tuple[Guardrail, ...]) -> House:
    here = House().open(replace(SPEC, guardrails=guardrails, plans={"held": _HELD}))
    here.start(plan="held")
    return here


def _until_demoted(dice: Random, candidate: Behaviour, longest_s: float = 60.0) -> float:
    """Seconds of data time from the candidate's start to its demotion."""
    here, stable = _opened(_QUICKLY), Behaviour()
    began = here.clock.data()
    while here.clock.data() - began < longest_s:
        _serve(here, dice, int(_RATE * _LOOK_S), 1.0 / _RATE, stable, candidate)
        if any(decision.action == "demote" for decision in here.look()):
            return here.clock.data() - began
    return math.inf


def _demoted_in_a_day(dice: Random, looks: int = 48) -> bool:
    here, same = _opened(_QUICKLY), Behaviour(errors=0.02)
    for _ in range(looks):
        _serve(here, dice, 60, 86_400.0 / looks / 60.0, same, same)
        if any(decision.action == "demote" for decision in here.look()):
            return True
    return False


def _serve(here: House, dice: Random, n: int, gap_s: float, stable: Behaviour, candidate: Behaviour) -> None:
    table = table_of(here.document, NO_FEATURES)
    able, parts, events = {one.part.name for one in table.candidates}, table.parts(), []
    for _ in range(n):
        here.clock.advance(gap_s)
        here.served += 1
        at, body = here.clock.data(), f"b{here.served}"
        drawn = assign(table, body, at, able)
        behaves = stable if drawn.arm == "stable" else candidate
        failed, took_s = dice.random() < behaves.errors, dice.lognormvariate(math.log(behaves.median_s), 0.5)
        arms = tuple(ArmRecord(a.name, a.generation, a.propensity, parts[a.name].model.digest) for a in drawn.arms)
        record = PredictionRecord(
            tag=table.tag,
            body=body,
            deployment=NAME,
            revision=table.revision,
            epoch=drawn.epoch,
            key_hash=body,
            at=at,
            assigned=drawn.arm,
            served="stable" if failed else drawn.arm,
            arms=arms,
            error="ValueError" if failed else None,
            label=1,
            score=0.5,
            latency={"model": took_s, "total": took_s},
        )
        events.append((here.end, record))
        here.end += 1
    here.log.append(SPOOL, events, here.end)


def _for_real(setting: Setting) -> float:
    """Seconds from a canary's first request to the last one it was drawn for, on processes."""
    folder, seen = setting.folder / f"real{setting.dice.random()}", Seen()
    put(folder / "models", "3", Raises(ARMS["canary"]))
    with house(folder, look_every="0.2s") as gateway, load([gateway], 40.0, seen, Random(setting.dice.random())):
        until(lambda: len(seen.acknowledged) > 40, 20.0)
        body = {"model": f"models:/{DEPLOYMENT}/3", "plan": "half"}
        answer = gateway.control.post(f"{_ADMIN}/canary", json=body, timeout=30.0)
        assert answer.status_code == 201, answer.text
        until(lambda: (gateway.variant("canary") or {}).get("phase") == "demoted", 30.0)
        lines: list[dict[str, Any]] = gateway.control.get(f"{_ADMIN}/timeline").json()["decisions"]
        times = {line["action"]: line["machine_at"] for line in lines}
        return float(times["demote"] - times["ready"])


def unmeasurable(setting: Setting) -> Outcome:
    """C10: nothing that could send a candidate back, or a metric that nobody can measure: refused, with the reason."""
    outcome, reasons = Outcome(what="candidates that could not be judged"), 0
    asked: list[dict[str, Any]] = [
        {"guardrails": []},
        {"guardrails": ["sorrow"]},
        {"guardrails": [{"metric": "error_rate", "role": "signal"}]},
        {"guardrails": [{"metric": "error_rate", "dry_run": True}]},
        {"guardrails": ["disagreement"]},
        {"guardrails": ["accuracy"]},
    ]
    with house(setting.folder) as gateway:
        for more in asked:
            body = {"model": f"models:/{DEPLOYMENT}/2", "plan": "tenth", **more}
            answer = gateway.control.post(f"{_ADMIN}/canary", json=body, timeout=30.0)
            outcome.faults += 1
            refused = answer.status_code == 422 and len(answer.json()["detail"]) > 10
            reasons += refused
            if not refused:
                outcome.exactly(f"answer to {more}", answer.status_code, 422)
        outcome.exactly("started all the same", gateway.variant("canary"), None)
    outcome.exactly("refused with a reason", reasons, len(asked))
    return outcome


def written_down(setting: Setting) -> Outcome:
    """C12: every change leaves a line, also when the agent is killed beside it; a changed or missing line shows."""
    outcome, kills = Outcome(what="kill -9 beside a change, and lines changed or taken away"), setting.pick(2, 200)
    with house(setting.folder) as gateway:
        start_canary((gateway,), "half", Seen())
        both_or_neither = 0
        for _ in range(kills):
            stop = threading.Event()
            changing = threading.Thread(target=_change, args=(gateway, stop, Random(setting.dice.random())))
            changing.start()
            time.sleep(setting.dice.uniform(0.1, 0.6))
            [agent] = gateway.children("agent") or [0]
            os.kill(agent, signal.SIGKILL)
            stop.set()
            changing.join()
            until(lambda: _agree(gateway) is not None, 30.0)
            both_or_neither += _agree(gateway) is True
            outcome.faults += 1
        gateway.stop()
    outcome.exactly("kills after which state and timeline agree", both_or_neither, kills)
    tampered = setting.pick(100, 1_000)
    outcome.exactly("changes of the timeline that show", _tampered(setting, tampered), tampered)
    outcome.faults += tampered
    return outcome


def _change(gateway: Gateway, stop: threading.Event, dice: Random) -> None:
    """Change the split as fast as it goes until told to stop, or until nobody answers."""
    with httpx.Client(base_url=gateway.control.base_url, timeout=2.0) as http:
        try:
            while not stop.is_set():
                revision = http.get(_ADMIN).json()["revision"]
                body = {"weights": {"canary": round(dice.uniform(0.0, 0.5), 3)}}
                http.put(f"{_ADMIN}/traffic", json=body, headers={"If-Match": f'"{revision}"'})
        except (httpx.HTTPError, KeyError):
            return


def _agree(gateway: Gateway) -> bool | None:
    """Whether the newest line is of the revision in force; None while nobody answers."""
    try:
        lines = gateway.control.get(f"{_ADMIN}/timeline?limit=1").json()["decisions"]
        return bool(lines[0]["revision"] == gateway.deployment()["revision"])
    except (httpx.HTTPError, KeyError):
        return None


def _tampered(setting: Setting, times: int) -> int:
    """Flip a byte, or take a line away, in a copy of the store; how often the audit says so."""
    path, shown = setting.folder / "state" / "store.db", 0
    store = open_store(f"sqlite:{path}")
    heads = {DEPLOYMENT: store.control.head(DEPLOYMENT)}
    assert faults(store.control.trail(), heads) == []
    state = store.control.read(DEPLOYMENT)
    assert state is not None
    assert state.revision == heads[DEPLOYMENT].count, "a line for every revision"
    store.close()
    for _ in range(times):
        with sqlite3.connect(path) as shell:
            shell.execute("PRAGMA synchronous=OFF")
            saved = shell.execute("SELECT decision, deployment, line, document, seal FROM decisions").fetchall()
            number, deployment, line, document, seal = setting.dice.choice(saved)
            if setting.dice.random() < 0.5:
                shell.execute("DELETE FROM decisions WHERE decision = ?", (number,))
            else:
                raw = bytearray((line if setting.dice.random() < 0.8 else seal).encode())
                place = setting.dice.randrange(len(raw))
                raw[place] ^= 1 << setting.dice.randrange(7)
                column = "line" if len(raw) == len(line.encode()) else "seal"
                shell.execute(f"UPDATE decisions SET {column} = ? WHERE decision = ?", (raw.decode(), number))
        shell.close()
        store = open_store(f"sqlite:{path}", read_only=True)
        shown += bool(faults(store.control.trail(), heads))
        store.close()
        with sqlite3.connect(path) as shell:
            values = (number, deployment, line, document, seal)
            shell.execute(
                "INSERT OR REPLACE INTO decisions (decision, deployment, line, document, seal) VALUES (?, ?, ?, ?, ?)",
                values,
            )
        shell.close()
    return shown


def agreement(setting: Setting) -> Outcome:
    """C13: eight processes draw the same for every id; a larger share takes nobody back to stable."""
    outcome, n = Outcome(what="ids drawn in each of 8 processes, at 5 weights"), setting.pick(10_000, 1_000_000)
    weights = _WEIGHTS
    with ProcessPoolExecutor(8, mp_context=get_context("spawn")) as pool:
        drawn = list(pool.map(_draw, [(weights, n)] * 8))
    outcome.faults = n * len(weights)
    outcome.exactly("processes that drew otherwise", sum(one != drawn[0] for one in drawn), 0)
    masks = [int(mask) for mask in drawn[0]]
    back = sum((small & ~large).bit_count() for small, large in itertools.pairwise(masks))
    outcome.exactly("ids that a larger share sent back to stable", back, 0)
    for weight, mask in zip(weights, masks, strict=True):
        sigma = math.sqrt(weight * (1.0 - weight) / n)
        outcome.at_most(f"share at {weight:g} off by", abs(mask.bit_count() / n - weight) / sigma, 3.0, " sigma")
    first, second = masks[_HALF], int(_draw(((weights[_HALF],), n), starts=2)[0])
    both, sigma = (first & second).bit_count() / n, math.sqrt(0.25 * 0.75 / n)
    outcome.at_most("the share of two candidates' draws off by", abs(both - 0.25) / sigma, 3.0, " sigma")
    return outcome


def _draw(said: tuple[tuple[float, ...], int], starts: int = 1) -> list[int]:
    """Who gets the canary at each weight: a bit for each id. The candidate is the latest of so many."""
    weights, n = said
    here = House().open()
    for number in range(starts):
        here.start(plan="quick")
        if number < starts - 1:
            here.control.send(NAME, Signal.DEMOTE, actor="ann", reason="the next one comes")
    base: RoutingTable = table_of(here.document, NO_FEATURES)
    masks = []
    for weight in weights:
        part = base.candidates[0]
        table = replace(base, candidates=(Candidate(part.part, part.salt, weight),))
        bits = bytearray(n // 8 + 1)
        for number in range(n):
            if assign(table, f"id-{number}", 0.0, {part.part.name}).arm != "stable":
                bits[number // 8] |= 1 << number % 8
        masks.append(int.from_bytes(bits, "little"))
    return masks


ROWS = (
    Row("C9", "a candidate that fails or is slow goes soon, a harmless one stays", harmful),
    Row("C10", "what cannot be judged is not started", unmeasurable),
    Row("C12", "every change is written down, and what is written cannot be changed unseen", written_down),
    Row("C13", "everybody draws alike, and a ramp only ever adds", agreement),
)
