"""A quantity without bounds: bets that the candidate's values lie higher, on any increasing scale.

``logit q = logit pi + beta (z - beta (1/2 - pi))`` with ``z`` standardised by a predictable centre and spread: the
exact posterior of two normal laws ``beta`` apart, and a fair bet for any laws at all. ``q`` increases in the value, so
the expected factor ``1 + E q(Y_c) - E q(Y_s)`` is at most 1 while the candidate is stochastically no higher; negative
``beta`` bets the other way. Heavy tails cost nothing: a value moves the wealth by at most ``1 / pi``, and a logarithmic
scale (:func:`log_scale`) keeps one great value from hiding the rest.

What is tested is the stochastic order, not the mean: a raw mean without bounds can never be tested (one value in a
million can move it anywhere).

Sources: Podkopaev & Ramdas, "Sequential predictive two-sample and independence testing" (2023); Bahadur & Savage, "The
nonexistence of certain statistical procedures in nonparametric problems" (1956).
"""

import numpy as np
import numpy.typing as npt

from gateway.core.evidence.arrays import FloatArray, Numbers
from gateway.core.evidence.means import SHIFTS


def log_scale(values: Numbers) -> FloatArray:
    """Return ``asinh``: like a logarithm in both directions, straight through 0. Infinities become large numbers.

    >>> log_scale(np.array([-np.inf, 0.0, 1.0])).round(3).tolist()
    [-710.476, 0.0, 0.881]
    """
    greatest = np.finfo(np.float64).max
    return np.asarray(np.arcsinh(np.clip(values, -greatest, greatest)), dtype=np.float64)


def shift_growth(z: FloatArray, ours: npt.NDArray[np.bool_], propensity: Numbers, *, higher: bool = True) -> FloatArray:
    """Return the log growth of six bets, shape (..., 6), summed over the last axis of the standardised values ``z``.

    ``higher`` bets that the candidate's values lie higher, else that they lie lower.

    >>> z, ours = np.array([1.2, -0.4, 0.9]), np.array([True, False, True])
    >>> bool((shift_growth(z, ours, 0.5) > 0).all())
    True
    >>> both = [np.exp(shift_growth(z[:1], np.array([arm]), 0.3)) for arm in (True, False)]
    >>> np.round(0.3 * both[0] + 0.7 * both[1], 12).tolist()                 # fair at every value
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    share = np.asarray(propensity, dtype=np.float64)[..., None]
    growth = []
    for shift in SHIFTS if higher else -SHIFTS:
        tilt = np.clip(shift * (z - shift * (0.5 - share)), -500.0, 500.0)
        total = np.log1p(share * np.expm1(tilt))
        growth.append((np.where(ours, tilt, 0.0) - total).sum(axis=-1))
    return np.stack(growth, axis=-1)
