"""One thing that ``gateway doctor`` looked at, and what servers have in common: a clock."""

from dataclasses import dataclass
from enum import StrEnum

MOST_SKEW_S = 2.0


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at, and what to do where it is not well."""

    about: str
    level: Level
    says: str
    fix: str = ""


def clock(whose: str, theirs: float, before: float, after: float) -> Check:
    """Compare a server's clock, read between ``before`` and ``after`` of ours, all in wall seconds.

    >>> clock("the registry", 1_000.0, 1_000.2, 1_000.4).says
    "agrees with the registry's"
    """
    skew = theirs - (before + after) / 2.0
    if abs(skew) <= MOST_SKEW_S + (after - before) / 2.0:
        return Check("clock", Level.OK, f"agrees with {whose}'s")
    return Check("clock", Level.WARN, f"{whose}'s clock differs by {skew:+.0f} s", "synchronise both (NTP)")
