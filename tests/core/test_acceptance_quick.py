"""The acceptance table in miniature: the real judge reaches it, and a peeking z-test in its place does not.

The full table is ``python -m benchmarks.judge``; here a few hundred lives a row, with three standard errors of room.
Every row has teeth: a judge, a log or a state that is broken on purpose, which fails it.
"""
# ruff: noqa: ARG002, ARG005 - broken judges take what the judge takes

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.judge import alarms, cases, engineering, exactness, lives, speed
from benchmarks.judge.figures import Effort, Figure
from benchmarks.judge.peers import SCENES, repeated_z
from benchmarks.judge.table import heading, line, measured, peers_table, report
from gateway.adapters.store.memory import MemoryEventLog
from gateway.core.events import Event, EvidenceRow
from gateway.core.evidence.arrays import FloatArray
from gateway.core.evidence.intervals import Stratum
from gateway.core.evidence.rates import Line, demotion_bets
from gateway.core.judging import JudgeState
from gateway.core.judging import look as engineering_look
from gateway.ports import Window

QUICK = Effort(quick=True)
Measure = Callable[[Effort], list[Figure]]


@pytest.fixture
def few_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Request-by-request rows are slow: thirty lives will do here."""
    monkeypatch.setattr(Effort, "lives", lambda self, full: 30)


class PeekingZ:
    """The judge that must not pass: significant at 5 % at any look is enough. It knows no tolerance and no amounts."""

    def __init__(self, count: int, line: Line | None = None, stake: float = 1.0) -> None:
        self.total = np.zeros((count, 4))

    def see(self, counts: FloatArray, requests: int, propensity: float) -> FloatArray:
        self.total = self.total + counts
        return np.where(repeated_z(self.total), np.inf, 0.0)

    def keep(self, alive: "np.typing.NDArray[np.bool_]") -> None:
        self.total = self.total[alive]


@pytest.fixture
def peeking(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the peeking z-test in the judge's place."""
    for module in (alarms, speed, engineering):
        monkeypatch.setattr(module, "RateLives", PeekingZ)
    monkeypatch.setattr(alarms, "PairLives", PeekingPairs)
    monkeypatch.setattr(alarms, "MeanLives", PeekingMeans)
    monkeypatch.setattr(alarms, "SafetyLives", PeekingSafety)
    yield


class PeekingPairs(PeekingZ):
    """McNemar's test at every look."""

    def see(self, counts: FloatArray, requests: int, propensity: float) -> FloatArray:
        self.total = self.total + counts
        b, c = self.total[:, 0], self.total[:, 1]
        return np.where((b - c > 1.645 * np.sqrt(b + c)) & (b + c >= 20), np.inf, 0.0)


class PeekingMeans(PeekingZ):
    """Welch's test at every look; columns are the candidate's and stable's number, sum and sum of squares."""

    def __init__(self, count: int, line: Line | None = None, stake: float = 1.0) -> None:
        self.total = np.zeros((count, 6))

    def see(self, counts: FloatArray, requests: int, propensity: float) -> FloatArray:
        values, ours = np.abs(counts), np.signbit(counts)
        sums = [np.where(arm, values**power, 0.0).sum(axis=1) for arm in (ours, ~ours) for power in (0, 1, 2)]
        self.total = self.total + np.column_stack(sums)
        n, total, squares = (self.total[:, [index, index + 3]] for index in (0, 1, 2))
        mean = total / np.maximum(n, 1)
        error = np.sqrt(np.maximum((squares / np.maximum(n, 1) - mean**2) / np.maximum(n, 1), 1e-12).sum(axis=1))
        return np.where((mean[:, 0] - mean[:, 1] > 1.645 * error) & (n.min(axis=1) >= 100), np.inf, 0.0)


