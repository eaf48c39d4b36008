"""``python -m benchmarks.size [--n 10000000] [--only sqlite]``: the event log at size, in SQLite and in PostgreSQL.

A store is filled in bulk, then asked through the gateway's own ports: a drain's batch of late outcomes is joined, the
judge looks at a candidate, the ledger is read. Each has to take less than a second. Writes
``benchmarks/results/size.md``.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import psycopg

from benchmarks.size import loading, measuring, report
from benchmarks.size.measuring import Filled, Sized
from benchmarks.size.population import Population
from gateway.core.deployments import Plan, Step
from tests.control_house import SPEC
from tests.postgres_house import Postgres

_RATE = 100.0
_HELD = Plan("held", (Step(weight=0.2, events=1_000_000_000),))
_SERVER = ("shared_buffers=1GB", "max_wal_size=4GB", "fsync=on", "full_page_writes=on", "autovacuum=off")


def main() -> int:
    """Measure, print, write, and say whether every figure is under a second."""
    said = _arguments()
    found: list[Sized] = []
    with _folder(said.folder) as folder:
        for name, fill in (("sqlite", _sqlite), ("postgresql", _postgresql)):
            if said.only in ("", name):
                with fill(folder / f"{name}-{said.n}", said.n) as (url, filled):
                    found.append(measuring.measure(url, filled))
    text = report.write(found, said.n, _RATE, report.FILE.read_text())
    print(text)
    if not said.no_file:
        report.FILE.write_text(text)
    return 0 if all(figure.held for one in found for figure in one.figures) else 1


@contextmanager
def _folder(said: Path | None) -> Iterator[Path]:
    """Where the stores are: a folder that is named keeps them, and they are not filled again."""
    if said is not None:
        yield said
        return
    with tempfile.TemporaryDirectory(prefix="size-") as scratch:
        yield Path(scratch)


@contextmanager
def _sqlite(folder: Path, n: int) -> Iterator[tuple[str, Filled]]:
    folder.mkdir(parents=True, exist_ok=True)
    url, note = f"sqlite:{folder}/store.db", folder / "filled.json"
    if not note.exists():
        people, began = _founded(url, n), time.monotonic()
        loading.fill_sqlite(folder / "store.db", people, _telling("sqlite", n))
        size = sum(file.stat().st_size for file in folder.iterdir())
        note.write_bytes(msgspec.json.encode(Filled("SQLite", people, time.monotonic() - began, size)))
    yield url, msgspec.json.decode(note.read_bytes(), type=Filled)


@contextmanager
def _postgresql(folder: Path, n: int) -> Iterator[tuple[str, Filled]]:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    note = folder / "filled.json"
    if (folder / "server" / "data").exists():
        server = Postgres.over(folder / "server", *_SERVER)
    else:
        server = Postgres.make(*_SERVER)
        shutil.move(server.folder, folder / "server")
        server.folder = folder / "server"
    try:
        url = server.start().url
        if not note.exists():
            people, began = _founded(url, n), time.monotonic()
            loading.fill_postgresql(url, people, _telling("postgresql", n))
            with psycopg.connect(url) as connection:
                connection.autocommit = True
                connection.execute("CHECKPOINT")  # or its next start would go through the log for long
                [size] = connection.execute("SELECT pg_database_size('postgres')").fetchone() or (0,)
            note.write_bytes(msgspec.json.encode(Filled("PostgreSQL", people, time.monotonic() - began, int(size))))
        yield url, msgspec.json.decode(note.read_bytes(), type=Filled)
    finally:
        server.stop()


def _founded(url: str, n: int) -> Population:
    """Found a deployment in an empty store, start a candidate, and say who was served."""
    with measuring.opened(url) as (_, here):
        here.open(replace(SPEC, plans={"held": _HELD}))
        rollout = here.start(plan="held")
        return Population(n, _RATE, here.document.stable.generation, rollout.generation)


def _telling(name: str, n: int) -> Callable[[int], None]:
    began = time.monotonic()

    def tell(first: int) -> None:
        if first % 500_000 == 0:
            print(f"{name}: {first:,} of {n:,} after {time.monotonic() - began:.0f} s", flush=True)

    return tell


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.size", description=__doc__)
    parser.add_argument("--n", type=int, default=10_000_000, help="how many predictions")
    parser.add_argument(
        "--only", choices=("sqlite", "postgresql"), default="", help="this one; the other's figures stay"
    )
    parser.add_argument("--folder", type=Path, help="keep the filled stores there (1.5 KB a prediction), or find them")
    parser.add_argument("--no-file", action="store_true", help="leave the page of figures as it is")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
