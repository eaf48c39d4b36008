"""Both models answered the same request (a shadow scored it): bets on which of the two is wrong more often.

``S = 1 + lambda (Y_c - relative * Y_s - absolute)`` has expectation at most 1 while
``E Y_c <= relative * E Y_s + absolute``, whatever drifts. With ``lambda = (psi - 1) / (psi + 1)`` and the line
through the diagonal these are the sign bets ``(2 psi / (1 + psi))^b (2 / (1 + psi))^c`` on discordant pairs: the
sequential form of McNemar's test. The same stakes bet on differences of amounts within a range. Pairing removes the
noise that both models share, and no caller is exposed.

Source: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (2023).
"""

import numpy as np

from gateway.core.evidence.arrays import FloatArray, Numbers
from gateway.core.evidence.rates import DEMOTION_WEIGHTS, ODDS_RATIOS, Line

CELLS = ("only candidate bad", "only stable bad", "both bad", "both good")
PAIR_WEIGHTS = DEMOTION_WEIGHTS

_STAKES = (ODDS_RATIOS - 1.0) / (ODDS_RATIOS + 1.0)
_RUIN = 0.95
"""No stake may lose more than this share of its wealth in one pair."""


def demotion_pair_bets(tolerance: Line) -> FloatArray:
    """Return log factors, shape (8, 4), against ``badness_c <= relative * badness_s + absolute`` on the same requests.

    >>> np.round(np.exp(demotion_pair_bets(Line())[3]), 4).tolist()        # psi = 2: 4/3, 2/3, and nothing else moves
    [1.3333, 0.6667, 1.0, 1.0]
    """
    return _bets(_excess(tolerance))


def promotion_pair_bets(margin: Line) -> FloatArray:
    """Return log factors, shape (8, 4), against ``badness_c >= relative * badness_s + absolute``.

    >>> agree = promotion_pair_bets(Line(absolute=0.02))[:, 3]
    >>> bool((agree > 0).all())                                   # each pair that agrees speaks for the candidate
    True
    """
    return _bets(-_excess(margin))


def difference_growth(
    candidate: FloatArray, stable: FloatArray, width: Numbers, line: Line, *, harm: bool = True
) -> FloatArray:
    """Return the log growth of every bet, shape (..., 8), summed over the last axis: amounts from 0 to ``width``.

    ``harm`` bets that the candidate's mean lies above the line, else that it lies below.

    >>> worse = difference_growth(np.array([0.8, 0.5]), np.array([0.2, 0.1]), 1.0, Line())
    >>> bool((worse > 0).all())
    True
    """
    top = np.asarray(width, dtype=np.float64)[..., None]
    gain = np.clip(candidate, 0.0, top) - line.at(np.clip(stable, 0.0, top))
    sign = 1.0 if harm else -1.0
    ends = (-line.at(top[..., 0]), top[..., 0] - line.absolute)
    worst = np.maximum(-ends[0] if harm else ends[1], 1e-12)
    stakes = np.minimum(_STAKES / top, _RUIN / worst[..., None])
    growth = [np.log1p(sign * stakes[..., bet, None] * gain).sum(axis=-1) for bet in range(len(_STAKES))]
    return np.stack(growth, axis=-1)


def _excess(line: Line) -> FloatArray:
    """How far each cell's candidate badness lies above the line."""
    candidate, stable = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.0, 1.0, 1.0, 0.0])
    return np.asarray(candidate - line.at(stable), dtype=np.float64)


def _bets(gain: FloatArray) -> FloatArray:
    """Return ``log(1 + lambda * gain)``; a stake that could be ruined is cut."""
    worst = max(float(-gain.min()), 1e-12)
    stakes = np.minimum(_STAKES, _RUIN / worst)
    return np.log1p(stakes[:, None] * gain)
