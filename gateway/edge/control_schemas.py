"""What the control plane answers, as OpenAPI shows it.

Shapes only. How a core value becomes one of these views is :mod:`gateway.edge.control_views`'s business.
"""

from typing import Any

from gateway.core.deployments import Scalar, Type
from gateway.edge.control_drift import DriftView as DriftView
from gateway.edge.control_retraining import RetrainingView as RetrainingView
from gateway.edge.control_retraining import RunView as RunView
from gateway.edge.view import View


class FieldView(View):
    """One value of a request."""

    name: str
    type: Type
    required: bool
    default: Scalar = None
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[Scalar, ...] = ()


class InputsView(View):
    """What ``POST /predict`` takes, and a body it accepts."""

    entities: tuple[FieldView, ...]
    features: tuple[FieldView, ...]
    example: dict[str, dict[str, Scalar]]


class StepView(View):
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


class PlanStepView(View):
    """One step of a plan: what it gives the candidate, and what it takes to leave it."""

    weight: float
    shadow: float
    at_least_s: float
    events: int
    approval: bool


class PlanView(View):
    """The plan that a candidate follows, as it was when it started."""

    name: str
    steps: tuple[PlanStepView, ...]


class VerdictLine(View):
    """A verdict in a line."""

    finding: str
    sentence: str
    at: float
    still_needed: str | None = None
    """When it would be decided at this pace; null when that cannot be said."""


class VariantView(View):
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


class ModelView(View):
    """A former stable that is kept warm, to go back to in one call."""

    model: str
    model_version: str
    digest: str


class DeploymentView(View):
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
    labels_independent: bool
    """The truth does not depend on what was predicted; only where that is declared do pairs promote a shadow."""
    inputs: InputsView


class DeploymentsView(View):
    """Every deployment, by name."""

    deployments: tuple[DeploymentView, ...]


class DecisionView(View):
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


class TimelineView(View):
    """Decisions, newest first."""

    decisions: tuple[DecisionView, ...]


class GuardrailView(View):
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


class StillNeededView(View):
    """What a verdict still needs, if evidence goes on growing as it has."""

    towards: str
    """``pass`` or ``fail``: the nearer end."""
    observations: int
    """So many more of the candidate's, in the metric that takes longest."""
    seconds: float
    """In so much data time."""
    sentence: str


class VerdictView(View):
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


class SpreadView(View):
    """Quantiles of a duration, in seconds."""

    p50: float
    p95: float
    p99: float


class PerformanceLine(View):
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


class PerformanceSpan(View):
    """One span of data time (``after``, ``until``], seconds since the epoch."""

    after: float
    until: float
    variants: tuple[PerformanceLine, ...]


class PerformanceView(View):
    """Live performance, oldest span first. For people: no verdict rests on it."""

    deployment: str
    spans: tuple[PerformanceSpan, ...]


class FeatureView(View):
    """One value a prediction was made from, as it was then."""

    value: Scalar
    status: str
    event_time: float | None


class ArmView(View):
    """One arm of the draw and the chance it had."""

    name: str
    generation: str
    propensity: float


class AnswerView(View):
    """What a shadow would have answered, or why it was not asked."""

    name: str
    generation: str
    prediction: Scalar
    score: float | None
    error: str | None
    dropped: str | None


class OutcomeView(View):
    """One outcome, as it came."""

    metric: str
    value: Scalar
    observed_at: float
    received_at: float
    source: str | None


class PredictionView(View):
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


class SpooledView(View):
    """What one host has acknowledged and not yet drained, as of a moment (seconds since the epoch)."""

    host: str
    as_of: float
    predictions: int
    outcomes: int
    shadows: int


class LedgerView(View):
    """The books: everything that was received, and what became of it."""

    predictions: dict[str, int]
    outcomes: dict[str, int]
    shadows: dict[str, int]
    spooled: tuple[SpooledView, ...]


class HealthView(View):
    """``ok``, or why not."""

    status: str


class GateView(View):
    """What one gate found. ``skipped``: it could not be held, and is not required."""

    gate: str
    passed: bool
    skipped: bool
    sentence: str
    figure: float | None
    limit: float | None


class ValidationView(View):
    """What the validation gate says of a model."""

    model: str
    model_version: str
    digest: str
    passed: bool
    gates: tuple[GateView, ...]
