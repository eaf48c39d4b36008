"""What is known of a deployment's drift at one time: for the door, the metrics and people."""

from dataclasses import dataclass

from gateway.core.drift.causes import Cause
from gateway.core.drift.estimate import Estimate
from gateway.core.drift.watch import Finding


@dataclass(frozen=True, slots=True)
class SkewLine:
    """One feature's served values beside what the offline store says they were at the served time.

    ``share`` of the ``compared`` values differed; ``missing_offline`` and ``missing_online`` were there on one side
    only.
    """

    feature: str
    compared: int
    differing: int
    missing_offline: int
    missing_online: int

    @property
    def share(self) -> float:
        """How many of the values were not the same, one side missing included."""
        total = self.compared + self.missing_offline + self.missing_online
        return (self.differing + self.missing_offline + self.missing_online) / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Skew:
    """The last comparison of served features with the offline store, or why there is none. Times in data seconds."""

    at: float | None = None
    rows: int = 0
    features: tuple[SkewLine, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class WatchReport:
    """One model's watch. ``reference`` says where its profile is from; "" with a sentence in ``trouble``: none."""

    variant: str
    generation: str
    version: str
    reference: str
    trouble: str
    until: float | None
    tick_s: float
    rows: int
    findings: tuple[Finding, ...]
    estimate: Estimate | None


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Everything: who is watched, what stands, whose doing it is, and the last look at skew."""

    deployment: str
    cause: Cause
    watches: tuple[WatchReport, ...]
    skew: Skew
