"""The sections ``entities``, ``inputs`` and ``features`` of a deployment: a row, as its owner declares it."""

from pydantic import model_validator

from gateway.core import deployments as core
from gateway.settings.words import Scalar, Seconds, Section


class InputSettings(Section):
    """A request feature as its owner declares it; what is not declared comes from the model."""

    type: core.Type
    """``integer``, ``number``, ``string`` or ``boolean``."""
    required: bool = True
    """Whether every request must carry it."""
    default: Scalar = None
    """What stands in where it is optional and absent."""
    minimum: float | None = None
    """Smallest value accepted, in the feature's own unit."""
    maximum: float | None = None
    """Greatest value accepted, in the feature's own unit."""
    example: Scalar = None
    """A value for the documentation's example body."""
    categories: tuple[Scalar, ...] = ()
    """The only values it may have; none takes any of its type."""
    on_invalid: core.OnInvalid = core.OnInvalid.REFUSE
    """``refuse`` (422) or ``default``, where a value is of a wrong type, out of range or of no declared category."""

    @model_validator(mode="after")
    def _has_something_to_fall_back_on(self) -> "InputSettings":
        if self.on_invalid is core.OnInvalid.DEFAULT and self.default is None:
            raise ValueError("on_invalid: default needs a default")
        return self

    def field(self, name: str) -> core.Field:
        """Translate into the core's value."""
        return core.Field(name=name, **dict(self))


class FeatureSettings(Section):
    """What a Feast-served feature that is missing, stale or unavailable means."""

    default: Scalar = None
    """What stands in, in the feature's own unit."""
    on_missing: core.OnUnavailable = core.OnUnavailable.DEFAULT
    """``default`` or ``error``, where the store has no value."""
    on_stale: core.OnUnavailable = core.OnUnavailable.DEFAULT
    """``default`` or ``error``, where the value is older than its age limit."""
    on_unavailable: core.OnUnavailable = core.OnUnavailable.DEFAULT
    """``default`` or ``error``, where the store did not answer in time."""
    max_age: Seconds | None = None
    """Age limit as a duration; none takes the feature view's TTL."""
    on_invalid: core.OnUnavailable = core.OnUnavailable.DEFAULT
    """``default`` or ``error``, where the store's value is of another type, out of range or of no declared category."""
    minimum: float | None = None
    """Smallest valid value, in the feature's own unit."""
    maximum: float | None = None
    """Greatest valid value, in the feature's own unit."""
    categories: tuple[Scalar, ...] = ()
    """The only valid values; none takes any of its type."""

    def policy(self) -> core.FeaturePolicy:
        """Translate into the core's value."""
        return core.FeaturePolicy(max_age_s=self.max_age, **self.model_dump(exclude={"max_age"}))
