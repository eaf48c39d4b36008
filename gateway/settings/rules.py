"""The sections ``gate`` and ``starts`` of a deployment: what a model has to show, and when a candidate may start."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from gateway.core import rules as core
from gateway.settings.words import Bytes, Seconds, Section, Share

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")


def parse_clock(value: object) -> object:
    """Turn ``16:30`` into seconds since midnight; a bare number is seconds already.

    >>> parse_clock("16:30")
    59400.0
    """
    if not isinstance(value, str):
        return value
    match = _CLOCK.fullmatch(value)
    if match is None:
        raise ValueError("is not a time of day such as 08:00 or 16:30, UTC")
    return int(match[1]) * 3_600.0 + int(match[2]) * 60.0


ClockTime = Annotated[float, BeforeValidator(parse_clock), Field(ge=0, le=86_400)]


class HoldoutSettings(Section):
    """Labelled requests of the log, answered again by candidate and stable alike."""

    metric: Literal["accuracy", "f1", "brier", "mae", "rmse"] = "accuracy"
    """What both are compared by."""
    margin: float = -0.02
    """By how much the candidate must be better, in the metric's unit; below zero it may be worse by so much."""
    at_least: int = Field(default=100, ge=1)
    """Fewer labelled requests than this are no hold-out, a count."""
    required: bool = False
    """Whether a model is refused where there is no hold-out."""


class RobustnessSettings(Section):
    """Requests of the log, answered again with a little noise."""

    noise: Share = 0.05
    """By how much every number moves, as a share of its spread among those requests."""
    flips: Share = 0.05
    """Greatest share of answers that may change."""


class GateSettings(Section):
    """What a model has to show before it gets traffic."""

    golden: bool = True
    """Whether it must answer its own input example, alone and together, the same way each time."""
    latency: Seconds | None = None
    """Longest 95th percentile of one row's answer, a duration; none takes ``canary_deadline``."""
    memory: Bytes | None = 4 * 2**30
    """Most that loading and answering may add to a process, in bytes (``4GiB``); none lets it be."""
    rows: int = Field(default=500, ge=1, le=10_000)
    """Requests of the log that are replayed at most, a count."""
    holdout: HoldoutSettings | None = None
    """Compare with stable on labelled requests; none lets it be."""
    robustness: RobustnessSettings | None = None
    """Disturb requests and count changed answers; none lets it be."""

    def rules(self) -> core.GateRules:
        """Translate into the core's value."""
        return core.GateRules(
            golden=self.golden,
            latency_s=self.latency,
            memory_bytes=self.memory,
            rows=self.rows,
            holdout=None if self.holdout is None else core.Holdout(**dict(self.holdout)),
            robustness=None if self.robustness is None else core.Robustness(**dict(self.robustness)),
        )


class FreezeSettings(Section):
    """A time in which nothing starts and nothing moves up by itself; demotions go on. Times are UTC."""

    reason: str = Field(min_length=1)
    """Why, for people: ``holidays``."""
    after: datetime | None = None
    """Begins then, as 2026-12-20 or 2026-12-20T08:00:00Z; none has no beginning."""
    before: datetime | None = None
    """Ends then; none has no end."""
    days: tuple[Day, ...] = ()
    """``mon`` to ``sun``; none is every day."""
    start: ClockTime = 0.0
    """Time of day at which it begins, as 16:00."""
    end: ClockTime = 86_400.0
    """Time of day at which it ends, as 08:00: on the next day where that is earlier than ``start``."""

    @model_validator(mode="after")
    def _ends_some_time(self) -> "FreezeSettings":
        whole_day = (self.start, self.end) == (0.0, core.DAY_S)
        if self.after is None and self.before is None and not self.days and whole_day:
            raise ValueError("a freeze needs after, before, days, start or end: this one would never end")
        return self

    def rule(self) -> core.Freeze:
        """Translate into the core's value."""
        days = tuple(_DAYS.index(day) for day in self.days)
        return core.Freeze(self.reason, _seconds(self.after), _seconds(self.before), days, self.start, self.end)


class StartSettings(Section):
    """When a candidate may start. Durations are in data time."""

    quarantine: Seconds = 3_600.0
    """How long the digest of a model that the judge demoted stays out, a duration; an operator may override it."""
    quarantine_growth: float = Field(default=2.0, ge=1.0, le=100.0)
    """How many times longer it stays out at each further demotion."""
    quarantine_max: Seconds = 30 * 86_400.0
    """Longest time out, a duration."""
    cooldown: Seconds = 0.0
    """How long nothing starts at all after the judge demoted a candidate, a duration."""
    freezes: tuple[FreezeSettings, ...] = ()
    """Times in which nothing starts and nothing moves up by itself."""

    def rules(self) -> core.StartRules:
        """Translate into the core's value."""
        return core.StartRules(
            self.quarantine,
            self.quarantine_growth,
            self.quarantine_max,
            self.cooldown,
            tuple(freeze.rule() for freeze in self.freezes),
        )


def _seconds(moment: datetime | None) -> float | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
