"""The words of the control plane: what operators send and what they get, as OpenAPI shows it.

Shapes only. What a request means is :mod:`gateway.control`'s business; how a core value becomes one of these views is
:mod:`gateway.edge.control_views`'s.
"""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway.core.deployments import Guardrail, Role, Scalar, Type
from gateway.core.errors import Unmeasurable
from gateway.core.metrics import FAMILIES, METRICS, default_guardrail, known
from gateway.edge.control_drift import DriftView as DriftView

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


class _View(BaseModel):
    """What is answered."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, from_attributes=True)


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


class GateView(_View):
    """What one gate found. ``skipped``: it could not be held, and is not required."""

    gate: str
    passed: bool
    skipped: bool
    sentence: str
    figure: float | None
    limit: float | None


class ValidationView(_View):
    """What the validation gate says of a model."""

    model: str
    model_version: str
    digest: str
    passed: bool
    gates: tuple[GateView, ...]


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


class FieldView(_View):
    """One value of a request."""

    name: str
    type: Type
    required: bool
    default: Scalar = None
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[Scalar, ...] = ()


class InputsView(_View):
    """What ``POST /predict`` takes, and a body it accepts."""

    entities: tuple[FieldView, ...]
    features: tuple[FieldView, ...]
    example: dict[str, dict[str, Scalar]]


class StepView(_View):
    """Where a candidate stands in its plan: ``number`` of ``of``."""

    plan: str
    number: int
    of: int
    weight: float
    shadow: float
    since: float
    """Data time at which it began, seconds since the epoch."""
    at_least_s: float
    events: int
    approval: bool
    seen: int = 0
    """Observations since it began."""


class PlanStepView(_View):
    """One step of a plan: what it gives the candidate, and what it takes to leave it."""

    weight: float
    shadow: float
    at_least_s: float
    events: int
    approval: bool


class PlanView(_View):
    """The plan that a candidate follows, as it was when it started."""

    name: str
    steps: tuple[PlanStepView, ...]


class VerdictLine(_View):
    """A verdict in a line."""

    finding: str
    sentence: str
    at: float
    still_needed: str | None = None
    """When it would be decided at this pace; null when that cannot be said."""


class VariantView(_View):
    """One variant: which model plays which part, with which share."""

    name: str
    role: str
    """``stable``, ``candidate`` or ``shadow``."""
    generation: str
    model: str
    model_version: str
    digest: str
    weight: float
    shadow: float = 0.0
    phase: str | None = None
    plan: PlanView | None = None
    step: StepView | None = None
    verdict: VerdictLine | None = None
    reason: str = ""


class ModelView(_View):
    """A former stable that is kept warm, to go back to in one call."""

    model: str
    model_version: str
    digest: str


class DeploymentView(_View):
    """One deployment as it stands. ``revision`` is also its ETag."""

    deployment: str
    revision: int
    default: bool
    config_drift: bool
    """The file on this host declares something else; ``gateway apply`` would let it hold."""
    preparing: tuple[str, ...]
    """Models that this host is preparing for it: fetched, verified, opened in a process of their own."""
    variants: tuple[VariantView, ...]
    previous: tuple[ModelView, ...]
    plans: tuple[str, ...]
    guardrails: tuple[str, ...]
    inputs: InputsView


class DeploymentsView(_View):
    """Every deployment, by name."""

    deployments: tuple[DeploymentView, ...]


class DecisionView(_View):
    """One line of the timeline: who or which rule did what, why, from what evidence. Times in seconds."""

    deployment: str
    revision: int
    action: str
    actor: str
    reason: str
    data_at: float
    machine_at: float
    candidate: str | None
    generation: str | None
    evidence: dict[str, Any]


class TimelineView(_View):
    """Decisions, newest first."""

    decisions: tuple[DecisionView, ...]


class GuardrailView(_View):
    """One guardrail now. Rates are badness (of accuracy: the share of wrong answers); a positive difference is worse.

    Where ``amount`` is true both arms' figures are means in the metric's own unit (a loss, a business value).
    ``evidence`` demotes at ``threshold``; ``promote_evidence`` passes at ``promote_threshold``. All intervals hold
    at 95 %, at all times.
    """

    metric: str
    role: str
    finding: str
    dry_run: bool
    stable: float | None
    candidate: float | None
    difference: float | None
    low: float
    high: float
    stable_low: float
    stable_high: float
    candidate_low: float
    candidate_high: float
    evidence: float
    evidence_now: float
    threshold: float
    promote_evidence: float | None
    promote_threshold: float | None
    n_stable: int
    n_candidate: int
    bad_stable: int
    bad_candidate: int
    sentence: str
    amount: bool
    needed: int | None
    """So many more of the candidate's observations decide it at this pace; null when nothing can be said."""


