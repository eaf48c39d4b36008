"""The table of goals: each a figure from one run, what it has to be, and whether it is.

Ratios of throughput and of p99 are medians over rounds, each taken within its round.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.serve.curves import Step
from benchmarks.serve.load import Point
from benchmarks.serve.paced import Paced

PEERS = ("litserve", "mlserver", "bentoml", "ray-serve", "mlflow", "article")

Points = dict[str, dict[int, list[Point]]]
"""By subject and connections, round by round."""


@dataclass
class Run:
    """Everything that was measured. Whatever was left out is empty, and so are the goals that rest on it."""

    how: str = ""
    """By what load, and how long."""
    machine: str = ""
    points: Points = field(default_factory=dict)
    market: dict[str, Points] = field(default_factory=dict)
    """By model: the peers, and the gateway and the echo among them."""
    absent: dict[str, str] = field(default_factory=dict)
    """Peers that could not be measured, and why not."""
    settings: dict[str, str] = field(default_factory=dict)
    """How each peer was set up."""
    reads: dict[str, list[float]] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    paced: dict[str, list[Paced]] = field(default_factory=dict)
    curves: dict[str, list[Step]] = field(default_factory=dict)
    resident_mb: dict[str, float] = field(default_factory=dict)
    started_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Goal:
    """One line of the table."""

    says: str
    goal: str
    figure: str
    reached: bool


def judge(run: Run) -> list[Goal]:
    """Hold a run to every goal that it can be held to."""
    return [goal for row in _ROWS for goal in row(run)]


def ratio(points: Points, one: str, other: str, connections: int, what: str = "rps") -> float | None:
    """The median over rounds of a figure of one subject over that of another."""
    pairs = zip(points.get(one, {}).get(connections, ()), points.get(other, {}).get(connections, ()), strict=False)
    found = [getattr(a, what) / max(getattr(b, what), 1e-9) for a, b in pairs]
    return statistics.median(found) if found else None


def _least(says: str, least: float, found: float | None) -> Iterator[Goal]:
    if found is not None:
        yield Goal(says, f"at least {least:g}", f"{found:.2f}", found >= least)


def _most(says: str, most: float, found: float | None, unit: str = "", digits: int = 2) -> Iterator[Goal]:
    if found is not None:
        yield Goal(says, f"at most {most:g}{unit}", f"{found:,.{digits}f}{unit}", found <= most)


def _full(run: Run) -> Iterator[Goal]:
    for connections, least in ((1, 0.75), (16, 1.0), (64, 1.0)):
        says = f"everything on, requests/s over a bare echo, {connections} connections"
        yield from _least(says, least, ratio(run.points, "gateway-feast", "echo", connections))


def _article(run: Run) -> Iterator[Goal]:
    for connections in (1, 16, 64):
        says = f"everything on, requests/s over the article's endpoint with Feast's SDK, {connections} connections"
        yield from _least(says, 6.0, ratio(run.points, "gateway-feast", "article-feast", connections))
    says = "its p99 over the article's, 64 connections"
    yield from _most(says, 0.1, ratio(run.points, "gateway-feast", "article-feast", 64, "p99"))


def _peers(run: Run) -> Iterator[Goal]:
    for name, error in run.absent.items():
        yield Goal(f"{name}: measured", "yes", error.strip().splitlines()[-1][:160], reached=False)
    points = run.market.get("logistic", {})
    for connections in (1, 16, 64):
        measured = [peer for peer in PEERS if connections in points.get(peer, {})]
        if len(measured) < 2:  # the article's alone is no field of peers
            continue
        for what, better, words in (("rps", max, "requests/s"), ("p99", min, "p99")):
            best = better(measured, key=lambda peer: _median(points[peer][connections], what))
            found = ratio(points, "gateway", best, connections, what)
            says = f"features in the body, {words} over the best peer ({best}), {connections} connections"
            yield from _least(says, 4.0, found) if what == "rps" else _most(says, 0.25, found)


def _trees(run: Run) -> Iterator[Goal]:
    for model, words in (("forest", "random forest of 100 trees"), ("boosting", "HistGradientBoosting")):
        for connections in (1, 16, 64):
            says = f"{words}, requests/s over a bare echo, {connections} connections"
            yield from _least(says, 0.8, ratio(run.points, f"gateway-{model}", "echo20", connections))


def _reads(run: Run) -> Iterator[Goal]:
    def over(one: str, other: str) -> float | None:
        if not run.reads:
            return None
        return statistics.median(a / b for a, b in zip(run.reads[one], run.reads[other], strict=True))

    yield from _most(
        "one row of three views from Redis over a bare pipelined HMGET", 1.6, over("gateway, Redis", "bare HMGET")
    )
    yield from _least("Feast's SDK on Redis over it", 6.0, over("SDK, Redis", "gateway, Redis"))
    yield from _least("the same on SQLite", 8.0, over("SDK, SQLite", "gateway, SQLite"))


def _added(run: Run) -> Iterator[Goal]:
    own, echo = (run.points.get(name, {}).get(1) for name in ("gateway-logistic", "echo20"))
    if own and echo:
        added = statistics.median(1e3 * (a.p50 - b.p50) for a, b in zip(own, echo, strict=False))
        yield from _most("added to a model call over the bare echo, median, 1 connection", 150.0, added, " us", 0)


def _paced(run: Run) -> Iterator[Goal]:
    own, calm = run.paced.get("gateway-feast", []), run.paced.get("gateway-feast-calm", [])
    if own and calm:
        found = statistics.median(a.p99 / b.p99 for a, b in zip(own, calm, strict=True))
        yield from _most("stable's p99 with a shadow at 100 % over that without, same constant arrivals", 1.05, found)
    if own:
        found = statistics.median(each.p999 / each.p50 for each in own)
        yield from _most("p99.9 over the median at half of capacity, constant arrivals", 10.0, found)


def _answered(run: Run) -> Iterator[Goal]:
    """A refusal is quick: figures of a gateway that refused some are figures of nothing."""
    own = [
        point for name, by in run.points.items() if name.startswith("gateway") for each in by.values() for point in each
    ]
    paced = [point for each in run.paced.values() for point in each]
    for says, points in (("closed loop", own), ("constant arrivals", paced)):
        if points:
            errors = float(sum(point.errors for point in points))
            yield from _most(f"requests of the gateway's that were not answered by 200, {says}", 0.0, errors, digits=0)


def _disk(run: Run) -> Iterator[Goal]:
    says = "durability disk over process, requests/s, 64 connections"
    yield from _least(says, 0.8, ratio(run.points, "gateway-feast-disk", "gateway-feast", 64))


def _workers(run: Run) -> Iterator[Goal]:
    says = "two workers over one, two cores with the load generator on them, 64 connections"
    yield from _least(says, 1.5, ratio(run.points, "gateway-logistic-two", "gateway-logistic", 64))


def _worker(run: Run) -> Iterator[Goal]:
    yield from _most(
        "resident memory of a worker, logistic model, Redis", 120.0, run.resident_mb.get("gateway-feast"), " MB", 0
    )
    yield from _most("a worker's start with prepared models", 2.0, run.started_s.get("gateway-feast"), " s")


def _curves(run: Run) -> Iterator[Goal]:
    steps = run.curves.get("deployments", [])
    if len(steps) > 1:
        found = steps[-1].cpu_us / steps[0].cpu_us
        says = f"processor time per request, {steps[-1].amount} deployments over {steps[0].amount}"
        yield from _most(says, 1.25, found)
    steps = run.curves.get("log", [])
    if len(steps) > 1:
        says = f"processor time per request, a log of {steps[-1].amount:,} predictions over one of {steps[0].amount:,}"
        yield from _most(says, 1.25, steps[-1].cpu_us / steps[0].cpu_us)
    for name in ("shadows", "features"):
        steps = run.curves.get(name, [])
        if len(steps) > 1:
            added = (steps[-1].cpu_us - steps[0].cpu_us) / (steps[-1].amount - steps[0].amount)
            first = (steps[1].cpu_us - steps[0].cpu_us) / (steps[1].amount - steps[0].amount)
            says = f"{name}: what one more costs at the end of the curve over its beginning"
            yield from _most(says, 1.5, added / max(first, 1e-9))


def _median(points: Sequence[Point], what: str) -> float:
    return float(statistics.median(getattr(point, what) for point in points))


_ROWS: Sequence[Callable[[Run], Iterator[Goal]]] = (
    _full, _article, _peers, _trees, _reads, _added, _paced, _answered, _disk, _workers, _worker, _curves,
)  # fmt: skip
