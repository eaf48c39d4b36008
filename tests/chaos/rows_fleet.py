"""Rows on two hosts of two workers around one PostgreSQL: demotions, races, and a store that stops."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
import numpy as np
import psycopg

from tests.chaos.clients import Seen, audit, load, start_canary, train_coded
from tests.chaos.interleavings import races
from tests.chaos.report import Outcome, Row, Setting
from tests.chaos.rows_one_host import PLANS
from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, until
from tests.postgres_house import Postgres

_ADMIN = f"/admin/deployments/{DEPLOYMENT}"
_LEASE_S = 3.5
_CUT_EVERY = 6
_LISTENERS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'gateway-listener'"
_KILL_LISTENERS = _LISTENERS.replace("SELECT pid", "SELECT pg_terminate_backend(pid)")


@dataclass(frozen=True)
class Fleet:
    """Two gateways and their store. ``seen`` is what callers have seen of them since they began."""

    store: Postgres
    gateways: tuple[Gateway, Gateway]
    seen: Seen = field(default_factory=Seen)


_KEPT = ExitStack()
_kept: list[Fleet] = []


@contextmanager
def fleet(setting: Setting) -> Iterator[Fleet]:
    """Two gateways of two workers each around one PostgreSQL. In the small form one row leaves them to the next."""
    if not setting.quick:
        with _made(setting.folder) as made:
            yield made
        return
    if not _kept:
        folder = Path(tempfile.mkdtemp(prefix="gw-fleet-"))
        _KEPT.callback(shutil.rmtree, folder, ignore_errors=True)
        _kept.append(_KEPT.enter_context(_made(folder)))
    _kept[0].gateways[0].control.post(f"{_ADMIN}/demote", json={"reason": "the next row begins"})
    try:
        yield _kept[0]
    except BaseException:
        let_go()
        raise


def let_go() -> None:
    """End what rows have left to each other."""
    _kept.clear()
    _KEPT.close()


@contextmanager
def _made(folder: Path) -> Iterator[Fleet]:
    train_coded(folder / "models")
    store = Postgres.make("fsync=on", "full_page_writes=on")
    deployment = {"plans": PLANS, "guardrails": ["error_rate"]}
    config = simple_config(folder, workers=2, store=store.url, deployment=deployment)
    gateways = (Gateway(folder / "one", config), Gateway(folder / "other", config))
    try:
        store.start()
        for gateway in gateways:
            gateway.start(ready=False)
        for gateway in gateways:
            until(gateway.is_ready, 60.0)
            until(lambda gateway=gateway: gateway.sample("gateway_workers") == {"": 2.0}, 60.0)  # type: ignore[misc]
        yield Fleet(store, gateways)
    finally:
        for gateway in gateways:
            gateway.close()
        store.remove()


def propagation(setting: Setting) -> Outcome:
    """C2: the last canary answer after the decision's own time, over both hosts; some with notifications cut or lost.

    One demotion in six comes while the lines that carry notifications are cut off and connected again; before one in
    six the server's ends of them are stopped, so that they stand and nothing is heard, and only polling is left.
    """
    outcome = Outcome(what=f"demotions, one in {_CUT_EVERY} with its notifications cut off, one with them unheard")
    lags: dict[bool, list[float]] = {False: [], True: []}
    with fleet(setting) as both, psycopg.connect(both.store.url, autocommit=True) as admin:
        seen = both.seen
        with load(both.gateways, 60.0, seen, Random(setting.dice.random()), tell=0.2):
            for number in range(setting.pick(6, 1_000)):
                start_canary(both.gateways, "half", seen)
                deaf = number % _CUT_EVERY == _CUT_EVERY - 2
                if number % _CUT_EVERY == _CUT_EVERY - 1:
                    admin.execute(_KILL_LISTENERS)
                with _unheard(admin) if deaf else nullcontext():
                    lags[deaf].append(_demoted(both, number))
                outcome.faults += 1
        outcome.what += f" (p99 of a prediction meanwhile {seen.p99():.3f} s)"
        outcome.at_most("last canary answer, p99", float(np.quantile(lags[False], 0.99)), 0.25, " s")
        outcome.at_most("last canary answer, longest", max(lags[False]), 1.0, " s")
        outcome.at_most("last canary answer with a listener that hears nothing", max(lags[True]), 1.0, " s")
        audit(both.gateways, seen, outcome)
    return outcome


def _demoted(both: Fleet, number: int) -> float:
    """Demote at one host; how long after the decision's time the last canary answered, in seconds."""
    asked = both.gateways[number % 2]
    answer = asked.control.post(f"{_ADMIN}/demote", json={"reason": f"number {number}"})
    assert answer.status_code == 200, answer.text
    decided = _decided_at(asked, answer.json()["revision"])
    time.sleep(1.2)
    return max((at - decided for at, _ in both.seen.canary if at > decided), default=0.0)


