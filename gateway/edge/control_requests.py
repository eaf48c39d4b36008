"""What operators send to the control plane, as OpenAPI shows it.

Shapes only. What a request means is :mod:`gateway.control`'s business.
"""

from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway.core.deployments import Guardrail, Role
from gateway.core.errors import Unmeasurable
from gateway.core.metrics import FAMILIES, METRICS, default_guardrail, known
from gateway.core.routing import CANDIDATE
from gateway.trials import Rise

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", examples=["canary"])]
Share = Annotated[float, Field(ge=0, le=1, strict=True, allow_inf_nan=False)]
Reason = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$", examples=["the error page shows it"])]
ModelUri = Annotated[str, Field(min_length=1, max_length=1_000, examples=["models:/flight-delay/7"])]

_MOST_MEMBERS = 100


class _Request(BaseModel):
    """What is sent: a member nobody knows is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _is_small(cls, body: object) -> object:
        """Say once that there are too many members, rather than look at each of tens of thousands."""
        if isinstance(body, dict) and len(body) > _MOST_MEMBERS:
            raise ValueError(f"Has more than {_MOST_MEMBERS} members.")
        return body


def _known(metric: str) -> str:
    try:
        return known(metric).name
    except Unmeasurable:
        families = ", ".join((*METRICS, *(f"{family}NAME" for family in FAMILIES)))
        raise ValueError(f"There is no metric of that name; there are: {families}.") from None


Metric = Annotated[str, Field(min_length=1, max_length=128, examples=["accuracy"]), AfterValidator(_known)]
_Factor = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
_Offset = Annotated[float, Field(allow_inf_nan=False)]


class GuardrailRequest(_Request):
    """How much worse this candidate may be on one metric. What is left out is the metric's own default.

    All figures are badness, the metric turned so that higher is worse: of accuracy, the share of wrong answers. So
    the direction is the metric's own; only a business value's is declared. Tolerated is ``relative`` times stable's
    plus ``absolute``.
    """

    metric: Metric
    relative: _Factor | None = None
    absolute: _Offset | None = None
    margin_relative: _Factor | None = None
    """As ``relative``, for promotion: the candidate must be shown to lie below it."""
    margin_absolute: _Offset | None = None
    role: Role | None = None
    """``guardrail`` demotes, ``signal`` pauses, ``objective`` only has to be met for promotion."""
    dry_run: bool = False
    """Judge and tell, but never act."""
    low: _Offset | None = None
    """Least a business value (``value:NAME``) can be, in its unit; without both ends its order is compared."""
    high: _Offset | None = None
    """Most it can be; also of ``mae`` and ``rmse``, in that metric's unit."""
    higher_is_better: bool = False
    """Whether more of a business value is better, as of a revenue."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, said: object) -> object:
        """A metric's name alone stands for a guardrail with all its defaults."""
        return {"metric": said} if isinstance(said, str) else said

    def guardrail(self) -> Guardrail:
        """Translate into the core's value."""
        return replace(default_guardrail(self.metric), **self.model_dump(exclude_none=True))


class CanaryRequest(_Request):
    """Start a rollout."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "models:/flight-delay/7", "plan": "careful", "name": "canary"},
                {
                    "model": "models:/flight-delay/7",
                    "guardrails": ["error_rate", {"metric": "accuracy", "absolute": 0.01, "margin_absolute": 0.03}],
                },
            ]
        }
    )

    model: ModelUri
    """URI of the model in the registry; an alias is pinned to the version it names now."""
    plan: Annotated[str, Field(max_length=64)] | None = None
    """Name of one of the deployment's plans; may be left out where there is only one."""
    name: Name = "canary"
    """What the candidate is called."""
    guardrails: Annotated[tuple[GuardrailRequest, ...], Field(min_length=1, max_length=32)] | None = None
    """What it is held to instead of the deployment's own guardrails: metrics' names, or objects with figures. One that
    cannot be measured here is refused with the reason."""
    override: bool = False
    """Start in spite of a quarantine, a cool-down or a freeze."""
    reason: Reason = ""

    def terms(self) -> tuple[Guardrail, ...] | None:
        """Translate the guardrails into core values, None where they are the deployment's."""
        if self.guardrails is None:
            return None
        return tuple(one.guardrail() for one in self.guardrails)


