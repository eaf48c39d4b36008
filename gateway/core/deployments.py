"""A deployment: one thing applications ask for, and what it promises them.

Frozen values only. The spec is a control document (``gateway apply`` writes it); the model card says what a
prepared model takes and gives.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from gateway.core.drift.terms import DriftTerms
from gateway.core.retraining.terms import RetrainingTerms
from gateway.core.rules import GateRules, Pickles, StartRules

Scalar: TypeAlias = bool | int | float | str | None


class Type(StrEnum):
    """What a field holds. A number takes integers too; nothing else is ever coerced."""

    INTEGER = "integer"
    NUMBER = "number"
    STRING = "string"
    BOOLEAN = "boolean"


class OnInvalid(StrEnum):
    """What a request's value of a wrong kind, out of range or of no declared category means."""

    REFUSE = "refuse"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Field:
    """One named value of a request or of a model's input row. ``categories`` are the values it may have; empty: any."""

    name: str
    type: Type
    required: bool = True
    default: Scalar = None
    minimum: float | None = None
    maximum: float | None = None
    example: Scalar = None
    categories: tuple[Scalar, ...] = ()
    on_invalid: OnInvalid = OnInvalid.REFUSE


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an application sends: entity keys, and the features only the request can know."""

    entities: tuple[Field, ...] = ()
    features: tuple[Field, ...] = ()


class Task(StrEnum):
    """What kind of answer a model gives."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    MULTIOUTPUT = "multioutput"
    """Several numbers at once, by name."""


@dataclass(frozen=True, slots=True)
class Form:
    """In which form a prepared model runs, chosen by measurement when it was prepared, and the sentence that says why.

    ``kind`` is ``original``, ``linear``, ``onnx`` or ``treelite``. A compiled form is pinned by its own ``digest``; its
    labels equal the original's on every row it was proved with, its scores within ``tolerance``. ``call_s`` and
    ``row_s`` are machine seconds: what one row took, and what each row of a batch adds. They, and the sentence, differ
    from one preparation to the next and do not make a form another. ``rounds``: inputs are rounded to float32
    first, as scikit-learn's trees do.
    """

    kind: str = "original"
    why: str = field(default="", compare=False)
    digest: str = ""
    tolerance: float = 0.0
    call_s: float = field(default=0.0, compare=False)
    row_s: float = field(default=0.0, compare=False)
    rounds: bool = False

    @property
    def gathers(self) -> bool:
        """Whether rows answered together cost clearly less than one by one."""
        return self.row_s < 0.7 * self.call_s


