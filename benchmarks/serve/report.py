"""What a run comes to on paper: the goals, and behind them every figure with its spread.

The run itself is kept beside the page, so that a page can be drawn again, and be held to its figures by a test.
"""

import os
import platform
import re
import statistics
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.serve import plots
from benchmarks.serve.goals import PEERS, Points, Run, judge, ratio
from benchmarks.serve.load import Point

RESULTS = Path("benchmarks/results")
KEPT, FILE, PLOT = (RESULTS / f"serve.{kind}" for kind in ("json", "md", "svg"))
README = Path("README.md")
PACKAGES = ("fastapi", "uvicorn", "pydantic", "msgspec", "feast", "scikit-learn", "redis", "onnxruntime", "treelite")


def keep(run: Run) -> None:
    """Keep a run."""
    KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")


def kept() -> Run:
    """The run that was kept last."""
    return msgspec.json.decode(KEPT.read_bytes(), type=Run)


def write(run: Run) -> None:
    """Write the page, the plot, and the README's figures."""
    FILE.write_text(page(run))
    plots.draw(run, PLOT)
    README.write_text(in_readme(README.read_text(), run))


def in_readme(text: str, run: Run) -> str:
    """The README with the figures of a run between its two marks."""
    return _MARKED.sub(lambda found: f"{found[1]}{summary(run)}{found[2]}", text)


_MARKED = re.compile(r"(<!-- speed -->\n).*?(<!-- /speed -->\n)", re.DOTALL)


def summary(run: Run) -> str:
    """What the README says of a run: how many goals were reached, and requests per second beside the others."""
    goals = judge(run)
    reached = sum(goal.reached for goal in goals)
    lines = [
        "| requests/s at 1, 16 and 64 connections, one worker each | of a bare FastAPI echo | p99 ms at 64 |",
        "|---|---|---|",
    ]
    for words, points, subject, echo in _SUMMED:
        found = run.points if points == "" else run.market.get(points, {})
        if subject in found:
            lines.append(_summed(words, found, subject, echo))
    for model, words in _MARKET:
        points_ = run.market.get(model, {})
        lines += [_summed(f"{peer}: {words}", points_, peer, "echo20") for peer in PEERS if peer in points_]
    lines += ["", f"{reached} of {len(goals)} goals reached; {run.machine.split(';')[0]}.", ""]
    lines += [f"![Requests per second of everybody]({PLOT})", ""]
    return "\n".join(lines)


_SUMMED = (
    ("**gateway**: three Feast views on Redis, logistic model, shadow at 100 %", "", "gateway-feast", "echo"),
    ("the article's FastAPI endpoint with Feast's SDK on the same Redis", "", "article-feast", "echo"),
    ("**gateway**: features in the body, logistic model, shadow at 100 %", "logistic", "gateway", "echo20"),
    ("**gateway**: features in the body, forest of 100 trees", "forest", "gateway", "echo20"),
)
_MARKET = (("logistic", "logistic model"), ("forest", "forest"))


def _summed(words: str, points: Points, subject: str, echo: str) -> str:
    by_connections = sorted(points[subject].items())
    rps = " / ".join(f"{statistics.median(point.rps for point in each):,.0f}" for _, each in by_connections)
    shares = [ratio(points, subject, echo, count) for count, _ in by_connections]
    of_echo = " / ".join("" if share is None else f"{share:.2f}" for share in shares)
    last = statistics.median(point.p99 for point in by_connections[-1][1])
    return f"| {words}: {rps} | {of_echo} | {last:,.1f} |"


def page(run: Run) -> str:
    """Everything."""
    goals = judge(run)
    reached = sum(goal.reached for goal in goals)
    lines = [
        "# One worker each, measured side by side",
        "",
        f"{run.machine}.",
        run.how,
        "",
        f"**{reached} of {len(goals)} goals reached.** What misses is marked.",
        "",
        "| figure | goal | measured | |",
        "|---|---|---|---|",
        *(f"| {g.says} | {g.goal} | {g.figure} | {'' if g.reached else '**missed**'} |" for g in goals),
        "",
        "![Requests per second](serve.svg)",
        *_points(run),
        *_market(run),
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
    yield from ("median of the ratios to the bare echo of the same body, taken within each round.", "", *_HEAD)
    for subject in run.points:
        echo = "echo" if subject in ("echo", "article-feast") or "-feast" in subject else "echo20"
        yield from _rows(run.points, subject, echo)


_HEAD = (
    "| subject | connections | requests/s | of echo | p50 ms | p99 ms | p99.9 ms | CPU us | errors |",
    "|---|---|---|---|---|---|---|---|---|",
)


def _rows(points: Points, subject: str, echo: str) -> Iterator[str]:
    for connections, each in sorted(points[subject].items()):
        yield _row(subject, connections, each, ratio(points, subject, echo, connections))


def _row(subject: str, connections: int, points: Sequence[Point], of_echo: float | None) -> str:
    rps = [point.rps for point in points]
    spread = f"{statistics.median(rps):,.0f} ({min(rps):,.0f}-{max(rps):,.0f})"
    rest = " | ".join(f"{statistics.median(getattr(p, name) for p in points):.2f}" for name in ("p50", "p99", "p999"))
    cpu = statistics.median(point.cpu_us for point in points)
    ratio_ = "" if of_echo is None else f"{of_echo:.2f}"
    errors = sum(point.errors for point in points)
    return f"| {subject} | {connections} | {spread} | {ratio_} | {rest} | {cpu:.0f} | {errors} |"


def _market(run: Run) -> Iterator[str]:
    if run.settings:
        yield from ("", "## Among peers", "")
        yield "One worker each, in environments of their own with the same scikit-learn and the same model file; all"
        yield from (
            "alive at once, asked in turn. The gateway draws, remembers, and has a shadow at 100 % (logistic).",
            "",
        )
        yield from (f"- {name}: {words}" for name, words in run.settings.items())
        yield from (f"- **not measured**, {name}: {_last_line(error)}" for name, error in run.absent.items())
    for model, points in run.market.items():
        yield from ("", f"### {model}", "", *_HEAD)
        for subject in points:
            yield from _rows(points, subject, "echo20")


def _last_line(error: str) -> str:
    return error.strip().splitlines()[-1]


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
        yield from (
            "",
            "`log`: a whole gateway on SQLite, its agent draining; the deployment had so many predictions before.",
        )
        yield "A worker opens no store. What 10^7 predictions cost the agent: [the log at size](size.md)."


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
