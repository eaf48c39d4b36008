"""Does the drift alarm keep its word, and how soon does it see? Ours, and what people use, on the same streams.

    python -m benchmarks.drift [--quick]

Every ten minutes of a simulated year about 200 rows of undrifted traffic arrive and every monitor looks. Then a feature
moves by 0.1, 0.3 or 0.5 of its standard deviation. Each reference is a sample of 50,000 rows of its own, so its error
is part of the game. Plain PSI and KS compare windows of ten minutes and of a day with the reference; Evidently decides
by its own default rule (its extra is ``drift-report``). Exit code 0 only if every one of our goals is reached; the
rivals' figures decide nothing. The table is written to ``benchmarks/results/drift.md`` unless ``--quick``.
"""

import argparse
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

from gateway.core.drift.detector import TICK_S, YEAR_S, Budget, Detector, detector, stepped, total
from gateway.core.drift.distances import psi
from gateway.core.drift.joint import RESIDUAL, figures
from gateway.core.drift.making import made
from gateway.core.drift.profiles import LOST, FeatureProfile, category_profile, number_profile
from gateway.core.drift.scores import clustering_of

RESULTS = Path(__file__).parent / "results" / "drift.md"
REFERENCE, ROWS, FEATURES = 50_000, 200, 5
"""Rows of a reference, rows a look, features that share the budget."""
YEAR, DAY = round(YEAR_S / TICK_S), round(86_400 / TICK_S)
SHIFTS = (0.1, 0.3, 0.5)
BUDGET = Budget()
WORDS = np.array([0.4, 0.25, 0.15, 0.1, 0.05, 0.03, 0.019, 0.001])
LONGEST = 30 * DAY
"""Looks after which a monitor is taken not to see a shift."""

Array = npt.NDArray[np.float64]
_normal_cdf = np.vectorize(NormalDist().cdf)


@dataclass(frozen=True, slots=True)
class Effort:
    """How many of everything."""

    references: int = 12
    streams: int = 10
    clustered: int = 200
    repeats: int = 40
    windows: int = 2_000


QUICK = Effort(references=2, streams=4, clustered=20, repeats=8, windows=200)


@dataclass(frozen=True, slots=True)
class Figure:
    """One of our goals."""

    name: str
    goal: str
    said: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Ours:
    """What was measured of us: (years, those with an alarm), and looks to an alarm by shift."""

    years: tuple[int, int]
    clustered: tuple[int, int]
    delays: dict[float, list[int]]
    broken: float


def main() -> int:
    """Measure, say so, write it down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few streams; writes nothing")
    effort, began = QUICK if parser.parse_args().quick else Effort(), time.monotonic()
    ours = measure(effort)
    found = list(goals(ours))
    for figure in found:
        print(f"{'ok  ' if figure.ok else 'MISS'} {figure.name}: {figure.said} (goal: {figure.goal})")
    lines = []
    for line in table(ours, effort):
        lines.append(line)
        print(line, flush=True)
    took = time.monotonic() - began
    if effort is not QUICK:
        RESULTS.write_text(report(found, lines, took), encoding="utf-8")
    missed = sum(not figure.ok for figure in found)
    print(f"\n{len(found) - missed} of {len(found)} goals reached in {took:,.0f} s.")
    return 1 if missed else 0


def measure(effort: Effort) -> Ours:
    """Run everything of ours."""
    delays = {shift: our_delays(shift, effort) for shift in SHIFTS}
    return Ours(false_alarms(effort), clustered_alarms(effort), delays, joint_delay(effort))


def goals(ours: Ours) -> Iterator[Figure]:
    """Hold our figures to what they have to be."""
    yield _seldom("years with a false alarm", ours.years)
    yield _seldom("years with a false alarm, where days hang together", ours.clustered)
    for shift, most in zip(SHIFTS, (DAY, 6, 3), strict=True):
        middle, late = (float(np.quantile(ours.delays[shift], level)) for level in (0.5, 0.9))
        said = f"median {middle:g} looks ({_hours(middle)}), nine in ten within {late:g}"
        yield Figure(f"delay at a shift of {shift} sd", f"median at most {_hours(most)}", said, middle <= most)
    said = f"median {ours.broken:g} looks ({_hours(ours.broken)})"
    yield Figure("delay when only a correlation breaks (0.8 to 0.5)", "median at most a day", said, ours.broken <= DAY)


def _seldom(name: str, counted: tuple[int, int]) -> Figure:
    years, alarms = counted
    return Figure(name, "at most 5 %", f"{alarms} of {years}", alarms / years <= BUDGET.alpha)


# Undrifted years, for us.


def false_alarms(effort: Effort) -> tuple[int, int]:
    """Simulated years of four numbers and a category that share a budget; years, and those with any alarm."""
    draw = np.random.default_rng(20_240_101)
    alarms = 0
    for _ in range(effort.references):
        hit = np.zeros(effort.streams, dtype=bool)
        for feature in range(FEATURES):
            profile, law = _fresh_reference(draw, word=feature == FEATURES - 1)
            hit |= _a_year(detector(profile, FEATURES, BUDGET), law, draw, effort.streams)
        alarms += int(hit.sum())
    return effort.references * effort.streams, alarms


def _fresh_reference(draw: np.random.Generator, *, word: bool) -> tuple[FeatureProfile, Array]:
    """A reference sample, and what the true law says of its cells."""
    if word:
        sample = draw.choice(len(WORDS), size=REFERENCE, p=WORDS)
        profile = category_profile("word", sample.tolist())
        shares = [float(WORDS[int(name)]) for name in profile.categories]
        return profile, np.array([*shares, max(0.0, 1.0 - sum(shares)), *[0.0] * len(LOST)])
    profile = number_profile("x", draw.normal(size=REFERENCE).tolist())
    return profile, law_of(profile)


def law_of(profile: FeatureProfile, mean: float = 0.0) -> Array:
    """The chances of a number's cells under a normal law of standard deviation 1."""
    below = np.concatenate([[0.0], _normal_cdf(np.array(profile.edges) - mean), [1.0]])
    return np.concatenate([np.diff(below), np.zeros(len(LOST))])


