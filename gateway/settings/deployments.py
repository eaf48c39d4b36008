"""The section ``deployments``: what is served, by which rules, and what it takes to take its place."""

from pydantic import Field, model_validator

from gateway.core import deployments as core
from gateway.core.rules import Pickles
from gateway.settings.drift import DriftSettings
from gateway.settings.guardrails import GuardrailSettings, guardrail_of
from gateway.settings.inputs import FeatureSettings, InputSettings
from gateway.settings.plans import CAREFUL, PlanSettings, StepSettings, plan_of
from gateway.settings.retraining import RetrainingSettings
from gateway.settings.rules import GateSettings, StartSettings
from gateway.settings.words import Level, Seconds, Section


class DeploymentSettings(Section):
    """One deployment as its owner declares it: the first start writes it to control state, which then wins."""

    model: str | None = None
    """The registered model's name, for people; by default the deployment's."""
    stable: str
    """URI of the model that serves first, such as ``models:/flight-delay@champion`` or ``file:flight-delay/1``."""
    default: bool = False
    """Whether ``POST /predict`` without a name means this one."""
    sticky: bool = False
    """Whether a routing key keeps its variant for an epoch; otherwise each request draws on its own."""
    routing_key: str | None = Field(default=None, pattern=r"^entities\.[A-Za-z_][A-Za-z0-9_]*$")
    """``entities.NAME``: the entity a sticky deployment routes by; none takes the body's ``routing_key``."""
    blind: bool = False
    """Withhold the variant from callers, for label sources that must not learn the arm."""
    allow_forced: bool = False
    """Accept ``X-Variant``; such requests are never evidence."""
    flag: str | None = None
    """Name of a flag (``flags``) that may name who answers a request, which then is no evidence; none asks nobody."""
    durability: core.Durability = core.Durability.PROCESS
    """``process`` (survives any kill) or ``disk`` (survives power loss, costs an fsync)."""
    when_log_fails: core.WhenLogFails = core.WhenLogFails.REFUSE
    """``refuse`` (503) or ``serve`` (200 with ``logged: false``) when the record cannot be kept."""
    deadline: Seconds = 5.0
    """Longest time for a whole request, a duration."""
    canary_deadline: Seconds = 1.0
    """Longest time a candidate may take before stable answers instead, a duration."""
    features_budget: Seconds = 0.05
    """Longest time for the feature read, a duration."""
    epoch: Seconds = 86_400.0
    """How long a sticky key's draw holds, a duration in data time."""
    entities: dict[str, InputSettings] = {}
    """Entity keys applications send beside those the features are read by, by name."""
    inputs: dict[str, InputSettings] = {}
    """Declared types, ranges and defaults of request features, by name; the row of a model that says nothing of it."""
    features: dict[str, FeatureSettings] = {}
    """Fallbacks of Feast-served features, by name."""
    guardrails: tuple[str | GuardrailSettings, ...] = ("error_rate",)
    """What a candidate must not do worse than stable: metric names, or mappings with ``metric`` and figures."""
    plans: dict[str, PlanSettings | tuple[StepSettings, ...]] = {}
    """Rollout plans by name: a list of steps, or a mapping with ``steps`` and more; none gives ``careful``."""
    alpha: Level = 0.05
    """Chance that a candidate no worse than tolerated is ever demoted, over its whole life and all guardrails."""
    alpha_promote: Level = 0.05
    """Chance that a candidate worse than its margin is promoted."""
    maturity: Seconds = 0.0
    """Age at which a prediction's label counts, a duration in data time."""
    label_values: tuple[int | str, ...] = ()
    """What an outcome's label may be: any other is not taken, with a word why. Empty: any label."""
    keep_previous: int = Field(default=3, ge=0)
    """How many former stable models stay warm for a rollback, a count."""
    drift: DriftSettings = DriftSettings()
    """How live traffic is watched for drift, and what follows."""
    labels_independent: bool = False
    """Whether labels come out the same whatever was predicted; then a shadow may be promoted on pairs alone."""
    follow_aliases: bool = False
    """Let the registry's ``challenger`` alias start rollouts, and write decisions back: ``champion`` and tags."""
    default_plan: str | None = None
    """The plan an alias move follows; none takes the first one declared."""
    pickles: Pickles = Pickles.FOLDER
    """Whether a model may be code (pickle, Python function): ``refuse``, ``allow``, or ``folder`` of joblib files."""
    starts: StartSettings = StartSettings()
    """When a candidate may start: quarantine, cool-down, freezes."""
    gate: GateSettings = GateSettings()
    """What a model has to show before it gets traffic."""
    retraining: RetrainingSettings = RetrainingSettings()
    """On which causes the model is trained again, and who is called."""

    @model_validator(mode="after")
    def _the_default_plan_is_declared(self) -> "DeploymentSettings":
        known = [*self.plans] or [CAREFUL.name]
        if self.default_plan is not None and self.default_plan not in known:
            raise ValueError(f"default_plan must name one of the plans: {', '.join(known)}")
        return self

    def spec(self, name: str) -> core.DeploymentSpec:
        """Translate into the core's value. Raises SettingsError for a metric nobody knows."""
        same = (
            "stable",
            "alpha",
            "alpha_promote",
            "label_values",
            "keep_previous",
            "labels_independent",
            "follow_aliases",
            "default_plan",
            "pickles",
        )
        return core.DeploymentSpec(
            name=name,
            model=self.model or name,
            rules=self._rules(),
            entities={entity: said.field(entity) for entity, said in self.entities.items()},
            inputs={feature: said.field(feature) for feature, said in self.inputs.items()},
            features={feature: said.policy() for feature, said in self.features.items()},
            guardrails=tuple(guardrail_of(said, f"deployments.{name}.guardrails") for said in self.guardrails),
            plans={plan: plan_of(plan, said) for plan, said in self.plans.items()} or {CAREFUL.name: CAREFUL},
            maturity_s=self.maturity,
            drift=self.drift.terms(),
            starts=self.starts.rules(),
            gate=self.gate.rules(),
            retraining=self.retraining.terms(),
            **{field: getattr(self, field) for field in same},
        )

    def _rules(self) -> core.ServingRules:
        same = ("default", "sticky", "routing_key", "blind", "allow_forced", "flag", "durability", "when_log_fails")
        return core.ServingRules(
            deadline_s=self.deadline,
            canary_deadline_s=self.canary_deadline,
            features_budget_s=self.features_budget,
            epoch_s=self.epoch,
            **{field: getattr(self, field) for field in same},
        )
