"""Sample-ratio mismatch: requests (or labels) that do not come from the candidate as often as the draw says.

Bets that do not look at the outcome: ``q = pi phi / (1 + pi (phi - 1))``. Exact at any mixture of propensities, so
ramps need no strata. On labelled requests it is the detector of labels that one arm loses more often.

Source: Lindon & Malek, "Anytime-valid inference for multinomial count data" (2022).
"""

from functools import lru_cache

import numpy as np

from gateway.core.evidence.arrays import FloatArray, Numbers, normalised

ODDS = np.array([0.5, 0.8, 0.9, 1.1, 1.25, 2.0])
RATIO_WEIGHTS = normalised(1, 1, 1, 1, 1, 1)
RATIO_ALPHA = 0.01


@lru_cache(maxsize=4_096)
def kept_ratio_bets(propensity: float) -> FloatArray:
    """Return :func:`ratio_bets` of one number, worked out once; nobody may write into it."""
    bets = ratio_bets(propensity)
    bets.flags.writeable = False
    return bets


def ratio_bets(propensity: Numbers) -> FloatArray:
    """Return log factors, shape (..., 6, 2), for a request of the candidate's and for one of stable's.

    >>> factors = np.exp(ratio_bets(0.05))
    >>> np.round(0.05 * factors[:, 0] + 0.95 * factors[:, 1], 12).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    scale = np.log1p(np.asarray(propensity)[..., None] * (ODDS - 1.0))
    return np.stack([np.log(ODDS) - scale, -scale], axis=-1)
