"""The section ``guardrails`` of a deployment: what a candidate must not do worse than stable."""

from dataclasses import replace

from pydantic import Field

from gateway.core import deployments as core
from gateway.core.errors import SettingsError, Unmeasurable
from gateway.core.metrics import METRICS, default_guardrail
from gateway.core.metrics import known as judged
from gateway.settings.mistakes import nearest
from gateway.settings.words import Section


class GuardrailSettings(Section):
    """How much worse a candidate may be on one metric. Left-out figures are the metric's own defaults."""

    metric: str
    """The metric's name, such as ``error_rate`` or ``accuracy``."""
    relative: float | None = Field(default=None, ge=1)
    """Tolerated badness as a multiple of stable's."""
    absolute: float | None = Field(default=None, ge=0)
    """Tolerated badness on top of that, in the metric's unit."""
    margin_relative: float | None = Field(default=None, ge=1)
    """As ``relative``, for promotion: the candidate must be shown to lie below it."""
    margin_absolute: float | None = Field(default=None, ge=0)
    """As ``absolute``, for promotion, in the metric's unit."""
    role: core.Role | None = None
    """``guardrail`` demotes, ``signal`` pauses, ``objective`` only has to be met for promotion."""
    dry_run: bool = False
    """Judge and tell, but never act."""
    low: float | None = Field(default=None, allow_inf_nan=False)
    """Least a business value (``value:NAME``) can be, in its unit; without both ends its order is compared."""
    high: float | None = Field(default=None, allow_inf_nan=False)
    """Most it can be; also of an error without a range of its own (``mae``, ``rmse``), in that metric's unit."""
    higher_is_better: bool = False
    """Whether more of a business value is better, as of a revenue; else less is, as of a cost."""


def guardrail_of(said: str | GuardrailSettings, place: str) -> core.Guardrail:
    """Translate one guardrail, the metric's defaults filled in. Raises SettingsError for a metric nobody knows."""
    entry = GuardrailSettings(metric=said) if isinstance(said, str) else said
    try:
        judged(entry.metric)
    except Unmeasurable:
        raise SettingsError(f"{place}: no such metric{nearest(entry.metric, METRICS)}") from None
    return replace(default_guardrail(entry.metric), **entry.model_dump(exclude_none=True))
