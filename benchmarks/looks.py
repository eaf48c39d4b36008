"""Is the judge fast enough: 1,000 deployments looked at in a second, 100,000 events judged a second, on one core.

    python -m benchmarks.looks

prints both figures and exits with 1 when one misses its goal. A look here is all of it: the control document, the
evidence read from a SQLite store, the bets, the verdict, and what is saved. Time is this process's own CPU time, so
that a busy neighbour does not count; waiting for a disk is not CPU time and is not what this measures.
"""

import random
import sys
import tempfile
import time
from collections.abc import Iterator

from gateway.adapters.clock import ManualClock
from gateway.adapters.store import Store, open_store
from gateway.adapters.store.judge_codec import JsonJudgeCodec
from gateway.control import Control
from gateway.core.deployments import DeploymentSpec, Field, ModelCard, Plan, Step, Task, Type
from gateway.core.events import ArmRecord, Event, EvidenceRow, OutcomeRecord, Position, PredictionRecord
from gateway.core.features import NO_FEATURES
from gateway.core.ids import tag_of
from gateway.core.judging import JudgeState, look, open_case, verdict
from gateway.core.metrics import default_guardrail

DEPLOYMENTS, LOOKS_S = 1_000, 1.0
EVENTS, EVENTS_S = 100_000, 1.0
REQUESTS = 20
"""New requests of a deployment between two looks."""
ROUNDS = 7
HISTORY = 200
"""Requests that a deployment was judged on before."""
AT_ONCE = 100
"""Deployments whose looks share a transaction, as the agent has it."""
SHARE = 0.05
T0 = 1_363_000_000.0

GUARDRAILS = (default_guardrail("error_rate"), default_guardrail("accuracy"))
PLAN = Plan("p", (Step(weight=SHARE, events=10**9),))
SPOOL = "host-boot-1-1-p000001"


def main() -> None:
    """Measure both, say so, and exit."""
    looks, events = thousand_looks(), hundred_thousand_events()
    print(f"{DEPLOYMENTS:,} deployments looked at in {looks:.2f} s of one core (goal: {LOOKS_S:g} s)")
    print(f"{EVENTS / events:,.0f} events judged a second on one core (goal: {EVENTS / EVENTS_S:,.0f})")
    sys.exit(0 if looks <= LOOKS_S and events <= EVENTS_S else 1)


def hundred_thousand_events() -> float:
    """Judge so many requests, each as health and again as mature, in looks of a thousand; CPU seconds."""
    draw, case = random.Random(1), _case()
    rows = [_row(number, draw) for number in range(EVENTS)]
    started = time.process_time()
    for first in range(0, EVENTS, 1_000):
        batch = rows[first : first + 1_000]
        case = look(case, health=batch, mature=batch, pairs=(), at=batch[-1].position.at)
        verdict(case, case.looked_at)
    return time.process_time() - started


def thousand_looks() -> float:
    """Look at each of so many deployments, each with a few new requests; CPU seconds, the least of seven rounds."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:{folder}/store.db")
        control, draw = _control(store), random.Random(2)
        with store.control.together():
            names = list(_deployments(control))
        until = _round(store, control, names, 0, HISTORY, draw)[0]
        spent = []
        for _ in range(ROUNDS):
            until, seconds = _round(store, control, names, until, REQUESTS, draw)
            spent.append(seconds)
        judged = control.case(control.read(names[0]).rollouts["canary"], names[0])
        if judged.judged_until != T0 + until or not judged.n_candidate:
            raise RuntimeError("the looks saw nothing")
        store.close()
        return min(spent)


def _round(
    store: Store, control: Control, names: list[str], first: int, count: int, draw: random.Random
) -> tuple[int, float]:
    """Serve some requests, then look at everything, and say up to where, and how long the looks took."""
    _serve(store, names, first, count, draw)
    until, visible = first + count, store.events.cursors()
    started = time.process_time()
    for some in range(0, DEPLOYMENTS, AT_ONCE):
        control.look_at_all(names[some : some + AT_ONCE], T0 + until, visible)
    return until, time.process_time() - started


def _control(store: Store) -> Control:
    numbers = iter(range(10**9))
    return Control(
        store.control, store.events, ManualClock(data=T0), JsonJudgeCodec(), token=lambda: f"t{next(numbers)}"
    )


def _deployments(control: Control) -> Iterator[str]:
    for number in range(DEPLOYMENTS):
        name = f"model-{number}"
        spec = DeploymentSpec(name, name, "models:/m/1", guardrails=GUARDRAILS, plans={"p": PLAN})
        control.found(spec, _card("1"), actor="benchmark")
        control.start_canary(name, _card("2"), NO_FEATURES, actor="benchmark")
        control.ready(name, control.read(name).rollouts["canary"].generation)
        yield name


def _card(version: str) -> ModelCard:
    inputs = (Field("x", Type.NUMBER),)
    return ModelCard("m", version, f"models:/m/{version}", f"digest-{version}", "joblib", "m", inputs, Task.BINARY)


def _serve(store: Store, names: list[str], first: int, count: int, draw: random.Random) -> None:
    """Append ``count`` requests a second apart, with their labels, for each deployment."""
    end = store.events.cursors().get(SPOOL, 0)
    for name in names:
        state = store.control.read(name)
        if state is None:
            raise RuntimeError(f"{name} is not there")
        arms = (
            ArmRecord("stable", state.stable.generation, 1.0 - SHARE, "digest-1"),
            ArmRecord("canary", state.rollouts["canary"].generation, SHARE, "digest-2"),
        )
        events = [event for number in range(first, first + count) for event in _request(name, arms, number, draw)]
        store.events.append(SPOOL, [(end + place, event) for place, event in enumerate(events)], end + len(events))
        end += len(events)


def _request(name: str, arms: tuple[ArmRecord, ...], number: int, draw: random.Random) -> tuple[Event, Event]:
    at, body = T0 + number + 0.5, f"b{number}"
    assigned = "canary" if draw.random() < SHARE else "stable"
    error = "ValueError" if draw.random() < 0.01 else None
    record = PredictionRecord(
        tag=tag_of(name),
        body=body,
        deployment=name,
        revision=3,
        epoch=0,
        key_hash=body,
        at=at,
        assigned=assigned,
        served="stable" if error else assigned,
        arms=arms,
        error=error,
        label=1,
        score=0.7,
    )
    return record, OutcomeRecord(record.tag, body, "label", int(draw.random() > 0.1), at, at)


def _case() -> JudgeState:
    return open_case(GUARDRAILS, alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=T0, pairs=False)


def _row(number: int, draw: random.Random) -> EvidenceRow:
    return EvidenceRow(
        position=Position(T0 + number, SPOOL, number),
        candidate=draw.random() < SHARE,
        propensity=SHARE,
        failed=draw.random() < 0.01,
        label=1,
        score=0.7,
        scores=None,
        latency_s=0.01,
        outcomes={"label": int(draw.random() > 0.1)},
    )


if __name__ == "__main__":
    main()
