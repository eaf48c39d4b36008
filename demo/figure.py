"""Draws the story from its report: who was asked, how often they were right, and when the gateway decided.

``python -m demo.figure demo-report.json`` writes ``docs/images/story.svg`` and beside it ``story.json``, the report it
was drawn from, and prints the table that stands in the README.
"""

import json
import math
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

IMAGES = Path("docs/images")
_COLOURS = {"1": "#7a8ba3", "2": "#2f8f5b", "3": "#c8443c", "4": "#e08f2c", "5": "#3b6fb6", "6": "#8a5fb0"}
_SAYS = {"advance": "up", "promote": "promoted", "demote": "demoted", "drift": "drift", "retrained": "trained"}
_TITLES = (
    "v1 serves March",
    "v2 proves itself",
    "v3 has its units wrong",
    "v4 raises on a tenth",
    "Spring goes on",
    "Summer: v5 is trained",
    "Calm comes: v6",
)
_ACROSS = 4
"""Acts side by side; the rest stand below them."""
_GREY = "#555555"


def main() -> int:
    """Draw what the command line names."""
    [path] = sys.argv[1:] or ["demo-report.json"]
    report = json.loads(Path(path).read_text(encoding="utf-8"))
    IMAGES.mkdir(parents=True, exist_ok=True)
    draw(report, IMAGES / "story.svg")
    (IMAGES / "story.json").write_text(json.dumps(report, separators=(",", ":")) + "\n", encoding="utf-8")
    sys.stdout.write(table(report))
    return 0


def table(report: dict[str, Any]) -> str:
    """Put the key figures into Markdown."""
    march, proving, units, raising, _, july, autumn = (act["figures"] for act in report["acts"])
    served = sum(act["figures"]["requests"] for act in report["acts"])
    spring, summer = july["accuracy_spring"]["2"], july["accuracy_july"]["2"]
    beside, books = autumn["beside"], report["ledger"]
    lines = [
        ("flights served over HTTP, one request each", f"{served:,} in {report['seconds']:.0f} s"),
        ("v1 in March, no histories", f"{march['accuracy']['1']:.1%} right"),
        ("v2 from shadow to promoted, by the judge", _took(proving, "labels of its own")),
        ("v3, its units wrong, until demoted", f"{_took(units, 'labels')}, {units['users_who_met_it']} callers met it"),
        ("v4, raising, until demoted", f"{raising['seconds']} s; stable stood in {raising['fallbacks']} times, no 5xx"),
        ("v2 in April, and in July", f"{spring:.1%} and {summer:.1%} right"),
        ("from 1 July to the drift alarm; before, since March", f"{_days_of(july)}; none"),
        ("from the alarm to v5 trained, and to v5 stable", _healed(july["loop"])),
        (f"v5 on {beside['flights']:,} flights of August and September", _scored(beside, "new")),
        ("v2, which was not trained again, on the same ones", _scored(beside, "old")),
        ("from 1 September to the alarm of its calm, which had it trained once more", _days_of(autumn)),
        ("in the store: predictions, outcomes", _stored(books)),
    ]
    head = ["| figure | value |", "|---|---|"]
    return "\n".join([*head, *(f"| {name} | {value} |" for name, value in lines)]) + "\n"


def _took(figures: dict[str, Any], labels: str) -> str:
    return f"{figures['seconds']} s, {figures['canary_labels']:,} {labels}"


def _days_of(figures: dict[str, Any]) -> str:
    return f"{figures['loop']['drift']['hours'] / 24:.1f} days"


def _healed(loop: dict[str, Any]) -> str:
    days = (loop["promote"]["hours"] - loop["drift"]["hours"]) / 24
    return f"{loop['retrained']['seconds']:.0f} s, and {days:.1f} days of flights ({loop['promote']['seconds']:.0f} s)"


def _scored(beside: dict[str, Any], which: str) -> str:
    return f"{beside[f'accuracy_{which}']:.2%} right, Brier score {beside[f'brier_{which}']:.4f}"


def _stored(books: dict[str, Any]) -> str:
    predictions, outcomes = books["predictions"], books["outcomes"]
    lost = predictions["received"] - predictions["stored"] + outcomes["accepted"] - outcomes["joined"]
    return f"{predictions['stored']:,} and {outcomes['joined']:,}; {lost} missing"


