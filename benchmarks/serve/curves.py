"""How the cost of a request grows with the work: deployments, shadows, features, workers."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serve import load
from benchmarks.serve.house import House, build
from benchmarks.serve.load import Point, resident_mb
from benchmarks.serve.world import WIDTHS, World

CONNECTIONS = 16


@dataclass(frozen=True)
class Step:
    """One point of a curve: the amount of work, and what came of it. ``mb`` is one worker's resident memory."""

    amount: int
    rps: float
    cpu_us: float
    p50: float
    mb: float


def measure(world: World, scratch: Path, seconds: float, quick: bool) -> dict[str, list[Step]]:
    """Every curve, each point on a worker of its own."""
    at = _At(world, scratch, seconds)
    wide = {20: "logistic", **{width: f"wide-{width}" for width in WIDTHS}}
    return {
        "deployments": [
            at.point(count, {f"d{n}": "logistic" for n in range(count)}, shadows={f"d{n}": 0 for n in range(count)})
            for count in ((1, 10) if quick else (1, 10, 100))
        ],
        "shadows": [
            at.point(count, {"d0": "logistic"}, shadows={"d0": count})
            for count in ((0, 1, 8) if quick else (0, 1, 2, 4, 8))
        ],
        "features": [
            at.point(width, {"d0": name}, shadows={"d0": 0}, kind=f"features-{width}")
            for width, name in wide.items()
            if not quick or width in (20, 200)
        ],
        "workers": [
            at.point(count, {"d0": "logistic"}, shadows={"d0": 0}, workers=count)
            for count in ((1, 2) if quick else (1, 2, 4))
        ],
    }


class _At:
    def __init__(self, world: World, scratch: Path, seconds: float) -> None:
        self._world, self._scratch, self._seconds = world, scratch, seconds
        self._number = 0

    def point(
        self,
        amount: int,
        tables: dict[str, str],
        *,
        shadows: dict[str, int],
        kind: str = "features",
        workers: int = 1,
    ) -> Step:
        """Serve the tables and load the first one: the better of two runs, after a warm-up."""
        self._number += 1
        with _serving(
            lambda: build(self._world, self._world.folder / f"curve-{self._number}", tables, shadows=shadows), workers
        ) as house:
            url = f"http://127.0.0.1:{house.port}/predict/d0"
            points: list[Point] = []
            for n in range(3):
                ids = 10**6 + self._number * 10 + n
                connections = CONNECTIONS * workers
                points.append(load.run(url, kind, connections, self._seconds, self._scratch, ids, house.pid))
                house.sweep()
            best = max(points[1:], key=lambda point: point.rps)
            return Step(amount, best.rps, best.cpu_us, best.p50, resident_mb(house.pid))


@contextlib.contextmanager
def _serving(make: Callable[[], House], workers: int) -> Iterator[House]:
    house = make().start(workers)
    try:
        yield house
    finally:
        house.stop()
