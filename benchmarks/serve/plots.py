"""Draws a run: requests per second of everybody by number of connections, with the spread over the rounds."""

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.serve.goals import Run

_GREY, _OURS, _THEIRS = "#9aa5b1", "#2f8f5b", "#c8443c"


def draw(run: Run, path: Path, machine: str) -> None:
    """Two panels, with features from Feast on Redis and with features in the body; the machine below."""
    mpl.rcParams["svg.hashsalt"] = "serve"  # the same run is the same file
    figure = Figure(figsize=(11.0, 6.2), layout="constrained")
    panels: Any = figure.subplots(1, 2)
    feast = [name for name in run.points if name in ("echo", "article-feast") or name.startswith("gateway-feast")]
    others = [name for name in run.points if name not in feast]
    for axes, title, names in zip(
        panels, ("Features from Feast on Redis", "Features in the body"), (feast, others), strict=True
    ):
        _panel(axes, title, names, run)
    figure.supxlabel(machine, fontsize=7, color="#555555")
    figure.savefig(path, metadata={"Date": None})


def _panel(axes: Any, title: str, names: list[str], run: Run) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("requests/s at 1, 16 and 64 connections (bars: lowest to highest of the rounds)", fontsize=8)
    ticks = []
    for place, name in enumerate(reversed(names)):
        colour = _OURS if name.startswith("gateway") else _GREY if name.startswith("echo") else _THEIRS
        for offset, (connections, points) in enumerate(sorted(run.points[name].items())):
            rps = [point.rps for point in points]
            middle, at = statistics.median(rps), place + 0.26 * (1 - offset)
            error = [[middle - min(rps)], [max(rps) - middle]]
            axes.barh(at, middle, height=0.24, color=colour, alpha=(0.45, 0.7, 1.0)[min(offset, 2)], xerr=error,
                      error_kw={"elinewidth": 0.8, "ecolor": "#333333"})  # fmt: skip
            axes.text(max(rps), at, f"  {middle:,.0f}", va="center", fontsize=6.5, color="#333333")
            del connections
        ticks.append(name)
    axes.set_yticks(range(len(ticks)), ticks, fontsize=8)
    axes.margins(x=0.15)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