class ValidationRequest(_Request):
    """Hold a model to the validation gate, without starting anything."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "models:/flight-delay/7"}]})

    model: ModelUri


class ShadowRequest(_Request):
    """Let a model watch: it scores a share of the requests, and no caller ever sees an answer of it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "models:/flight-delay/9", "name": "v9", "rate": 1.0}]}
    )

    model: ModelUri
    name: Name
    rate: Share = 1.0
    reason: Reason = ""


class ShadowPromotion(_Request):
    """Let a shadow rise on what pairs have shown. May be left out altogether: it becomes the canary."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"to": "canary", "plan": "careful"}, {"to": "stable", "reason": "3,000 pairs"}]}
    )

    to: Literal["canary", "stable"] = "canary"
    """``canary`` starts on the first step of the plan that takes traffic; ``stable`` is stable at once."""
    plan: Annotated[str, Field(max_length=64)] | None = None
    """Name of one of the deployment's plans; may be left out where there is only one. To stable, its watch counts."""
    name: Name = CANDIDATE
    """What the candidate is called. To stable, the shadow's own name stays."""
    reason: Reason = ""
    """Left out: what the judge says of the pairs."""

    def rise(self) -> Rise:
        """Translate into the story's value."""
        return Rise(self.to == "stable", self.plan, self.name)


class TrafficRequest(_Request):
    """The whole split. Stable takes the rest; a shadow that is left out stops. ``{"canary": 0.1}`` for short."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"weights": {"canary": 0.1}, "shadows": {"v9": 1.0}}, {"canary": 0.1}]}
    )

    weights: Annotated[dict[Name, Share], Field(max_length=64)] = {}
    shadows: Annotated[dict[Name, Share], Field(max_length=64)] = {}
    reason: Reason = ""

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, body: object) -> object:
        """Take the short form, names straight to shares, as the weights."""
        if isinstance(body, dict) and body and not any(isinstance(value, dict) for value in body.values()):
            return {"weights": body}
        return body


class SignalRequest(_Request):
    """An operator's signal: to whom, and why. May be left out altogether when every second counts."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "errors on page", "candidate": "canary"}]})

    reason: Reason = ""
    candidate: Name | None = None
    """Left out: the one that is alive."""


class ApprovalRequest(_Request):
    """Somebody's word for a candidate that runs, or for a model that is to be started."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"candidate": "canary", "reason": "checked by risk"}]})

    candidate: Name | None = None
    """Left out: the one that is alive."""
    model: ModelUri | None = None
    """URI of a model that is to be started; then no candidate needs to be there."""
    reason: Reason = ""


class RollbackRequest(SignalRequest):
    """Back to a former stable, and why. May be left out altogether when every second counts."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "complaints", "to": "5"}]})

    to: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Version of a former stable, as ``previous`` of the deployment lists them; the latest, where left out."""


class RetrainingRequest(_Request):
    """A wish that the model be trained again."""

    key: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$", examples=["ticket-812"])]
    """Names the wish: sent twice, it asks for one run."""
    reason: Reason = ""


class RunResult(StrEnum):
    """How a run can end."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RunEndRequest(_Request):
    """How a retraining run ended, as the server says that carried it out."""

    result: RunResult
    said: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$", examples=["flight-delay 4 is challenger"])] = ""
    """What it made, or what went wrong, in a sentence."""
    link: Annotated[str, Field(max_length=500, pattern=r"^(https?://[^\s\x00]+)?$")] = ""
    """Where it shows the run."""
