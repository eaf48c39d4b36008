"""How far data time has been drained: a look takes records up to here and no further.

Every worker's spool carries its word on data time (:class:`~gateway.core.events.Punctuation`); the watermark is the
smallest of what the live ones said. Taking an eager canary's records before a slow stable's would make any shared
outage look like the canary's fault; behind the watermark both arms stand complete. Pure: machine time comes in.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.core.events import Punctuation

SILENT_AFTER_S = 3.0
"""Machine seconds without a word after which a spool holds nobody up any more."""
SETTLED_AFTER_S = 1.0
"""Machine seconds of idleness after which no further record of the same instant is waited for."""


@dataclass(frozen=True, slots=True)
class Word:
    """The last word of one spool, the machine time it was heard, and since when it has said the same."""

    low: float | None
    high: float
    heard_at: float
    unmoved_since: float


@dataclass(frozen=True, slots=True)
class Watermark:
    """Data time (seconds) up to which every record of every live spool is drained; None before the first word."""

    value: float | None = None
    words: Mapping[str, Word] = field(default_factory=dict)


def hear(mark: Watermark, spool_id: str, word: Punctuation, now: float) -> Watermark:
    """Take in what a spool said; ``now`` is machine time. Everything before it in that spool must be drained."""
    last = mark.words.get(spool_id)
    same = last is not None and (last.low, last.high) == (word.low, word.high)
    since = last.unmoved_since if last is not None and same else now
    return replace(mark, words={**mark.words, spool_id: Word(word.low, word.high, now, since)})


def leave(mark: Watermark, spool_id: str) -> Watermark:
    """Let go of a spool that is sealed and drained to its end: it holds nobody up."""
    return replace(mark, words={name: word for name, word in mark.words.items() if name != spool_id})


def advance(mark: Watermark, now: float) -> Watermark:
    """Move the watermark to where the live spools stand at machine time ``now``. It never moves back.

    A spool silent for ``SILENT_AFTER_S`` has left: what it delivers later is reported and never bet on.
    """
    live = {name: word for name, word in mark.words.items() if now - word.heard_at < SILENT_AFTER_S}
    reached = _reached(live, now)
    if reached is None or (mark.value is not None and reached <= mark.value):
        return replace(mark, words=live)
    return Watermark(reached, live)


def _reached(live: Mapping[str, Word], now: float) -> float | None:
    """The smallest time still under way, or, when every spool is idle, the greatest time seen.

    Records *at* that time may still come (under replay many share a second), so it stays just outside, until all
    spools have been idle for ``SETTLED_AFTER_S``.
    """
    if not live:
        return None
    busy = [word.low for word in live.values() if word.low is not None]
    if busy:
        return math.nextafter(min(busy), -math.inf)
    high = max(word.high for word in live.values())
    settled = all(now - word.unmoved_since >= SETTLED_AFTER_S for word in live.values())
    return high if settled else math.nextafter(high, -math.inf)