def draw(report: dict[str, Any], path: Path) -> None:
    """Write the picture: a column per act, above who was asked, below who was right."""
    acts = report["acts"]
    mpl.rcParams.update({"svg.hashsalt": "story", "font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    bands = math.ceil(len(acts) / _ACROSS)
    figure = Figure(figsize=(12, 4.6 * bands), facecolor="white")
    axes = figure.subplots(2 * bands, _ACROSS, sharey="row", squeeze=False)
    for number, act in enumerate(acts):
        band, column = divmod(number, _ACROSS)
        _act(axes[2 * band][column], axes[2 * band + 1][column], act, number)
    for place in range(len(acts), bands * _ACROSS):
        for row in (0, 1):
            axes[2 * (place // _ACROSS) + row][place % _ACROSS].set_axis_off()
    for band in range(bands):
        axes[2 * band][0].set_ylabel("share of requests drawn")
        axes[2 * band + 1][0].set_ylabel("share right so far in the act")
        axes[2 * band + 1][0].set_ylim(0.45, 1.0)
    handles = [Line2D([], [], color=colour, lw=6, label=f"v{version}") for version, colour in _COLOURS.items()]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, metadata={"Date": None})


def _act(above: Axes, below: Axes, act: dict[str, Any], number: int) -> None:
    spans = act["course"]["spans"]
    _shares(above, spans)
    _marks(above, act["course"]["decisions"])
    _accuracy(below, spans)
    above.set_title(f"{number + 1}  {_TITLES[number]}", loc="left", fontsize=9, fontweight="bold")
    below.set_xlabel(_days(spans), color=_GREY)


def _shares(axes: Axes, spans: Sequence[dict[str, Any]]) -> None:
    """Stack the shares of requests by version, stable's at the bottom."""
    edges = [_start(spans) / 3600, *_hours(spans)]
    totals = [sum(span["requests"].values()) for span in spans]
    floor = [0.0] * len(spans)
    for version in _by_traffic(spans):
        asked = [span["requests"].get(version, 0) / total for span, total in zip(spans, totals, strict=True)]
        top = [low + share for low, share in zip(floor, asked, strict=True)]
        axes.stairs(top, edges, baseline=floor, fill=True, color=_COLOURS[version])
        floor = top
    axes.set_ylim(0, 1)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xticks([])


def _marks(axes: Axes, decisions: Sequence[dict[str, Any]]) -> None:
    """A line where the judge decided, at the first alarm and where a run ended; on top of each other none is read."""
    told = [mark for mark in decisions if mark["action"] in ("drift", "retrained")]
    firsts = [mark for mark in told if mark is next(one for one in told if one["action"] == mark["action"])]
    made = [mark for mark in decisions if mark["actor"] == "judge"]
    for mark in [*firsts, *made]:
        last = mark["action"] in ("promote", "demote", "drift")
        at = mark["data_at"] / 3600
        axes.axvline(at, color="black", linewidth=1.2 if last else 0.7, linestyle="-" if last else ":")
        axes.annotate(
            _SAYS.get(mark["action"], mark["action"]),
            (at, 0.04),
            xytext=(-2, 0),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="bottom",
            color="white",
            fontweight="bold" if last else "normal",
        )


def _accuracy(axes: Axes, spans: Sequence[dict[str, Any]]) -> None:
    """Each version's share of right answers so far, once it has been labelled often enough to mean something."""
    hours = _hours(spans)
    for version in _by_traffic(spans):
        right = labelled = 0
        points: list[tuple[float, float]] = []
        for hour, span in zip(hours, spans, strict=True):
            right += span["right"].get(version, 0)
            labelled += span["labelled"].get(version, 0)
            if labelled >= 10:
                points.append((hour, right / labelled))
        if points:
            axes.plot(*zip(*points, strict=True), color=_COLOURS[version], marker="o", markersize=2.5, linewidth=1.4)
    axes.set_xlim(_start(spans) / 3600, hours[-1])
    axes.set_xticks([])
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)


def _by_traffic(spans: Sequence[dict[str, Any]]) -> list[str]:
    """Versions, the one asked first by most at the bottom."""
    counts = {version: 0 for span in spans for version in span["requests"]}
    for span in spans:
        for version, requests in span["requests"].items():
            counts[version] += requests
    return sorted(counts, key=lambda version: -counts[version])


def _start(spans: Sequence[dict[str, Any]]) -> float:
    """Where the first span begins: all are equally long, so as long before its end as the second one is."""
    return float(2 * spans[0]["until"] - spans[1]["until"])


def _hours(spans: Sequence[dict[str, Any]]) -> list[float]:
    return [span["until"] / 3600 for span in spans]


def _days(spans: Sequence[dict[str, Any]]) -> str:
    first, last = (datetime.fromtimestamp(at, UTC) for at in (_start(spans), spans[-1]["until"]))
    requests = sum(sum(span["requests"].values()) for span in spans)
    days = f"{first:%-d %b}" if first.date() == last.date() else f"{first:%-d %b} to {last:%-d %b}"
    return f"{days}, {requests:,} flights"


if __name__ == "__main__":
    sys.exit(main())
