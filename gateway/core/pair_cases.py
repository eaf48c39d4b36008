"""Cases about what an answer itself picks, on requests that both models answered: precision, F1, calibration.

A rate among picked requests (positive answers) is no mean over all requests. But with a *neutral* amount for those that
a model did not pick, settled before the look, it is compared like one:

    bad (1 or 0) where picked, else ``r`` for stable and ``line(r)`` for the shadow

    E D = P(shadow picks) (rate_c - line(r)) - relative P(stable picks) (rate_s - r)

At the line that is ``relative (P(shadow picks) - P(stable picks)) (rate_s - r)``: nothing where both pick equally
often, and on the safe side where ``r`` is that end of the interval of stable's rate which speaks for the shadow.
Requests that both pick cancel. It rests on stable's rate being one rate, which a draw does not: these are signals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gateway.core.calibration import Bins, noted, off_by
from gateway.core.cases import margin_of, tolerance_of
from gateway.core.deployments import Guardrail
from gateway.core.evidence.arrays import FloatArray
from gateway.core.evidence.intervals import mean_bounds
from gateway.core.evidence.pairs import PAIR_WEIGHTS, difference_growth
from gateway.core.evidence.rates import Line
from gateway.core.evidence.restarts import Wealth, advanced, opened
from gateway.core.value_cases import PairMeanCase, bet_on_pair_mean, open_pair_mean

LEAST_PICKED = 50
"""Requests that the two models have to have picked before it is known which of them picks more."""
_SURE = 0.005
"""Chance that stable's rate is ever beyond the end of its interval that is bet with."""

Picked = tuple[bool | None, bool | None]
"""Whether stable, and the shadow, did badly at a request; None for one that did not pick it."""


@dataclass(frozen=True, slots=True)
class PairShareCase:
    """Evidence about a rate among requests that each model picks itself, and the counts behind both rates."""

    harm: Wealth
    safety: Wealth
    n_stable: int = 0
    bad_stable: int = 0
    n_candidate: int = 0
    bad_candidate: int = 0


@dataclass(frozen=True, slots=True)
class PairCalibrationCase:
    """Evidence that a shadow's probabilities are further off than stable's to the same requests."""

    mean: PairMeanCase
    stable: Bins = Bins()
    candidate: Bins = Bins()


def open_pair_shares() -> PairShareCase:
    """Return a case that has seen no pair."""
    return PairShareCase(opened(PAIR_WEIGHTS, restarting=True), opened(PAIR_WEIGHTS, restarting=False))


def open_pair_calibration() -> PairCalibrationCase:
    """Return a case that has seen no pair."""
    return PairCalibrationCase(open_pair_mean())


def bet_on_pair_shares(
    case: PairShareCase, guardrail: Guardrail, pairs: Mapping[int, Sequence[Picked]]
) -> PairShareCase:
    """Bet on one look's pairs, by restart tick.

    >>> case = bet_on_pair_shares(open_pair_shares(), Guardrail("precision"), {0: [(False, False), (None, None)] * 100})
    >>> case.n_stable, case.bad_candidate
    (100, 0)
    >>> bet_on_pair_shares(case, Guardrail("precision"), {0: [(False, True), (None, None)] * 20}).harm.peak > 3.0
    True
    """
    after, more = case, case.n_candidate > case.n_stable
    lowest, highest = mean_bounds(case.bad_stable, case.n_stable, _SURE)
    for picked in pairs.values():
        after = replace(
            after,
            n_stable=after.n_stable + sum(stable is not None for stable, _ in picked),
            bad_stable=after.bad_stable + sum(stable is True for stable, _ in picked),
            n_candidate=after.n_candidate + sum(shadow is not None for _, shadow in picked),
            bad_candidate=after.bad_candidate + sum(shadow is True for _, shadow in picked),
        )
    if case.n_stable + case.n_candidate < LEAST_PICKED:
        return after
    harm = _growth(pairs, tolerance_of(guardrail), float(highest if more else lowest), harm=True)
    safety = _growth(pairs, margin_of(guardrail), float(lowest if more else highest), harm=False)
    return replace(
        after, harm=advanced(case.harm, PAIR_WEIGHTS, harm), safety=advanced(case.safety, PAIR_WEIGHTS, safety)
    )


def _growth(pairs: Mapping[int, Sequence[Picked]], line: Line, neutral: float, *, harm: bool) -> dict[int, FloatArray]:
    """Return the log growth of every bet by restart tick, with what was not picked at ``neutral``."""
    elsewhere = min(1.0, max(0.0, float(line.at(neutral))))
    growth: dict[int, FloatArray] = {}
    for tick, picked in pairs.items():
        stable = np.array([neutral if one is None else float(one) for one, _ in picked])
        shadow = np.array([elsewhere if one is None else float(one) for _, one in picked])
        growth[tick] = difference_growth(shadow, stable, 1.0, line, harm=harm)
    return growth


def bet_on_pair_calibration(
    case: PairCalibrationCase, guardrail: Guardrail, pairs: Mapping[int, FloatArray]
) -> PairCalibrationCase:
    """Bet on (stable's probability, came true, the shadow's, came true) by restart tick, each of shape (pairs, 4).

    The gaps are taken where, and in the direction in which, the shadow has been off before this look.

    >>> rng, case = np.random.default_rng(1), open_pair_calibration()
    >>> for _ in range(4):
    ...     p = rng.random(500)
    ...     true = (rng.random(500) < p).astype(float)
    ...     told = {0: np.stack([p, true, p**2, true], 1)}
    ...     case = bet_on_pair_calibration(case, Guardrail("calibration_error"), told)
    >>> case.mean.harm.peak > 3.0, case.candidate.error > 0.1 > 0.06 > case.stable.error
    (True, True)
    """
    stable, candidate, gaps = case.stable, case.candidate, {}
    for tick, rows in pairs.items():
        both = (off_by(case.candidate, rows[:, 0], rows[:, 1]), off_by(case.candidate, rows[:, 2], rows[:, 3]))
        gaps[tick] = np.stack(both, axis=1)
        stable, candidate = noted(stable, rows[:, 0], rows[:, 1]), noted(candidate, rows[:, 2], rows[:, 3])
    return PairCalibrationCase(bet_on_pair_mean(case.mean, guardrail, gaps, 2.0), stable, candidate)
