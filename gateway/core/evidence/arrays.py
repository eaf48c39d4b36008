"""The array type that every evidence file speaks, and sums of exponentials that neither overflow nor vanish."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
Numbers: TypeAlias = float | FloatArray


def normalised(*weights: float) -> FloatArray:
    """Return the weights, scaled to add up to 1.

    >>> normalised(1, 3).tolist()
    [0.25, 0.75]
    """
    array = np.array(weights, dtype=np.float64)
    return np.asarray(array / array.sum(), dtype=np.float64)


def log_sum_exp(logs: FloatArray) -> FloatArray:
    """Return ``log(sum(exp(logs)))`` over the last axis.

    >>> float(log_sum_exp(np.array([-2000.0, -1000.0])))
    -1000.0
    """
    greatest = logs.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logs - greatest).sum(axis=-1)) + greatest[..., 0]
    return np.asarray(total, dtype=np.float64)
