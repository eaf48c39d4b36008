"""``python -m benchmarks.scale``: what hosts ask of the store they share, and when that is too much.

First measures, on a real PostgreSQL, what one heartbeat, one reading of control state, one drained batch and one look
cost; then simulates, by those costs and a seed, up to 1,000 hosts around one store. A host
reads control state and meets the others twice a second and after every change; a change is a demotion, which reaches a
host when it has read it. Writes ``benchmarks/results/scale.md``.
"""

import argparse
import heapq
import itertools
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import msgspec
import numpy as np

from gateway.adapters.store import Store, documents, open_store
from gateway.core.deployments import Plan, Step
from gateway.core.ids import tag_of
from gateway.ports import HostWord
from tests.control_house import NAME, SPEC, House
from tests.postgres_house import Postgres
from tests.records import T0, prediction

FILE = Path(__file__).parent / "results" / "scale.md"
_SEED = 20261130
_EVERY_S = 0.5
_NETWORK_S = 0.0005
_DEPLOYMENTS = 10
_BATCH = 1_000
_HELD = Plan("held", (Step(weight=0.1, events=1_000_000_000),))
_CORES = 16
"""Processors of the store's server, in the simulation."""


@dataclass(frozen=True)
class Costs:
    """Seconds of one call, the least of many: what the store and its caller took together."""

    beat: float
    live: tuple[float, float]
    """Of a reading of all live hosts: for any, and for each host."""
    control: float
    """Of a reading of ten deployments, each with a candidate under way."""
    lead: float
    drain: float
    """Of a batch of a thousand predictions, seconds for each."""
    look: float
    """Of a look at a thousand new predictions, seconds for each."""
    word_bytes: int
    document_bytes: int


@dataclass(frozen=True)
class Traffic:
    """What came of a simulated minute around one store."""

    hosts: int
    statements: float
    """A second."""
    megabytes: float
    """A second, read from the store."""
    busy: float
    """Processors of the store's server that are at work; above all it has the queue grows without end."""
    lag_p50: float
    lag_p99: float
    """Seconds from a demotion until half (all but a hundredth) of the hosts have read it."""


