"""What the owner of a deployment declared about drift: what it is compared with, how sure to be, and what follows."""

from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What data drift does to a rollout, beside being seen."""

    HOLD = "hold"
    """Pause every running plan once, until an operator resumes it."""
    ALERT = "alert"
    """A line in the timeline, and so an alert."""
    NONE = "none"
    """Nothing: the figures are there for whoever looks."""


class Reference(StrEnum):
    """What live traffic is compared with."""

    MODEL = "model"
    """The profile that lies beside the model."""
    LOG = "log"
    """A declared window of this gateway's own log."""


@dataclass(frozen=True, slots=True)
class DriftTerms:
    """How a deployment is watched. Times in seconds of data time; ``since`` and ``until`` since the Unix epoch.

    ``features`` (empty: all that are profiled) are watched. At most ``sample`` rows of a tick are looked at, drawn by
    their ids. ``period_s`` is that of a reference from the log. Every ``skew_every_s`` (0: never) so many as
    ``skew_sample`` served vectors are compared with the offline store, of which ``skew_tolerated`` may differ.
    People are told when no outcome comes for ``label_silence_s`` (0: never).
    """

    effect: Effect = Effect.ALERT
    alpha: float = 0.05
    horizon_s: float = 365 * 86_400.0
    tolerance: float = 0.02
    features: tuple[str, ...] = ()
    sample: int = 2_000
    reference: Reference = Reference.MODEL
    since: float = 0.0
    until: float = 0.0
    period_s: float = 0.0
    skew_every_s: float = 0.0
    skew_sample: int = 100
    skew_tolerated: float = 0.01
    label_silence_s: float = 86_400.0
