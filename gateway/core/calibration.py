"""Whether an answer's probabilities come true: told as the expected calibration error, bet on bin by bin.

The calibration error (the mean distance between probability and frequency over ten bins) is no mean of anything that a
single request has, so it cannot be bet on as such. What can: once the candidate has been off in a bin, in a direction,
the *next* request's gap in that direction. That is an amount between -1 and 1, fixed before the request was seen.

Source: Arnold, Henzi & Ziegel, "Sequentially valid tests for forecast calibration" (2023), for the idea.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gateway.core.deployments import Guardrail
from gateway.core.evidence.arrays import FloatArray
from gateway.core.tallies import Sample
from gateway.core.value_cases import MeanCase, bet_on_mean, open_mean

BINS = 10


@dataclass(frozen=True, slots=True)
class Bins:
    """Number, sum of probabilities and number come true, by bin of probability, of one arm."""

    n: tuple[int, ...] = (0,) * BINS
    said: tuple[float, ...] = (0.0,) * BINS
    came: tuple[int, ...] = (0,) * BINS

    @property
    def error(self) -> float | None:
        """The expected calibration error; None before the first label.

        >>> Bins((10,) + (0,) * 9, (0.5,) + (0.0,) * 9, (3,) + (0,) * 9).error
        0.25
        """
        n = sum(self.n)
        return sum(abs(said - came) for said, came in zip(self.said, self.came, strict=True)) / n if n else None


@dataclass(frozen=True, slots=True)
class CalibrationCase:
    """Evidence that the candidate's probabilities are further off than stable's, where it has been off before."""

    mean: MeanCase
    stable: Bins = Bins()
    candidate: Bins = Bins()


def open_calibration() -> CalibrationCase:
    """Return a case that has seen nothing.

    >>> open_calibration().candidate.error is None
    True
    """
    return CalibrationCase(open_mean())


def bet_on_calibration(
    case: CalibrationCase, guardrail: Guardrail, samples: Sequence[Sample], came: Sequence[Sample]
) -> CalibrationCase:
    """Bet on probabilities and on whether they came true (1 or 0), sample by sample.

    >>> rng, ours = np.random.default_rng(1), np.arange(2_000) % 2 == 0
    >>> case, guardrail = open_calibration(), Guardrail("calibration_error", absolute=0.02)
    >>> for _ in range(5):
    ...     said = rng.random(2_000)
    ...     true = rng.random(2_000) < np.where(ours, said**2, said)
    ...     at = (Sample(0, 0.5, said, ours), Sample(0, 0.5, true.astype(float), ours))
    ...     case = bet_on_calibration(case, guardrail, at[:1], at[1:])
    >>> case.mean.harm.peak > 20.0, case.candidate.error > 0.15 > 0.05 > case.stable.error
    (True, True)
    """
    gaps = [
        replace(said, values=off_by(case.candidate, said.values, true.values))
        for said, true in zip(samples, came, strict=True)
    ]
    stable, candidate = case.stable, case.candidate
    for said, true in zip(samples, came, strict=True):
        ours = said.ours
        stable = noted(stable, said.values[~ours], true.values[~ours])
        candidate = noted(candidate, said.values[ours], true.values[ours])
    return CalibrationCase(bet_on_mean(case.mean, guardrail, gaps, [], 2.0), stable, candidate)


def off_by(candidate: Bins, said: FloatArray, came: FloatArray) -> FloatArray:
    """How far probabilities are off in the direction in which the candidate has been, bin by bin: 1 is right, 2 worst.

    >>> off_by(Bins((10,) * 10, (1.0,) * 10, (5,) * 10), np.array([0.2]), np.array([1.0])).tolist()
    [1.8]
    """
    signs = np.sign(np.array(candidate.came) - np.array(candidate.said))
    return np.asarray(signs[_bins(said)] * (came - said) + 1.0, dtype=np.float64)


def noted(bins: Bins, said: FloatArray, came: FloatArray) -> Bins:
    """Count probabilities, and whether they came true (1 or 0)."""
    places = _bins(said)
    n = np.array(bins.n) + np.bincount(places, minlength=BINS)
    told = np.array(bins.said) + np.bincount(places, weights=said, minlength=BINS)
    true = np.array(bins.came) + np.bincount(places, weights=came, minlength=BINS).astype(np.int64)
    return Bins(tuple(map(int, n)), tuple(map(float, told)), tuple(map(int, true)))


def _bins(said: FloatArray) -> "np.typing.NDArray[np.int64]":
    return np.clip((said * BINS).astype(np.int64), 0, BINS - 1)
