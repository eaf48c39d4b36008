"""The table: which figures there are, how they are printed and written down."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.judge import alarms, cases, engineering, exactness, speed
from benchmarks.judge.figures import Effort, Figure
from benchmarks.judge.peers import SCENES

Measure = Callable[[Effort], list[Figure]]

MEASURES: dict[str, tuple[Measure, ...]] = {
    "harness": (exactness.the_harness_is_the_judge,),
    "A1": (exactness.fairness,),
    "A2, A3": (alarms.binary,),
    "A4": (alarms.rewards,),
    "A5": (alarms.pairs,),
    "A6": (alarms.long_life,),
    "A7": (alarms.ramped,),
    "A8": (alarms.family,),
    "A9": (alarms.margin,),
    "P1": (speed.at_five_percent,),
    "P2": (speed.at_half,),
    "P3": (speed.small_effects,),
    "P4": (speed.outage,),
    "P5": (speed.rewards,),
    "P6": (speed.pairs,),
    "P7": (speed.late,),
    "P8": (cases.precision, cases.latency),
    "P8b": (speed.tolerated, alarms.tolerated),
    "P9": (speed.promotion,),
    "E1": (engineering.workers,),
    "E2": (engineering.restarts,),
    "E3": (engineering.repeats,),
    "E4": (engineering.cost,),
}
HEAD = ("row", "what", "goal (at most)", "reached", "")


def measured(effort: Effort, rows: Sequence[str] = ()) -> Iterator[Figure]:
    """Yield every figure of the rows asked for (none: all), as it becomes known."""
    for row, measures in MEASURES.items():
        if not rows or row in rows:
            for measure in measures:
                yield from measure(effort)


def line(figure: Figure) -> str:
    """Print a figure on one line."""
    mark = "ok" if figure.ok else "MISSED"
    note = f"  ({figure.note})" if figure.note else ""
    goal, reached = figure.told(figure.goal), figure.told(figure.reached)
    return f"{figure.row:<8}{figure.what:<74}{goal:>18}{reached:>18}  {mark}{note}"


def heading() -> str:
    """Print what stands above the lines."""
    return f"{HEAD[0]:<8}{HEAD[1]:<74}{HEAD[2]:>18}{HEAD[3]:>18}"


def peers_table(compared: Sequence[tuple[str, dict[str, str]]]) -> str:
    """Write the peers' rules as a Markdown table."""
    names = [scene.name for scene in SCENES]
    rows = [f"| {rule} | {' | '.join(found[name] for name in names)} |" for rule, found in compared]
    return "\n".join([f"| rule | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|", *rows])


def report(figures: Sequence[Figure], compared: Sequence[tuple[str, dict[str, str]]], seconds: float) -> str:
    """Write everything as a Markdown page."""
    lines = [
        f"| {one.row} | {one.what} | {one.told(one.goal)} | {one.told(one.reached)} "
        f"| {'ok' if one.ok else 'MISSED'} | {one.note} |"
        for one in figures
    ]
    reached = sum(one.ok for one in figures)
    return "\n".join(
        [
            "# The judge's figures",
            "",
            f"Written by `python -m benchmarks.judge` in {seconds / 60:.0f} minutes: {reached} of {len(figures)} are",
            "reached. Seeds are fixed; costs (E4) are the machine's. A look after every 16 requests at first, then",
            "every 20 to 500. Delays are means over all lives, in canary samples, with restarts, alpha 5 %.",
            "",
            "| row | what | goal (at most) | reached | | |",
            "|---|---|---|---|---|---|",
            *lines,
            "",
            "## The peers' rules on the same streams",
            "",
            "Alike: how often a canary as good as stable is demoted in 100,800 requests, looked at every 100. Else:",
            "the mean delay against the information bound; well below 1 is bought with false alarms. The rules are our",
            "re-implementations of what was published, not the products. The formula behind the sequential one, in its",
            "two-sided form (`core/evidence/asymptotic.py`), agrees with gbstats 0.8.0 to 1e-12.",
            "",
            peers_table(compared),
            "",
        ]
    )


def write(path: Path, page: str) -> None:
    """Write the page down."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def clock() -> float:
    """Return machine time in seconds, for how long it took."""
    return time.perf_counter()