class PeekingSafety(PeekingZ):
    """A z-test against the margin at every look."""

    def __init__(self, count: int, line: Line | None = None, stake: float = 1.0) -> None:
        super().__init__(count)
        self.line = line or Line()

    def see(self, counts: FloatArray, requests: int, propensity: float) -> FloatArray:
        self.total = self.total + counts
        n_c = np.maximum(self.total[:, 0] + self.total[:, 1], 1)
        n_s = np.maximum(self.total[:, 2] + self.total[:, 3], 1)
        c, s = self.total[:, 0] / n_c, self.total[:, 2] / n_s
        error = np.sqrt(np.maximum(c * (1 - c) / n_c + self.line.relative**2 * s * (1 - s) / n_s, 1e-12))
        return np.where((self.line.at(s) - c > 1.645 * error) & (np.minimum(n_c, n_s) >= 100), np.inf, 0.0)


@pytest.fixture
def timid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a judge in place that is right, and asks for three times the log evidence."""
    for name in ("RateLives", "PairLives", "MeanLives", "SafetyLives"):
        monkeypatch.setattr(speed, name, timid_like(getattr(lives, name)))


def timid_like(judge: type[Any]) -> type[Any]:
    def see(self: Any, *args: Any) -> FloatArray:
        return np.asarray(judge.see(self, *args) / 3.0)

    return type(f"Timid{judge.__name__}", (judge,), {"see": see})


class Twice(MemoryEventLog):
    """A log that gives back what was drained again as if it had happened again."""

    drained = 0

    def append(self, spool_id: str, events: Sequence[tuple[int, Event]], end: int) -> None:
        self.drained += 1
        super().append(spool_id, events, end)

    def evidence(self, deployment: str, generation: str, window: Window) -> list[EvidenceRow]:
        rows = super().evidence(deployment, generation, window)
        return rows if self.drained == 1 else [*rows, *rows]


def louder(state: JudgeState, by: float) -> JudgeState:
    """The state with more evidence of harm in every rate than its bets have won."""
    rates = {
        name: replace(case, harm=replace(case.harm, peak=case.harm.peak + by)) for name, case in state.rates.items()
    }
    return replace(state, rates=rates)


def hoarding(state: JudgeState) -> JudgeState:
    """The state with a few strata more in every rate."""
    more = [Stratum(1e-6 * (8 * len(state.rates["error_rate"].strata) + n), 100, 1, 100, 1) for n in range(8)]
    return replace(
        state,
        rates={name: replace(case, strata=(*case.strata, *more)) for name, case in state.rates.items()},
    )


FALSE_VERDICTS: tuple[Measure, ...] = (
    alarms.binary,
    alarms.rewards,
    alarms.pairs,
    alarms.long_life,
    alarms.ramped,
    alarms.tolerated,
    alarms.margin,
)
DELAYS: tuple[Measure, ...] = (
    speed.at_five_percent,
    speed.at_half,
    speed.small_effects,
    speed.outage,
    speed.rewards,
    speed.pairs,
    speed.late,
    speed.tolerated,
    speed.promotion,
)


def named(measure: Measure) -> str:
    return measure.__name__


@pytest.mark.parametrize("measure", FALSE_VERDICTS, ids=named)
def test_false_verdicts_stay_below_alpha_however_often_one_looks(measure: Measure) -> None:
    assert [line(one) for one in measure(QUICK) if not one.ok] == []


@pytest.mark.parametrize("measure", FALSE_VERDICTS, ids=named)
@pytest.mark.usefixtures("peeking")
def test_a_peeking_z_test_fails_every_one_of_these_rows(measure: Measure) -> None:
    assert not any(one.ok for one in measure(QUICK))


@pytest.mark.parametrize("measure", DELAYS, ids=named)
def test_regressions_are_found_near_the_information_bound(measure: Measure) -> None:
    assert [line(one) for one in measure(QUICK) if not one.ok] == []


@pytest.mark.parametrize("measure", DELAYS, ids=named)
@pytest.mark.usefixtures("timid")
def test_a_judge_that_wants_three_times_the_evidence_fails_every_one_of_these_rows(measure: Measure) -> None:
    assert not all(one.ok for one in measure(QUICK))


def test_four_metrics_together_demote_no_more_often_than_one() -> None:
    assert all(one.ok for one in alarms.family(QUICK))


@pytest.mark.usefixtures("peeking")
def test_four_peeking_tests_together_fail_that() -> None:
    assert not any(one.ok for one in alarms.family(QUICK))


@pytest.mark.usefixtures("few_lives")
@pytest.mark.parametrize("measure", [cases.precision, cases.latency], ids=named)
def test_precision_and_latency_are_judged_request_by_request(measure: Measure) -> None:
    assert [line(one) for one in measure(QUICK) if not one.ok] == []


@pytest.mark.usefixtures("few_lives")
@pytest.mark.parametrize("measure", [cases.precision, cases.latency], ids=named)
@pytest.mark.parametrize(("enough", "alike"), [(0.01, True), (3.0 * lives.ENOUGH, False)], ids=["eager", "timid"])
def test_an_eager_judge_fails_their_alarms_and_a_timid_one_their_delays(
    measure: Measure, enough: float, alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "ENOUGH", enough)
    about = [one for one in measure(QUICK) if one.what.startswith("alike") is alike]
    assert about
    assert not any(one.ok for one in about)


def test_bets_are_exact_and_a_simulated_life_is_the_judges_look_by_look() -> None:
    found = (*exactness.fairness(QUICK), *exactness.the_harness_is_the_judge(QUICK))
    assert [line(one) for one in found if not one.ok] == []


def test_bets_that_are_a_millionth_too_good_fail_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exactness, "demotion_bets", lambda *args: demotion_bets(*args) + 1e-6)
    assert not any(one.ok for one in exactness.fairness(QUICK))


def test_a_life_with_another_stake_than_the_judges_is_told_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exactness, "RateLives", lambda count, line=None: lives.RateLives(count, line, stake=0.5))
    assert not any(one.ok for one in exactness.the_harness_is_the_judge(QUICK))


@pytest.mark.parametrize("measure", [engineering.workers, engineering.restarts, engineering.repeats], ids=named)
def test_many_workers_restarts_and_repeats_change_nothing(measure: Measure) -> None:
    assert [line(one) for one in measure(QUICK) if not one.ok] == []


@pytest.mark.usefixtures("peeking")
def test_a_peeking_z_test_fails_with_four_workers_too() -> None:
    assert [one.ok for one in engineering.workers(QUICK) if "alike" in one.what] == [False]


def test_looks_that_are_held_back_for_long_or_rows_in_another_order_fail_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engineering, "OUT_OF_ORDER_S", 1_000)
    monkeypatch.setattr(engineering, "sorted", lambda rows, key: list(rows), raising=False)
    found = {one.what: one.ok for one in engineering.workers(QUICK)}
    assert [ok for what, ok in found.items() if not what.startswith("alike")] == [False, False]


def test_a_judge_that_remembers_outside_its_state_fails_at_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = itertools.count()

    def look(state: JudgeState, **rows: Any) -> JudgeState:
        return louder(engineering_look(state, **rows), 0.01 * next(hidden))

    monkeypatch.setattr(engineering, "look", look)
    assert not any(one.ok for one in engineering.restarts(QUICK))


def test_a_log_that_counts_what_comes_twice_fails_at_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engineering, "MemoryEventLog", Twice)
    assert not any(one.ok for one in engineering.repeats(QUICK))


def test_a_state_stays_small() -> None:
    assert all(one.ok for one in engineering.cost(QUICK) if one.unit == "bytes")


def test_a_state_that_keeps_every_look_fails_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engineering, "look", lambda state, **rows: hoarding(engineering_look(state, **rows)))
    assert not any(one.ok for one in engineering.cost(QUICK) if one.unit == "bytes")


def test_the_table_says_goal_reached_and_whether_that_is_enough() -> None:
    figures = list(measured(QUICK, ["A1"]))
    page = report([*figures, Figure("X", "never", 1.0, float("nan"))], [("this judge", _everywhere())], 60.0)
    assert "2 of 3 are" in page
    assert "| X | never | 1 | nan | MISSED |" in page
    assert line(figures[0]).rstrip().endswith("ok")
    assert heading().startswith("row")
    assert peers_table([("this judge", _everywhere())]).endswith("|")


def _everywhere() -> dict[str, str]:
    return {scene.name: "0 %" for scene in SCENES}
