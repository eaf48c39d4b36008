"""Keeps a model that was demoted out for a while, longer each time.

By digest: a new name for the same bytes is no way around it. Only the judge sends a model out: who demotes one by hand
knows why, and may start it again at once. Pure.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.errors import Postponed, Quarantined
from gateway.core.rules import StartRules

MOST_REMEMBERED = 256
"""So many digests are remembered; those whose time ends first are forgotten."""


@dataclass(frozen=True, slots=True)
class Stay:
    """How often a digest was demoted, when last, and until when it stays out (data time, seconds)."""

    times: int
    at: float
    until: float


def sent_out(stays: Mapping[str, Stay], digest: str, rules: StartRules, at: float) -> dict[str, Stay]:
    """Send a digest out after a demotion at data time ``at``.

    >>> stays = sent_out(sent_out({}, "d", StartRules(), at=0.0), "d", StartRules(), at=4_000.0)
    >>> stays["d"]
    Stay(times=2, at=4000.0, until=11200.0)
    """
    times = stays[digest].times + 1 if digest in stays else 1
    sent = {**stays, digest: Stay(times, at, at + rules.stay_out_s(times))}
    return dict(sorted(sent.items(), key=lambda item: item[1].until)[-MOST_REMEMBERED:])


def hold_out(stays: Mapping[str, Stay], digest: str, at: float) -> None:
    """Raise Quarantined while the digest has to stay out."""
    stay = stays.get(digest)
    if stay is not None and at < stay.until:
        raise Quarantined(digest, stay.times, stay.until)


def hold_back(stays: Mapping[str, Stay], rules: StartRules, at: float) -> None:
    """Raise Postponed during a freeze, and in the cool-down after the judge demoted one."""
    freeze = rules.frozen(at)
    if freeze is not None:
        raise Postponed(f"Nothing starts during the freeze {freeze.reason!r}.")
    left = max((stay.at for stay in stays.values()), default=-math.inf) + rules.cooldown_s - at
    if left > 0.0:
        raise Postponed(f"Nothing starts in the cool-down after a demotion; {left:,.0f} s of data time are left.")