def main() -> None:
    """Measure, simulate, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--seed", type=int, default=_SEED)
    parser.add_argument("--no-file", action="store_true", help="leave the page of figures as it is")
    said = parser.parse_args()
    server = Postgres.make().start()
    try:
        costs = measured(server)
    finally:
        server.remove()
    found = [simulated(hosts, costs, Random(f"{said.seed}/{hosts}")) for hosts in (1, 10, 50, 100, 200, 400, 1_000)]
    text = page(costs, found, said.seed)
    print(text)
    if not said.no_file:
        FILE.write_text(text)


def measured(server: Postgres) -> Costs:
    """Ask a real store, as an agent does."""
    with closing(open_store(server.schema(), "host-0")) as store:
        here = House(state=store.control, log=store.events)
        for number in range(_DEPLOYMENTS):
            name = NAME if number == 0 else f"{NAME}-{number}"
            here.open(replace(SPEC, name=name, plans={"held": _HELD}))
        here.start(plan="held")
        word = HostWord("host-0", T0, T0 + 1.0, 8, frozenset(f"{n:064x}" for n in range(20)), as_of=T0)
        store.hosts.beat(word)
        one = _least(store.hosts.live)
        for number in range(1, 1_000):
            store.hosts.beat(replace(word, host=f"host-{number}"))
        all_of_them = _least(store.hosts.live, 10)
        each = max(0.0, (all_of_them - one) / 999)
        drain, look = _drained(store, here)
        return Costs(
            beat=_least(lambda: store.hosts.beat(word)),
            live=(one, each),
            control=_least(store.control.all),
            lead=_least(store.leadership.acquire),
            drain=drain,
            look=look,
            word_bytes=len(msgspec.json.encode(word)),
            document_bytes=len(documents.encode(here.document)),
        )


def _drained(store: Store, here: House) -> tuple[float, float]:
    """Seconds a prediction: drained in batches of a thousand, and looked at as many at a time."""
    drains, looks, generation = [], [], here.rollout().generation
    for turn in range(8):
        arms = tuple(
            replace(arm, generation=generation if arm.name == "canary" else here.document.stable.generation)
            for arm in prediction().arms
        )
        numbers = range(turn * _BATCH, (turn + 1) * _BATCH)
        events = [(n, prediction(f"b{n}", T0 + n / 1e3, tag=tag_of(NAME), deployment=NAME, arms=arms)) for n in numbers]
        drains.append(_took(lambda events=events, end=numbers.stop: store.events.append("w-p000000", events, end)))  # type: ignore[misc]
        at = T0 + (numbers.stop - 0.5) / 1e3
        looks.append(_took(lambda at=at: here.control.look(NAME, at, store.events.cursors())))  # type: ignore[misc]
    return min(drains[1:]) / _BATCH, min(looks[1:]) / _BATCH


def _least(ask: Callable[[], object], times: int = 30) -> float:
    return min(_took(ask) for _ in range(times))


def _took(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


def simulated(hosts: int, costs: Costs, dice: Random, seconds: float = 60.0, changes: float = 0.2) -> Traffic:
    """One store's minute: calls queue for its processors, first come first served.

    ``changes`` a second (a Poisson process) make every host read control state and meet the others at once.
    """
    calls = _calls(hosts, dice, seconds, changes)
    live = costs.live[0] + costs.live[1] * hosts
    price = {"publish": costs.control, "meet": costs.beat + costs.lead + live}
    free, waits, work = [0.0] * _CORES, dict[float, list[float]](), 0.0
    for at, kind, change in calls:
        begins = max(at, heapq.heappop(free))
        ends = begins + price[kind]
        heapq.heappush(free, ends)
        work += price[kind]
        if change is not None and kind == "publish":
            waits.setdefault(change, []).append(ends + _NETWORK_S - change)
    lags = [lag for one in waits.values() for lag in one] or [float("nan")]
    asked = {kind: sum(one == kind for _, one, _ in calls) / seconds for kind in price}
    read = asked["publish"] * _DEPLOYMENTS * costs.document_bytes + asked["meet"] * hosts * costs.word_bytes
    return Traffic(
        hosts,
        asked["publish"] + 3.0 * asked["meet"],
        read / 1e6,
        work / seconds,
        float(np.quantile(lags, 0.5)),
        float(np.quantile(lags, 0.99)),
    )


def _calls(hosts: int, dice: Random, seconds: float, changes: float) -> list[tuple[float, str, float | None]]:
    """Every call of every host in order of time, with the change that it was made for (None: its turn had come)."""
    found: list[tuple[float, str, float | None]] = []
    for _, kind in itertools.product(range(hosts), ("publish", "meet")):
        at = dice.uniform(0.0, _EVERY_S)
        while at < seconds:
            found.append((at, kind, None))
            at += _EVERY_S
    at = dice.expovariate(changes)
    while at < seconds:
        for _, kind in itertools.product(range(hosts), ("publish", "meet")):
            found.append((at + _NETWORK_S * dice.uniform(1.0, 3.0), kind, at))
        at += dice.expovariate(changes)
    return sorted(found, key=lambda call: call[0])


def page(costs: Costs, found: list[Traffic], seed: int) -> str:
    """The figures as a page."""
    live, words = costs.live, f"{costs.word_bytes:,} bytes each"
    lines = [
        "# Hosts around one store",
        "",
        f"`python -m benchmarks.scale`, seed {seed}. Costs are the least of many calls on a real PostgreSQL, client",
        f"and server together on one machine. The simulation gives the server {_CORES} processors and {_DEPLOYMENTS}",
        "deployments, and demotes something every five seconds.",
        "",
        "| one call | cost |",
        "|---|---|",
        f"| a host's word | {costs.beat * 1e3:.2f} ms |",
        f"| the lead taken or renewed | {costs.lead * 1e3:.2f} ms |",
        f"| all live hosts read ({words}) | {live[0] * 1e3:.2f} ms + {live[1] * 1e6:.1f} µs a host |",
        f"| {_DEPLOYMENTS} documents read ({costs.document_bytes:,} bytes each) | {costs.control * 1e3:.2f} ms |",
        f"| a prediction drained, in batches of {_BATCH:,} | {costs.drain * 1e6:.0f} µs |",
        f"| a prediction looked at, {_BATCH:,} at a time | {costs.look * 1e6:.0f} µs |",
        "",
        "| hosts around a store | statements/s | MB/s read | processors of the store | demotion read, p50 | p99 |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        busy = f"{one.busy:.2f}" if one.busy < _CORES else f"**{one.busy:.0f}, more than it has**"
        lags = f"{one.lag_p50 * 1e3:.0f} ms | {one.lag_p99 * 1e3:.0f} ms"
        lines.append(f"| {one.hosts:,} | {one.statements:,.0f} | {one.megabytes:,.1f} | {busy} | {lags} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
