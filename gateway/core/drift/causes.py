"""What an alarm says, and whose fault it is: everybody's data, or one candidate's.

Which arm a request met was drawn at random, so what comes in is the same for all arms: inputs that drift are the
data's doing. Answers that drift in one candidate alone, on inputs that did not, are the candidate's.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

INPUTS, PREDICTIONS = "inputs", "predictions"
STABLE = "stable"


class Cause(StrEnum):
    """Where drift comes from."""

    NONE = "none"
    DATA = "data"
    """Inputs moved, or the answers of all arms did: hold the ramp, tell people, train again."""
    CANDIDATE = "candidate"
    """Only a candidate's answers moved; inputs and stable's answers are as ever."""
    OUTPUT = "output"
    """Only stable's answers moved: its code or artifact changed, or something that no profiled input shows."""


@dataclass(frozen=True, slots=True)
class DriftAlarm:
    """One feature, or one model's answers, are no longer what they were in the reference.

    ``what`` is the score that gave most of the evidence, ``direction`` +1 or -1. ``live`` and ``reference`` are its
    means, between 0 and 1 (a share, for a cell), ``shift`` their difference in the reference's standard deviations.
    ``began`` is about when it began and ``at`` when it was seen, both data time in seconds. ``log_wealth`` reached
    ``log_threshold``. ``sentence`` is for people.
    """

    deployment: str
    scope: str
    variant: str
    feature: str
    what: str
    direction: int
    live: float
    reference: float
    shift: float
    began: float
    at: float
    rows: int
    log_wealth: float
    log_threshold: float
    sentence: str

    @property
    def key(self) -> str:
        """What makes two alarms the same one: the same feature in the same scope of the same variant."""
        return f"{self.deployment}/{self.scope}/{self.variant}/{self.feature}"


@dataclass(frozen=True, slots=True)
class DriftEvent:
    """What is told of drift: an alarm that rose (or ended), what causes it together with those that stand, and why."""

    alarm: DriftAlarm
    cause: Cause
    ended: bool = False


def cause_of(standing: Collection[DriftAlarm]) -> Cause:
    """Name the cause of the alarms that stand together.

    >>> alarm = DriftAlarm("d", INPUTS, STABLE, "x", "location", 1, 0.6, 0.5, 0.3, 0.0, 1.0, 9, 9.0, 8.0, "x moved")
    >>> cause_of([alarm]).value, cause_of([]).value
    ('data', 'none')
    """
    if any(alarm.scope == INPUTS for alarm in standing):
        return Cause.DATA
    variants = {alarm.variant for alarm in standing}
    if not variants:
        return Cause.NONE
    if STABLE not in variants:
        return Cause.CANDIDATE
    return Cause.DATA if len(variants) > 1 else Cause.OUTPUT