@contextmanager
def _unheard(admin: psycopg.Connection) -> Iterator[None]:
    """Stop the server's end of every line that carries notifications."""
    pids = [int(pid) for (pid,) in admin.execute(_LISTENERS)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _decided_at(gateway: Gateway, revision: int) -> float:
    lines: list[dict[str, Any]] = gateway.control.get(f"{_ADMIN}/timeline").json()["decisions"]
    return float(next(line["machine_at"] for line in lines if line["revision"] == revision))


def compare_and_set(setting: Setting) -> Outcome:
    """C1: operators at both hosts change the split for the revision they read; one of them wins each."""
    changes = setting.pick(8, 250)
    outcome = Outcome(what="changes of the split that lost, of 8 clients on 2 hosts")
    with fleet(setting) as both:
        start_canary(both.gateways, "half", both.seen)
        first = _revision(both.gateways[0])

        def change(client: int) -> tuple[int, int, int, int]:
            won = lost = other = late = 0
            dice = Random(f"{setting.dice}{client}")
            with httpx.Client(base_url=both.gateways[client % 2].control.base_url, timeout=10.0) as http:
                for _ in range(changes):
                    revision = until(partial(_read_revision, http), 30.0)
                    weight = round(dice.uniform(0.0, 0.5), 3)
                    answer = http.put(
                        f"{_ADMIN}/traffic", json={"weights": {"canary": weight}}, headers={"If-Match": f'"{revision}"'}
                    )
                    won, lost = won + (answer.status_code == 200), lost + (answer.status_code == 412)
                    other += answer.status_code not in (200, 412)
                    late += answer.status_code == 200 and answer.json()["revision"] != revision + 1
            return won, lost, other, late

        with ThreadPoolExecutor(8) as pool:
            counts = list(pool.map(change, range(8)))
        won, lost, other, late = (sum(column) for column in zip(*counts, strict=True))
        outcome.faults = lost
        outcome.exactly("accepted less the growth of the revision", won - (_revision(both.gateways[1]) - first), 0)
        outcome.exactly("accepted for a revision that had gone by", late, 0)
        outcome.exactly("answers but 200 and 412", other, 0)
        outcome.exactly("accepted and refused", won + lost, 8 * changes)
        outcome.at_least("refused", lost, 1)
    return outcome


def _read_revision(http: httpx.Client) -> int | None:
    """The revision, as an operator reads it; None while the store is too busy to say, so that one asks again."""
    answer = http.get(_ADMIN)
    return int(answer.json()["revision"]) if answer.status_code == 200 else None


def _revision(gateway: Gateway) -> int:
    found: int = gateway.deployment()["revision"]
    return found


def latch(setting: Setting) -> Outcome:
    """C4: a new weight on one host against a demotion on the other; afterwards the demoted one has no share."""
    outcome = Outcome(what="races of a weight against a demotion")
    revived, odd = 0, list[int]()
    with fleet(setting) as both, ThreadPoolExecutor(2) as pool:
        one, other = both.gateways
        for number in range(setting.pick(4, 500)):
            start_canary(both.gateways, "half", both.seen)
            revision = _revision(one)
            headers = {"If-Match": f'"{revision}"'}
            body = {"weights": {"canary": 0.3}}
            hands = [(other, "demote"), (one, "traffic")][:: 1 if number % 2 else -1]
            calls = [
                pool.submit(gateway.control.put, f"{_ADMIN}/traffic", json=body, headers=headers)
                if what == "traffic"
                else pool.submit(gateway.control.post, f"{_ADMIN}/demote", json={"reason": "race"})
                for gateway, what in hands
            ]
            statuses = [call.result().status_code for call in calls]
            odd += [status for status in statuses if status not in (200, 409, 412)]
            outcome.faults += 1
            late = one.control.put(f"{_ADMIN}/traffic", json=body, headers={"If-Match": f'"{_revision(one)}"'})
            odd += [] if late.status_code == 409 else [late.status_code]
            shares = [(gateway.variant("canary") or {}).get("weight") for gateway in both.gateways]
            revived += sum(bool(share) for share in shares)
        outcome.exactly("demoted candidates with a share", revived, 0)
        outcome.exactly("answers but 200, 409 and 412, or a late weight taken", odd, [])
    _interleaved(setting, outcome)
    return outcome


def _interleaved(setting: Setting, outcome: Outcome) -> None:
    """The same without processes: three hosts' threads in orders that dice choose, the judge's own demotion among."""
    n = setting.pick(200, 10_000)
    found = races(setting.dice, n)
    outcome.faults += n
    outcome.what += f", and {n} orders of three hosts ({found.handed} steps)"
    outcome.exactly("demoted generations with a share, in any document", found.revived, 0)
    outcome.exactly("other answers than 200, 409 and 412", found.odd, [])
    outcome.exactly("calls without an answer of their own", found.calls - found.answers, 0)
    outcome.exactly("failing candidates that kept a share", found.standing, 0)


def store_stopped(setting: Setting) -> Outcome:
    """C6: SIGSTOP, then kill; stable goes on, the canary stops within its lease, operators hear so within a second."""
    outcome, began = Outcome(what="SIGSTOP of the store, and kill"), time.time()
    with fleet(setting) as both:
        seen = both.seen
        start_canary(both.gateways, "half", seen)
        with load(both.gateways, 60.0, seen, Random(setting.dice.random())):
            time.sleep(5.0)
            for _ in range(setting.pick(1, 10)):
                _one_stop(setting, both, seen, outcome)
        audit(both.gateways, seen, outcome)
        failed = [at for at in [*seen.failed, *(at for at, _ in seen.refused)] if at > began]
        outcome.exactly("failed predictions", len(failed), 0)
    return outcome


def _one_stop(setting: Setting, both: Fleet, seen: Seen, outcome: Outcome) -> None:
    stopped = time.time()
    both.store.signal(signal.SIGSTOP)
    outcome.faults += 1
    slowest, unavailable = 0.0, 0
    for _ in range(4):
        asked = time.monotonic()
        answer = both.gateways[0].control.post(f"{_ADMIN}/demote", json={"reason": "now"})
        unavailable += answer.status_code == 503
        slowest = max(slowest, time.monotonic() - asked)
    time.sleep(setting.pick(8, 120))
    back = time.time()  # what is stopped has to be woken to be killed, and may answer once more
    both.store.stop()
    outcome.faults += 1
    both.store.start()
    up = time.time()
    last = max((at for at, _ in seen.canary if at < back), default=stopped)
    until(lambda: len({where for at, where in seen.canary if at > up}) == 2, 10.0)
    again = [min(at for at, where in seen.canary if at > up and where == one) for one in {w for _, w in seen.canary}]
    outcome.exactly("admin writes answered 503", unavailable, 4)
    outcome.at_most("the slowest of them", slowest, 1.0, " s")
    outcome.at_most("last canary answer after the stop", last - stopped, _LEASE_S, " s")
    outcome.at_most("canary again after the store", max(again) - up, 2.0, " s")
    limit = setting.noisy(1.2 * seen.p99(stopped - 10.0, stopped))
    outcome.at_most("p99 while it was stopped", seen.p99(stopped, back), limit, " s")


ROWS = (
    Row("C2", "a demotion reaches every worker of every host", propagation),
    Row("C1", "concurrent operators: compare and set", compare_and_set),
    Row("C4", "weight against demotion: the latch wins", latch),
    Row("C6", "the store stops: static stability", store_stopped),
)
