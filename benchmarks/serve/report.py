"""The table of a run: medians over the rounds, and the ratio to the echo that is sent the same body."""

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.serve.load import Point
from benchmarks.serve.subject import Subject

FILE = Path("benchmarks/results/serve.md")
PACKAGES = ("fastapi", "uvicorn", "pydantic", "msgspec", "feast", "scikit-learn", "redis", "onnxruntime", "treelite")


def write(subjects: Sequence[Subject], generator: str, rounds: int, seconds: float) -> str:
    """Write everything down."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    lines = [
        "# One worker each, measured side by side",
        "",
        f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}; {versions}.",
        f"Load by {generator}, closed loop, {rounds} interleaved rounds of {seconds:g} s per point; medians, spread in",
        "brackets (lowest-highest). `of echo` is the median of the ratios taken within each round.",
        "",
        "| subject | connections | requests/s | of echo | p50 ms | p99 ms | p99.9 ms | CPU us | errors |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    echoes = {subject.kind: subject for subject in subjects if subject.name in ("echo", "echo20")}
    for subject in subjects:
        for connections, points in sorted(subject.points.items()):
            lines.append(_row(subject, connections, points, echoes.get(subject.kind)))
    lines += ["", "| process | resident MB | ready after s |", "|---|---|---|"]
    seen = set()
    for subject in subjects:
        if subject.pid not in seen:
            seen.add(subject.pid)
            started = f"{subject.house.started_in_s:.2f}" if subject.house else ""
            lines.append(f"| {subject.name} | {resident_mb(subject.pid):.0f} | {started} |")
    return "\n".join(lines) + "\n"


def _row(subject: Subject, connections: int, points: Sequence[Point], echo: Subject | None) -> str:
    rps = [point.rps for point in points]
    ratio = ""
    if echo is not None and connections in echo.points:
        pairs = zip(rps, (point.rps for point in echo.points[connections]), strict=True)
        ratio = f"{statistics.median(own / floor for own, floor in pairs):.2f}"
    spread = f"{statistics.median(rps):,.0f} ({min(rps):,.0f}-{max(rps):,.0f})"
    rest = " | ".join(f"{statistics.median(getattr(p, name) for p in points):.2f}" for name in ("p50", "p99", "p999"))
    cpu = statistics.median(point.cpu_us for point in points)
    errors = sum(point.errors for point in points)
    return f"| {subject.name} | {connections} | {spread} | {ratio} | {rest} | {cpu:.0f} | {errors} |"


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) / 1000
    return 0.0


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "absent"
