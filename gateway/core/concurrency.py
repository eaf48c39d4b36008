"""How much a worker takes on at once: a limit that follows what it can do, told by the latency of what it does.

While the fastest answers of a moment take about as long as they do when nobody waits, more is let in; when even the
fastest had to wait, a queue is standing, and less is. What "nobody waits" means is measured: now and then a worker that
refuses callers takes on little for a moment and looks again. (Additive increase, multiplicative decrease, as in TCP;
the probe is BBR's, "Congestion-based congestion control", Cardwell et al. 2016; the fastest of a window as the sign of
a standing queue is CoDel's, RFC 8289.)
"""

import math
from dataclasses import dataclass, replace

TOLERATED = 2.0
"""A standing latency of so many times the unhurried one is no queue yet,"""
TOLERATED_S = 0.02
"""nor is one so much above it (seconds): less than that is the machine's own noise."""
PROBE_EVERY_S = 10.0
_LESS = 0.9
_PROBING = 0.25


@dataclass(frozen=True, slots=True)
class Seen:
    """One moment of work: requests answered, the fastest's latency (seconds), the most under way, and any refused."""

    answered: int
    fastest: float
    most: int
    refused: int


@dataclass(frozen=True, slots=True)
class Limit:
    """Requests under way that are let in. Times in machine seconds.

    ``unhurried`` is the latency of a request that waits for nobody, ``since`` when that was seen last. ``probing``:
    little is let in for now, and ``resume`` is the limit to come back to.
    """

    now: float
    least: int
    greatest: int
    unhurried: float = math.inf
    since: float = 0.0
    probing: int = 0
    resume: float = 0.0


def opened(least: int, greatest: int) -> Limit:
    """Begin in the middle.

    >>> opened(8, 256).now, opened(8, 2).now
    (64.0, 2.0)
    """
    least = min(least, greatest)
    return Limit(now=float(max(least, greatest // 4)), least=least, greatest=greatest)


def adapted(limit: Limit, seen: Seen, at: float) -> Limit:
    """Return the limit after a moment of work that ended at machine time ``at``.

    >>> adapted(opened(8, 256), Seen(answered=20, fastest=0.01, most=64, refused=0), 1.0).now
    72.0
    """
    if not seen.answered:
        return limit
    if limit.probing:
        return _probed(limit, seen, at)
    if seen.fastest <= limit.unhurried:
        limit = replace(limit, unhurried=seen.fastest, since=at)
    busy = seen.refused > 0 or seen.most >= 0.8 * int(limit.now)
    if at - limit.since >= PROBE_EVERY_S:
        if seen.refused:  # only who turns callers away already may turn more away to look
            return replace(limit, probing=2, resume=limit.now, now=max(float(limit.least), limit.now * _PROBING))
        return replace(limit, unhurried=seen.fastest, since=at)  # nobody is turned away, so this is how long it takes
    if seen.fastest > max(TOLERATED * limit.unhurried, limit.unhurried + TOLERATED_S):
        return replace(limit, now=max(float(limit.least), limit.now * _LESS))
    if busy:
        return replace(limit, now=min(float(limit.greatest), limit.now + math.sqrt(limit.now)))
    return limit


def _probed(limit: Limit, seen: Seen, at: float) -> Limit:
    """The first moment lets what was under way leave, the second is looked at."""
    if limit.probing > 1:
        return replace(limit, probing=limit.probing - 1)
    return replace(limit, now=limit.resume, probing=0, unhurried=seen.fastest, since=at)