ORIGINAL = Form()


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A prepared model: what it is, pinned by digest, and what it takes and gives.

    ``inputs`` is the model's input row, in column order. ``path`` is relative to the content-addressed cache.
    ``feature_service`` names the Feast service that delivers part of the row, if any. ``scored`` says of a classifier
    whether its answers carry probabilities, ``classes`` which there are: none where they are not known beforehand.
    ``outputs`` name the numbers of a model that gives several.
    """

    name: str
    version: str
    uri: str
    digest: str
    flavour: str
    path: str
    inputs: tuple[Field, ...]
    task: Task
    classes: tuple[int | str, ...] = ()
    feature_service: str | None = None
    schema: int = 1
    form: Form = ORIGINAL
    scored: bool = True
    outputs: tuple[str, ...] = ()


class Role(StrEnum):
    """What a guardrail may do: demote the canary, pause the ramp, or (only) prove it worth promoting."""

    GUARDRAIL = "guardrail"
    SIGNAL = "signal"
    OBJECTIVE = "objective"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """How much worse a candidate may be on one metric before it has to go.

    The candidate is tolerated while ``badness_c <= relative * badness_s + absolute`` (badness: the metric turned so
    that higher is worse). ``margin`` is the same line for promotion: the candidate must be shown to lie below it.
    ``low`` and ``high`` bound a quantity whose range the metric does not know, in its unit; with ``higher_is_better``
    it counts from the top.
    """

    metric: str
    relative: float = 1.0
    absolute: float = 0.0
    margin_relative: float = 1.0
    margin_absolute: float = 0.0
    role: Role = Role.GUARDRAIL
    dry_run: bool = False
    low: float | None = None
    high: float | None = None
    higher_is_better: bool = False


@dataclass(frozen=True, slots=True)
class Bandit:
    """How a step's weight leans towards the better arm: by the guardrail ``reward``, every ``every_s`` of data time.

    Every arm keeps at least ``floor``, the candidate takes at most ``ceiling``.
    """

    reward: str
    floor: float = 0.05
    ceiling: float = 0.5
    every_s: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a rollout: a share of traffic, or a shadow's sampling rate, and what it takes to leave it.

    ``at_least_s`` is data time in seconds; ``events`` counts candidate-arm (or paired) observations at this step. With
    a ``bandit``, ``weight`` is where it begins.
    """

    weight: float = 0.0
    shadow: float = 0.0
    at_least_s: float = 0.0
    events: int = 0
    approval: bool = False
    bandit: Bandit | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How a candidate goes from nothing to everything."""

    name: str
    steps: tuple[Step, ...]
    auto_promote: bool = True
    on_inconclusive: str = "hold"
    """After ``max_age_s`` without a verdict: ``hold``, ``promote`` or ``demote``."""
    max_age_s: float = 14 * 86_400.0
    watch_s: float = 0.0
    """For so much data time after a promotion the former stable scores a share ``watch_rate`` of what its successor
    answers; labels of that time may still bring it back."""
    watch_rate: float = 1.0
    dry_run: bool = False
    """Only watch and report: what the judge would do is written down, and only steps are taken."""


class Durability(StrEnum):
    """When a prediction counts as remembered: written to the kernel, or fsynced."""

    PROCESS = "process"
    DISK = "disk"


class WhenLogFails(StrEnum):
    """What a full or broken spool means for the caller."""

    REFUSE = "refuse"
    SERVE = "serve"


class OnUnavailable(StrEnum):
    """What a feature that cannot be had means for the request."""

    DEFAULT = "default"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class FeaturePolicy:
    """What a Feast-served feature that is missing, null, stale, unavailable or invalid means.

    It is invalid when its type is not the plan's, when it lies outside ``minimum`` and ``maximum``, or is none of the
    ``categories`` (empty: any). ``max_age_s`` None takes the view's TTL.
    """

    default: Scalar = None
    on_missing: OnUnavailable = OnUnavailable.DEFAULT
    on_stale: OnUnavailable = OnUnavailable.DEFAULT
    on_unavailable: OnUnavailable = OnUnavailable.DEFAULT
    max_age_s: float | None = None
    on_invalid: OnUnavailable = OnUnavailable.DEFAULT
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[Scalar, ...] = ()

    def admits(self, value: Scalar) -> bool:
        """Whether a value that is there lies in the declared range and among the declared categories.

        >>> FeaturePolicy(minimum=0.0).admits(-1.0), FeaturePolicy(categories=("UA",)).admits("UA")
        (False, True)
        """
        if self.categories and value not in self.categories:
            return False
        if self.minimum is None and self.maximum is None:
            return True
        if isinstance(value, str) or value is None:
            return False
        low, high = self.minimum, self.maximum
        return (low is None or value >= low) and (high is None or value <= high)

    @property
    def checks(self) -> bool:
        """Whether anything is declared that a value could break."""
        return bool(self.categories) or self.minimum is not None or self.maximum is not None


@dataclass(frozen=True, slots=True)
class ServingRules:
    """What a worker has to know to serve a deployment, beyond who answers. All times in seconds."""

    default: bool = False
    sticky: bool = False
    routing_key: str | None = None
    """``entities.NAME``: where a sticky deployment takes its key from; None: the body's ``routing_key``."""
    blind: bool = False
    allow_forced: bool = False
    flag: str | None = None
    """Name of a flag that may name who answers; None: nobody is asked."""
    durability: Durability = Durability.PROCESS
    when_log_fails: WhenLogFails = WhenLogFails.REFUSE
    deadline_s: float = 5.0
    canary_deadline_s: float = 1.0
    features_budget_s: float = 0.05
    epoch_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Admission:
    """What an artifact may be, and ``inputs``: what one takes that says nothing about it, in the order of its row."""

    pickles: Pickles = Pickles.ALLOW
    inputs: tuple[Field, ...] = ()


ANYTHING = Admission()


@dataclass(frozen=True, slots=True)
class DeploymentSpec:
    """What its owner declared. ``stable`` is only the bootstrap: afterwards control state says who is stable."""

    name: str
    model: str
    stable: str
    rules: ServingRules = ServingRules()
    entities: dict[str, Field] = field(default_factory=dict)
    """Entity keys that applications send, by name, beside those that the feature plan reads by. Declared early, a key
    is accepted before any variant uses it."""
    inputs: dict[str, Field] = field(default_factory=dict)
    """Declared types, ranges and defaults of request features, by name; what is not declared comes from the model."""
    features: dict[str, FeaturePolicy] = field(default_factory=dict)
    """Fallbacks of Feast-served features, by name."""
    guardrails: tuple[Guardrail, ...] = (
        Guardrail("error_rate", relative=1.1, margin_relative=1.5, margin_absolute=0.005),
    )
    plans: dict[str, Plan] = field(default_factory=dict)
    alpha: float = 0.05
    """Chance that a candidate no worse than tolerated is ever demoted, over its whole life and all guardrails."""
    alpha_promote: float = 0.05
    maturity_s: float = 0.0
    """Age (data time) at which a prediction's label counts; labelled metrics are judged at this age, once."""
    label_values: tuple[int | str, ...] = ()
    """What a label may be; any other is not taken. Empty: whatever it is."""
    keep_previous: int = 3
    """How many former stable models stay warm, to go back to in one call."""
    drift: DriftTerms = DriftTerms()
    labels_independent: bool = False
    """What the truth turns out to be does not depend on the answer given, so a shadow may be promoted on pairs."""
    follow_aliases: bool = False
    """Whether the registry's ``challenger`` alias starts rollouts, and decisions are written back to the registry."""
    default_plan: str | None = None
    """The plan that an alias move follows; None: the first one declared."""
    starts: StartRules = StartRules()
    gate: GateRules = GateRules()
    retraining: RetrainingTerms = RetrainingTerms()
    pickles: Pickles = Pickles.FOLDER

    @property
    def admission(self) -> Admission:
        """What it asks of a model that is to start in it."""
        return Admission(self.pickles, tuple(self.inputs.values()))
