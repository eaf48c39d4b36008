"""Information bounds: how fast the best test there is could see a difference, per request or per pair.

A test that wrongly decides with probability at most alpha needs on average ``log(1 / alpha)`` nats, and a request
brings no more than what its outcome says about the arm beyond the line that is to be refuted (data-processing
inequality at the stopping time). Nothing here bets: the judge is measured against these numbers, plans are made with
them.
"""

import math
from collections.abc import Callable

_STEPS = 120
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def divergence(p: float, q: float) -> float:
    """Return ``KL(Bernoulli(p) || Bernoulli(q))`` in nats.

    >>> round(divergence(0.1, 0.2), 4), divergence(0.0, 0.0), divergence(0.5, 0.0)
    (0.0367, 0.0, inf)
    """
    total = 0.0
    for a, b in ((p, q), (1.0 - p, 1.0 - q)):
        if a > 0.0:
            total += a * math.log(a / b) if b > 0.0 else math.inf
    return total


def information(stable: float, candidate: float, share: float, relative: float = 1.0, absolute: float = 0.0) -> float:
    """Return the nats that one request of either arm brings against ``candidate = relative * stable + absolute``.

    That is the least divergence of the rates (stable, candidate) from the line, at a candidate's ``share`` of requests.

    >>> round(math.log(20) * 0.05 / information(0.01, 0.02, 0.05))       # candidate samples at 5 %: 1 % against 2 %
    817
    """

    def far(at: float) -> float:
        return share * divergence(candidate, relative * at + absolute) + (1.0 - share) * divergence(stable, at)

    return least(far, max(0.0, -absolute / relative), min(1.0, (1.0 - absolute) / relative))


def shift_information(gap: float, spread: float, share: float, relative: float = 1.0) -> float:
    """Return the nats that one request brings about a mean that lies ``gap`` beyond the line, for values this spread.

    To the second order, and for any law: the square of the gap over the variance of what measures it.

    >>> math.isclose(shift_information(0.01, 0.3, 0.05), information(0.10, 0.11, 0.05), rel_tol=0.1)
    True
    """
    return gap * gap * share / (2.0 * spread * spread * (1.0 + relative * relative * share / (1.0 - share)))


def paired_information(only_candidate: float, only_stable: float) -> float:
    """Return the nats that one pair brings against "no worse", for the chances of its two discordant kinds.

    >>> round(math.log(20) / paired_information(0.05, 0.02))
    451
    """
    both = only_candidate + only_stable
    return both * divergence(only_candidate / both, 0.5) if both > 0.0 else 0.0


def paired_safety(discordant: float, room: float) -> float:
    """Return the nats that one pair of equal models brings against "worse by ``room``".

    ``discordant`` is the chance of each of the two discordant kinds. The best stake on ``room - difference``:

    >>> paired_safety(0.0, 0.02) > paired_safety(0.03, 0.02) > 0.0
    True
    """
    same = 1.0 - 2.0 * discordant

    def lost(stake: float) -> float:
        worst = math.log1p(stake * (room - 1.0)) if discordant > 0.0 else 0.0
        best = math.log1p(stake * (room + 1.0)) if discordant > 0.0 else 0.0
        return -(same * math.log1p(stake * room) + discordant * (worst + best))

    return -least(lost, 0.0, 0.95)


def least(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the least value of a convex function between two places, by golden section.

    >>> round(least(lambda x: (x - 2.0) ** 2 + 1.0, 0.0, 5.0), 9)
    1.0
    """
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = function(right)
    return min(at_left, at_right)
