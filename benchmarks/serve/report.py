"""What a run comes to on paper: the goals, and behind them every figure with its spread."""

import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.serve.goals import Goal, Run, ratio
from benchmarks.serve.load import Point

RESULTS = Path("benchmarks/results")
FILE, PLOT = RESULTS / "serve.md", RESULTS / "serve.svg"
PACKAGES = ("fastapi", "uvicorn", "pydantic", "msgspec", "feast", "scikit-learn", "redis", "onnxruntime", "treelite")


def write(run: Run, goals: Sequence[Goal], how: str, settings: Mapping[str, str]) -> str:
    """Write everything down. ``how`` says how it was measured, ``settings`` how each peer was set up."""
    reached = sum(goal.reached for goal in goals)
    lines = [
        "# One worker each, measured side by side",
        "",
        f"{machine()}.",
        how,
        "",
        f"**{reached} of {len(goals)} goals reached.** What misses is marked.",
        "",
        "| figure | goal | measured | |",
        "|---|---|---|---|",
        *(f"| {g.says} | {g.goal} | {g.figure} | {'' if g.reached else '**missed**'} |" for g in goals),
        "",
        "![Requests per second](serve.svg)",
        *_points(run),
        *_peers(settings),
        *_reads(run),
        *_parts(run),
        *_paced(run),
        *_curves(run),
        *_processes(run),
    ]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """The machine and the versions."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}; {versions}"


def _points(run: Run) -> Iterator[str]:
    yield from (
        "",
        "## Closed loop",
        "",
        "Medians over the rounds, spread in brackets (lowest-highest). `of echo`: the",
    )
    yield "median of the ratios to the bare echo of the same body, taken within each round."
    yield from ("", "| subject | connections | requests/s | of echo | p50 ms | p99 ms | p99.9 ms | CPU us | errors |")
    yield "|---|---|---|---|---|---|---|---|---|"
    for subject, by_connections in run.points.items():
        for connections, points in sorted(by_connections.items()):
            echo = "echo" if subject in ("echo", "article-feast") or "-feast" in subject else "echo20"
            yield _row(subject, connections, points, ratio(run, subject, echo, connections))


def _row(subject: str, connections: int, points: Sequence[Point], of_echo: float | None) -> str:
    rps = [point.rps for point in points]
    spread = f"{statistics.median(rps):,.0f} ({min(rps):,.0f}-{max(rps):,.0f})"
    rest = " | ".join(f"{statistics.median(getattr(p, name) for p in points):.2f}" for name in ("p50", "p99", "p999"))
    cpu = statistics.median(point.cpu_us for point in points)
    ratio_ = "" if of_echo is None else f"{of_echo:.2f}"
    errors = sum(point.errors for point in points)
    return f"| {subject} | {connections} | {spread} | {ratio_} | {rest} | {cpu:.0f} | {errors} |"


def _peers(settings: Mapping[str, str]) -> Iterator[str]:
    if settings:
        yield from ("", "Peers, one worker each, in environments of their own with the same scikit-learn:", "")
        yield from (f"- {name}: {words}" for name, words in settings.items())


def _reads(run: Run) -> Iterator[str]:
    if run.reads:
        yield from (
            "",
            "## One entity row, three views, 20 features, in process",
            "",
            "| way | us | spread |",
            "|---|---|---|",
        )
        for name, taken in run.reads.items():
            yield f"| {name} | {statistics.median(taken):.0f} | {min(taken):.0f}-{max(taken):.0f} |"


def _parts(run: Run) -> Iterator[str]:
    if run.parts:
        yield from ("", "## A lone request inside the worker, part by part", "", "| part | us |", "|---|---|")
        yield from (f"| {name} | {taken:.0f} |" for name, taken in run.parts.items())
        yield f"| all | {sum(run.parts.values()):.0f} |"


def _paced(run: Run) -> Iterator[str]:
    if run.paced:
        yield from ("", "## Constant arrivals", "", "A latency counts from when a request was due.", "")
        yield from (
            "| subject | requests/s | p50 ms | p99 ms | p99.9 ms | worst ms | errors |",
            "|---|---|---|---|---|---|---|",
        )
        for name, rounds in run.paced.items():
            figures = [
                statistics.median(getattr(each, what) for each in rounds) for what in ("p50", "p99", "p999", "worst")
            ]
            said = " | ".join(f"{figure:.2f}" for figure in figures)
            yield f"| {name} | {rounds[0].rate:,.0f} | {said} | {sum(each.errors for each in rounds)} |"


def _curves(run: Run) -> Iterator[str]:
    if run.curves:
        yield from (
            "",
            "## As the work grows",
            "",
            "Logistic model, features in the body, 16 connections per worker.",
            "",
        )
        yield from (
            "| what | how many | requests/s | CPU us a request | p50 ms | resident MB |",
            "|---|---|---|---|---|---|",
        )
        for name, steps in run.curves.items():
            yield from (
                f"| {name} | {step.amount} | {step.rps:,.0f} | {step.cpu_us:.0f} | {step.p50:.2f} | {step.mb:.0f} |"
                for step in steps
            )
        yield ""
        yield "A worker opens no store, so the length of the log is nothing to a request; what it costs the agent is in"
        yield "[looks](judge.md)."


def _processes(run: Run) -> Iterator[str]:
    yield from ("", "## Processes", "", "| process | resident MB | ready after s |", "|---|---|---|")
    for name, mb in run.resident_mb.items():
        started = run.started_s.get(name)
        yield f"| {name} | {mb:.0f} | {'' if started is None else f'{started:.2f}'} |"


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "absent"