class StillNeededView(_View):
    """What a verdict still needs, if evidence goes on growing as it has."""

    towards: str
    """``pass`` or ``fail``: the nearer end."""
    observations: int
    """So many more of the candidate's, in the metric that takes longest."""
    seconds: float
    """In so much data time."""
    sentence: str


class VerdictView(_View):
    """What the judge says about one candidate, and why."""

    deployment: str
    candidate: str
    generation: str
    model_version: str
    phase: str
    finding: str
    sentence: str
    at: float
    """Data time up to which evidence was judged, seconds since the epoch."""
    judge_version: str
    degraded_share: float
    """Share of this step's requests that are no evidence, since features were degraded; above 20 % nothing moves up."""
    paused_by: tuple[str, ...]
    still_needed: StillNeededView | None
    """Null when it is decided, or when nothing can be said yet."""
    guardrails: tuple[GuardrailView, ...]


class SpreadView(_View):
    """Quantiles of a duration, in seconds."""

    p50: float
    p95: float
    p99: float


class PerformanceLine(_View):
    """How one variant's answers did. Rates and spreads are null where there is nothing to count."""

    variant: str
    generation: str
    model_version: str | None
    predictions: int
    failed: int
    error_rate: float | None
    degraded: int
    labelled: int
    accuracy: float | None
    brier: float | None
    latency_s: SpreadView | None
    """Machine time that the variant took; requests that came in one batch share a call and are left out."""
    label_delay_s: SpreadView | None
    """Data time from a request to its first label."""


class PerformanceSpan(_View):
    """One span of data time (``after``, ``until``], seconds since the epoch."""

    after: float
    until: float
    variants: tuple[PerformanceLine, ...]


class PerformanceView(_View):
    """Live performance, oldest span first. For people: no verdict rests on it."""

    deployment: str
    spans: tuple[PerformanceSpan, ...]


class FeatureView(_View):
    """One value a prediction was made from, as it was then."""

    value: Scalar
    status: str
    event_time: float | None


class ArmView(_View):
    """One arm of the draw and the chance it had."""

    name: str
    generation: str
    propensity: float


class AnswerView(_View):
    """What a shadow would have answered, or why it was not asked."""

    name: str
    generation: str
    prediction: Scalar
    score: float | None
    error: str | None
    dropped: str | None


class OutcomeView(_View):
    """One outcome, as it came."""

    metric: str
    value: Scalar
    observed_at: float
    received_at: float
    source: str | None


class PredictionView(_View):
    """One prediction with all that is known of it. Times in seconds since the epoch."""

    prediction_id: str
    deployment: str
    revision: int
    at: float
    assigned: str
    served: str
    status: int
    error: str | None
    randomised: bool
    degraded: bool
    prediction: Scalar
    score: float | None
    scores: dict[str, float] | None
    attempts: int
    arms: tuple[ArmView, ...]
    features: dict[str, FeatureView]
    latency_s: dict[str, float]
    shadows: tuple[AnswerView, ...]
    outcomes: tuple[OutcomeView, ...]


class SpooledView(_View):
    """What one host has acknowledged and not yet drained, as of a moment (seconds since the epoch)."""

    host: str
    as_of: float
    predictions: int
    outcomes: int
    shadows: int


class LedgerView(_View):
    """The books: everything that was received, and what became of it."""

    predictions: dict[str, int]
    outcomes: dict[str, int]
    shadows: dict[str, int]
    spooled: tuple[SpooledView, ...]


class HealthView(_View):
    """``ok``, or why not."""

    status: str