def _a_year(found: Detector, law: Array, draw: np.random.Generator, streams: int) -> npt.NDArray[np.bool_]:
    """Which of some undrifted streams ever alarm within a year. Traffic swings over the day."""
    wealth = np.tile(found.opened(), (streams, 1))
    hit = np.zeros(streams, dtype=bool)
    for look in range(YEAR):
        rows = draw.poisson(ROWS * (1.0 + 0.8 * math.sin(2.0 * math.pi * look / DAY)), size=streams)
        wealth = stepped(found, wealth, draw.multinomial(rows, law))
        hit |= total(wealth) >= found.log_threshold
    return hit


def clustered_alarms(effort: Effort) -> tuple[int, int]:
    """Years whose days differ (sd 0.3 of a row's), each with a reference of 90 such days; a day is a period."""
    draw = np.random.default_rng(7)
    alarms = 0
    for _ in range(effort.clustered):
        hit = False
        for _ in range(FEATURES):
            effects = draw.normal(scale=0.3, size=90)
            sample = (effects[:, None] + draw.normal(size=(90, 800))).ravel()
            profile = number_profile("x", sample.tolist())
            cells = np.searchsorted(profile.edges, sample, side="left").reshape(90, 800)
            days = [np.bincount(day, minlength=len(profile.counts)) for day in cells]
            hangs = replace(profile, clustering=clustering_of(profile, days), period_rows=800.0)
            found = detector(hangs, FEATURES, BUDGET, 86_400.0)
            wealth = found.opened()
            for effect in draw.normal(scale=0.3, size=365):
                wealth = stepped(found, wealth, draw.multinomial(DAY * ROWS, law_of(profile, effect)))
                hit = hit or bool(total(wealth) >= found.log_threshold)
        alarms += hit
    return effort.clustered, alarms


# How soon a shift is seen.


def our_delays(shift: float, effort: Effort) -> list[int]:
    """Looks from the shift to the alarm, after a month of calm, each with a reference of its own."""
    draw, delays = np.random.default_rng(11), []
    for _ in range(effort.repeats):
        profile, law = _fresh_reference(draw, word=False)
        found = detector(profile, FEATURES, BUDGET)
        wealth = found.opened()
        for counts in draw.multinomial(ROWS, law, size=30 * DAY):
            wealth = stepped(found, wealth, counts)
        delays.append(_looks_to_alarm(found, wealth, law_of(profile, shift), draw))
    return delays


def _looks_to_alarm(found: Detector, wealth: Array, law: Array, draw: np.random.Generator) -> int:
    for look in range(1, LONGEST + 1):
        wealth = stepped(found, wealth, draw.multinomial(ROWS, law))
        if total(wealth) >= found.log_threshold:
            return look
    return LONGEST


def joint_delay(effort: Effort) -> float:
    """Looks until the residual of the joint law tells that two features no longer go together as they did."""
    draw, delays = np.random.default_rng(13), []
    for _ in range(effort.repeats):
        x, y = _pair(draw, 0.8, REFERENCE)
        profile = made({"x": x.tolist(), "y": y.tolist()})
        residual = next(one for one in profile.joint_features if one.name == RESIDUAL)
        found = detector(residual, FEATURES, BUDGET)
        wealth = found.opened()
        for look in range(1, LONGEST + 1):
            calm = look <= DAY
            now = _pair(draw, 0.8 if calm else 0.5, ROWS)
            assert profile.joint is not None
            far = figures(profile.joint, {"x": now[0].tolist(), "y": now[1].tolist()}, ROWS)[RESIDUAL]
            cells = np.searchsorted(residual.edges, far, side="left")
            wealth = stepped(found, wealth, np.bincount(cells, minlength=len(residual.counts)))
            if total(wealth) >= found.log_threshold:
                delays.append(look - DAY)
                break
    return float(np.median(delays))


