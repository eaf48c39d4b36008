"""Rows on one host with SQLite: processes killed again and again."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.clients import Seen, audit, load, probe, start_canary, train_coded
from tests.chaos.report import Outcome, Row, Setting
from tests.e2e.harness import Gateway, simple_config, until

PLANS = {"tenth": [{"weight": 0.1, "events": 1_000_000_000}], "half": [{"weight": 0.5, "events": 1_000_000_000}]}
_RECOVERY_S = 2.0
_RATE = 40.0


@contextmanager
def house(folder: Path, **said: Any) -> Iterator[Gateway]:
    """One gateway of two workers, with coded models."""
    train_coded(folder / "models")
    deployment = {"plans": PLANS, "guardrails": ["error_rate"], **said.pop("deployment", {})}
    gateway = Gateway(folder, simple_config(folder, workers=2, deployment=deployment, **said))
    try:
        gateway.start()
        until(lambda: gateway.sample("gateway_workers") == {"": 2.0}, 60.0)
        yield gateway
    finally:
        gateway.close()


def kill_loop(setting: Setting) -> Outcome:
    """D1: worker, agent or the whole gateway, 20 to 250 ms after an acknowledgement."""
    outcome, dice, seen = Outcome(what="kill -9 of a worker, the agent or all"), setting.dice, Seen()
    slowest, slowest_start = 0.0, 0.0
    with house(setting.folder) as gateway:
        normal_s = _clean_start_s(gateway, seen)
        for _ in range(setting.pick(4, 1_000)):
            until(lambda: gateway.sample("gateway_workers") == {"": 2.0}, 60.0)
            told, whole = len(seen.told), dice.random() < 0.25
            with load([gateway], _RATE, seen, Random(dice.random())):
                until(partial(_more_told, seen, told), 20.0)
                time.sleep(dice.uniform(0.02, 0.25))
                _kill(gateway, whole, dice)
                outcome.faults += 1
            began = time.monotonic()
            if whole:
                gateway.start(ready=False)
            until(lambda: probe(gateway, seen), 60.0)
            took = time.monotonic() - began
            slowest, slowest_start = (
                (slowest, max(slowest_start, took)) if whole else (max(slowest, took), slowest_start)
            )
        until(lambda: gateway.sample("gateway_workers") == {"": 2.0}, 60.0)
        outcome.at_most("serving again after the loss of one process", slowest, _RECOVERY_S, " s")
        outcome.at_most("serving again after the loss of all", slowest_start, _RECOVERY_S + normal_s, " s")
        audit([gateway], seen, outcome)
    return outcome


def _clean_start_s(gateway: Gateway, seen: Seen) -> float:
    """How long this gateway takes to serve after an orderly end: what a recovery is measured against."""
    gateway.stop(60.0)
    began = time.monotonic()
    gateway.start(ready=False)
    until(lambda: probe(gateway, seen), 60.0)
    return time.monotonic() - began


def _more_told(seen: Seen, than: int) -> bool:
    return len(seen.told) > than


def _kill(gateway: Gateway, whole: bool, dice: Random) -> None:
    if whole:
        assert gateway.process is not None
        gateway.process.kill()
        gateway.process.wait()
        return
    children = [*gateway.children("worker"), *gateway.children("agent")]
    os.kill(dice.choice(children), signal.SIGKILL)


def killed_workers(setting: Setting) -> Outcome:
    """A1: one worker at random, every three seconds, under load and with a canary."""
    outcome, seen, slowest, in_flight = Outcome(what="kill -9 of a worker"), Seen(), 0.0, 0
    with house(setting.folder) as gateway:
        start_canary((gateway,), "tenth", seen)
        with load([gateway], _RATE, seen, Random(setting.dice.random())):
            until(lambda: len(seen.told) > 20, 30.0)
            for _ in range(setting.pick(3, 200)):
                victim = setting.dice.choice(gateway.children("worker"))
                in_flight += seen.under_way
                os.kill(victim, signal.SIGKILL)
                began = time.monotonic()
                outcome.faults += 1
                until(partial(_replaced, gateway, victim), 30.0)
                slowest = max(slowest, time.monotonic() - began)
                time.sleep(max(0.0, 3.0 - (time.monotonic() - began)))
        outcome.at_most("failed requests", len(seen.failed), in_flight)
        outcome.exactly("refused requests", len(seen.refused), 0)
        outcome.at_most("both workers again after", slowest, _RECOVERY_S + _start_s(gateway), " s")
        audit([gateway], seen, outcome)
    return outcome


def _replaced(gateway: Gateway, victim: int) -> bool:
    workers = gateway.children("worker")
    return victim not in workers and len(workers) == 2 and gateway.sample("gateway_workers") == {"": 2.0}


def _start_s(gateway: Gateway) -> float:
    """How long a worker takes to start and load here: an orderly replacement, measured in the same run."""
    [victim, _] = gateway.children("worker")
    os.kill(victim, signal.SIGTERM)
    until(lambda: victim not in gateway.children("worker"), 30.0)
    began = time.monotonic()
    until(lambda: _replaced(gateway, victim), 60.0)
    return time.monotonic() - began


ROWS = (
    Row("D1", "kill -9 loop: what was acknowledged is stored", kill_loop),
    Row("A1", "kill -9 a worker: only its in-flight requests fail", killed_workers),
)
