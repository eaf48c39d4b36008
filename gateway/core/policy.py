"""What a policy is asked before a rollout or a promotion, and what it may say.

The question is plain data, so that the same policy can be evaluated here or by a server: who wants what, with which
model on which features, how fresh the data is, how far it drifted, and who has approved.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_BINS = 10
_FEWEST = 200
_FLOOR = 1e-4


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a policy says: nothing against it, or why not. ``by`` names the policy and its version."""

    reasons: tuple[str, ...]
    by: str

    @property
    def allowed(self) -> bool:
        """Whether there is nothing against it."""
        return not self.reasons


def digest_of(data: Mapping[str, Any]) -> str:
    """A digest of plain data, the same however its members are ordered.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def population_shift(reference: Sequence[float], recent: Sequence[float]) -> float | None:
    """Population stability index of two samples over the reference's tenths; None with fewer than 200 in either.

    PSI = sum (p - q) ln(p / q), Siddiqi (2006), Credit Risk Scorecards; below 0.1 is steady, above 0.25 has moved.

    >>> population_shift([0.0] * 10, [0.0] * 10) is None
    True
    """
    if min(len(reference), len(recent)) < _FEWEST:
        return None
    ordered = sorted(reference)
    edges = sorted({ordered[len(ordered) * cut // _BINS] for cut in range(1, _BINS)})
    shares = zip(_shares(reference, edges), _shares(recent, edges), strict=True)
    return sum((q - p) * math.log(q / p) for p, q in shares)


def _shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[sum(value >= edge for edge in edges)] += 1
    return [max(count / len(values), _FLOOR) for count in counts]
