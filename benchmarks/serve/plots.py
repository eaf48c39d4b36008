"""Draws a run: requests per second of everybody by number of connections, with the spread over the rounds."""

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.serve.goals import Points, Run

_GREY, _OURS, _THEIRS = "#9aa5b1", "#2f8f5b", "#c8443c"


def draw(run: Run, path: Path) -> None:
    """A panel with features from Feast on Redis, then one per model with features in the body; the machine below."""
    mpl.rcParams["svg.hashsalt"] = "serve"  # the same run is the same file
    feast = {name: run.points[name] for name in run.points if name in ("echo", "article-feast") or "-feast" in name}
    others = {name: points for name, points in run.points.items() if name not in feast}
    shown = {"Features from Feast on Redis": feast, "Features in the body": others}
    shown |= {f"Among peers: {model}": points for model, points in run.market.items()}
    shown = {title: points for title, points in shown.items() if points}
    rows = (len(shown) + 1) // 2
    figure = Figure(figsize=(11.0, 1.0 + 4.6 * rows), layout="constrained")
    panels: Any = figure.subplots(rows, 2, squeeze=False)
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, (title, points) in zip(panels.flat, shown.items(), strict=False):
        _panel(axes, title, points)
    figure.supxlabel(run.machine, fontsize=7, color="#555555")
    figure.savefig(path, metadata={"Date": None})


def _panel(axes: Any, title: str, by_name: Points) -> None:
    names = list(by_name)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("requests/s at 1, 16 and 64 connections (bars: lowest to highest of the rounds)", fontsize=8)
    ticks = []
    for place, name in enumerate(reversed(names)):
        colour = _OURS if name.startswith("gateway") else _GREY if name.startswith("echo") else _THEIRS
        for offset, (connections, points) in enumerate(sorted(by_name[name].items())):
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
