"""A1 and the harness's own row: the bets are exact, and a simulated life is the judge's, look by look."""

import itertools

import numpy as np

from benchmarks.judge.figures import Effort, Figure
from benchmarks.judge.lives import MeanLives, RateLives, steady
from gateway.core.cases import bet_on_rate, open_rate
from gateway.core.deployments import Guardrail, Task
from gateway.core.events import EvidenceRow, Position
from gateway.core.evidence.arrays import FloatArray
from gateway.core.evidence.rates import Line, demotion_bets
from gateway.core.evidence.restarts import TICK_S
from gateway.core.judging import look, open_case
from gateway.core.tallies import Sample, Tally
from gateway.core.value_cases import bet_on_mean, open_mean

PROPENSITIES = (0.001, 0.05, 0.5)
RATES = (1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9)
LINES = (Line(1.1), Line(1.0, 0.005), Line(1.5, 0.005), Line(0.5, 0.1), Line(2.0))


def expected(bets: FloatArray, pi: float, stable: FloatArray, candidate: FloatArray) -> FloatArray:
    """Return E[S] of every bet, shape (rates, bets)."""
    s, c, factors = stable[:, None], candidate[:, None], np.exp(bets)
    ours = c * factors[:, 0] + (1 - c) * factors[:, 1]
    theirs = s * factors[:, 2] + (1 - s) * factors[:, 3]
    return np.asarray(pi * ours + (1 - pi) * theirs)


def fairness(effort: Effort) -> list[Figure]:  # noqa: ARG001 - exact at any effort
    """A1: E[S] is 1 on the diagonal, at most 1 on the tolerated half-plane."""
    grid = np.linspace(0, 1, 101)
    fair = max(
        float(np.abs(expected(demotion_bets(rate, pi, Line()), pi, grid, grid) - 1).max())
        for pi, rate in itertools.product(PROPENSITIES, RATES)
    )
    stable, candidate = (axis.ravel() for axis in np.meshgrid(grid, grid))
    gain = -1.0
    for pi, rate, line in itertools.product(PROPENSITIES, RATES, LINES):
        kept = candidate <= line.at(stable)
        on = (line.at(grid) >= 0) & (line.at(grid) <= 1)
        s, c = np.append(stable[kept], grid[on]), np.append(candidate[kept], line.at(grid[on]))
        gain = max(gain, float(expected(demotion_bets(rate, pi, line), pi, s, c).max() - 1))
    return [
        Figure("A1", "greatest |E[S] - 1| while the arms are alike", 1e-12, fair),
        Figure("A1", "greatest E[S] - 1 on the tolerated half-plane", 1e-9, max(gain, 0.0)),
    ]


def the_harness_is_the_judge(effort: Effort) -> list[Figure]:  # noqa: ARG001
    """Drive judge and harness over the same requests and compare log evidence at every look."""
    return [
        Figure("harness", "greatest difference to judging.look over 40,000 rows", 1e-9, _rows_against_lives()),
        Figure("harness", "greatest difference to cases.bet_on_rate and value_cases.bet_on_mean", 1e-9, _counts()),
    ]


def _rows_against_lives() -> float:
    guardrail, pi = Guardrail("error_rate"), 0.05
    state = open_case((guardrail,), alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=0.0, pairs=False)
    lives, rng, worst = RateLives(1), np.random.default_rng(21), 0.0
    seconds = TICK_S / 12_000
    for number in range(400):
        ours, chance = rng.random(100) < pi, rng.random(100)
        failed = chance < np.where(ours, 0.012, 0.01)
        rows = [_row(100 * number + n, seconds, bool(ours[n]), bool(failed[n]), pi) for n in range(100)]
        parts = [rows[:16], rows[16:32], rows[32:64], rows[64:]] if number == 0 else [rows]
        for part in parts:
            state = look(state, health=part, mature=[], pairs=[], at=part[-1].position.at)
            log_e = lives.see(_count(part), len(part), pi)
            worst = max(worst, abs(float(log_e[0]) - state.rates["error_rate"].harm.log_total))
    return worst


def _row(number: int, seconds: float, candidate: bool, failed: bool, pi: float) -> EvidenceRow:
    return EvidenceRow(Position(seconds * number, "spool", number), candidate, pi, failed, 1, None, None, 0.01, {})


def _count(rows: list[EvidenceRow]) -> FloatArray:
    cells = np.zeros((1, 4))
    for row in rows:
        cells[0, (0 if row.candidate else 2) + (0 if row.failed else 1)] += 1
    return cells


def _counts() -> float:
    guardrail, worst = Guardrail("accuracy", absolute=0.01), 0.0
    case, lives, source = open_rate(), RateLives(1, Line(absolute=0.01)), steady(0.1, 0.13, 0.5, 22)
    mean, means, rng = open_mean(), MeanLives(1, Line(absolute=0.01)), np.random.default_rng(23)
    for number in range(300):
        counts, _, pi = source.draw(100, 1)
        a, b, c, d = (int(count) for count in counts[0])
        tick = 100 * number // 12_000
        case = bet_on_rate(case, guardrail, [Tally(tick, pi, (a, b, c, d))])
        worst = max(worst, abs(float(lives.see(counts, 100, pi)[0]) - case.harm.log_total))
        values, ours = rng.beta(2, 2, 100), rng.random(100) < 0.5
        mean = bet_on_mean(mean, guardrail, [Sample(tick, 0.5, values, ours)], [], 1.0)
        log_e = means.see_values(values[None], ours[None], 0.5)
        worst = max(worst, abs(float(log_e[0]) - mean.harm.log_total))
    return worst