def _pair(draw: np.random.Generator, correlation: float, rows: int) -> tuple[Array, Array]:
    x, other = draw.normal(size=(2, rows))
    return x, correlation * x + math.sqrt(1.0 - correlation**2) * other


# What people use, on the same streams: raw values, window by window.

Rule = Callable[[Array, Array], bool]
"""Says of a reference and a window whether it drifted."""


def rules() -> dict[str, Rule]:
    """The rivals by name."""
    return {
        "PSI > 0.1": lambda seen, now: _psi(seen, now) > 0.1,
        "PSI > 0.2": lambda seen, now: _psi(seen, now) > 0.2,
        "KS p < 0.05": lambda seen, now: bool(ks_2samp(seen, now).pvalue < 0.05),
        "KS p < 0.05 / 52,560": lambda seen, now: bool(ks_2samp(seen, now).pvalue < 0.05 / YEAR),
        "Evidently's default": evidently_default(),
    }


def _psi(seen: Array, now: Array) -> float:
    edges = np.quantile(seen, np.arange(1, 10) / 10)
    return psi(_binned(edges, seen), _binned(edges, now))


def _binned(edges: Array, values: Array) -> npt.NDArray[np.int64]:
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1).astype(np.int64)


def evidently_default() -> Rule:
    """Evidently's own choice of test and its own threshold for a number with so many rows."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently's, about its own parts
        import pandas as pd
        from evidently.legacy.calculations.stattests.registry import get_stattest

    def drifted(seen: Array, now: Array) -> bool:
        reference, current = pd.Series(seen), pd.Series(now)
        chosen = get_stattest(reference, current, "num", None)
        return bool(chosen(reference, current, "num", None).drifted)

    return drifted


def table(ours: Ours, effort: Effort) -> Iterator[str]:
    """One line per monitor: false alarms in a year of undrifted traffic, and how long it takes to see each shift."""
    shifts = " | ".join(f"sees {shift} sd" for shift in SHIFTS)
    yield f"| monitor | window | looks that alarm without drift | false alarms in a year | {shifts} |"
    yield "|---|---|---:|---:|" + "---:|" * len(SHIFTS)
    years, alarms = ours.years
    delays = " | ".join(_hours(float(np.median(ours.delays[shift]))) for shift in SHIFTS)
    yield f"| **this gateway** | every look | {alarms / years / YEAR:.2%} | {alarms / years:.2f} | {delays} |"
    for window, looks in (("ten minutes, 200 rows", 1), ("a day, 28,800 rows", DAY)):
        for name, rule in rules().items():
            yield _line(name, rule, window, looks, effort)


def _line(name: str, rule: Rule, window: str, looks: int, effort: Effort) -> str:
    draw, count = np.random.default_rng(17), effort.windows if looks == 1 else max(20, effort.windows // 8)
    seen, rows = draw.normal(size=REFERENCE), ROWS * looks
    share = float(np.mean([rule(seen, draw.normal(size=rows)) for _ in range(count)]))
    delays = []
    for shift in SHIFTS:
        found = [_windows_to_alarm(rule, seen, rows, shift, draw, 30 if looks > 1 else 300) for _ in range(10)]
        middle = float(np.median([math.inf if delay is None else delay for delay in found]))
        delays.append("not in a month" if math.isinf(middle) and looks > 1 else _hours(middle * looks))
    year = share * YEAR / looks
    return f"| {name} | {window} | {share:.2%} | {year:,.0f} | ".replace("%", " %") + " | ".join(delays) + " |"


def _windows_to_alarm(
    rule: Rule, seen: Array, rows: int, shift: float, draw: np.random.Generator, most: int
) -> int | None:
    return next((window for window in range(1, most + 1) if rule(seen, draw.normal(shift, size=rows))), None)


def _hours(looks: float) -> str:
    if math.isinf(looks):
        return "not in two days"
    minutes = looks * TICK_S / 60.0
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60.0:.1f} h"


def report(found: list[Figure], rivals: list[str], took: float) -> str:
    """The page that is kept."""
    said = (__doc__ or "").split("\n\n")
    lines = ["# Drift: false alarms and delay", "", said[2].replace("\n", " "), "", "## Our goals", ""]
    lines += ["| figure | goal | measured | |", "|---|---|---|---|"]
    lines += [f"| {one.name} | {one.goal} | {one.said} | {'ok' if one.ok else 'MISSED'} |" for one in found]
    lines += ["", "## Beside what people use", "", *rivals, ""]
    lines += [
        "False alarms count looks that alarm, per feature and year; ours are per year of five features together. A",
        "delay is the median time from the shift to the end of the first window that alarms; where a monitor alarms",
        "without drift every few looks, its short delay says nothing.",
        "",
        f"Measured in {took:,.0f} s by `make bench-drift`.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
