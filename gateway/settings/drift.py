"""The section ``drift`` of a deployment: what live traffic is compared with, and what follows."""

from datetime import datetime

from pydantic import Field, model_validator

from gateway.core.drift import terms as core
from gateway.settings.words import Level, Seconds, Section, Share


class DriftSettings(Section):
    """What live traffic is compared with, how sure an alarm has to be, and what follows from one."""

    effect: core.Effect = core.Effect.ALERT
    """``hold`` pauses every running plan once, ``alert`` leaves a line in the timeline, ``none`` only shows figures."""
    alpha: Level = 0.05
    """Chance of any false alarm of a model's watch within ``horizon``, over all features and however often looked."""
    horizon: Seconds = Field(default=365 * 86_400.0, gt=0)
    """What ``alpha`` is for, a duration in data time."""
    tolerance: float = Field(default=0.02, ge=0, le=10)
    """Shift of a mean that is not worth an alarm, in standard deviations (for shares, of the share)."""
    features: tuple[str, ...] = ()
    """Features that are watched, by name; none watches all that the reference knows."""
    sample: int = Field(default=2_000, ge=1)
    """Most rows looked at per ten minutes (or per period), a count; drawn at random."""
    reference: core.Reference = core.Reference.MODEL
    """``model``: the profile beside the stable model; ``log``: a declared window of this gateway's own log."""
    since: datetime | None = None
    """Beginning of that window (data time, ISO 8601 with its offset from UTC)."""
    until: datetime | None = None
    """End of that window."""
    period: Seconds = 0.0
    """Rows that come within one period of so long (``1d``) hang together, in a reference from the log; 0: none do."""
    skew_every: Seconds = 0.0
    """How often served features are compared with the offline store, a duration in data time; 0: never."""
    skew_sample: int = Field(default=100, ge=1, le=10_000)
    """How many served vectors are compared each time, a count."""
    skew_tolerated: Share = 0.01
    """Share of a feature's values that may differ before it is told, as 1% or 0.01."""
    label_silence: Seconds = 86_400.0
    """People are told when predictions are made and no outcome comes for so long, a duration in data time; 0: never."""

    @model_validator(mode="after")
    def _window_is_whole(self) -> "DriftSettings":
        window = (self.since, self.until)
        if self.reference is core.Reference.LOG and (None in window or self.terms().since >= self.terms().until):
            raise ValueError("reference: log needs a window: since, and a later until")
        if any(end is not None and end.tzinfo is None for end in window):
            raise ValueError("since and until need their offset from UTC, as in 2013-03-01T00:00:00Z")
        return self

    def terms(self) -> core.DriftTerms:
        """Translate into the core's value."""
        same = ("effect", "alpha", "tolerance", "features", "sample", "reference", "skew_sample", "skew_tolerated")
        return core.DriftTerms(
            horizon_s=self.horizon,
            since=self.since.timestamp() if self.since else 0.0,
            until=self.until.timestamp() if self.until else 0.0,
            period_s=self.period,
            skew_every_s=self.skew_every,
            label_silence_s=self.label_silence,
            **{field: getattr(self, field) for field in same},
        )
