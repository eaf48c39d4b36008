"""Every knob, with its sentence and unit. The defaults run on a laptop.

One ``gateway.yaml``; every value can be overridden by ``GATEWAY_...`` (``__`` goes one level down, as in
``GATEWAY_DEPLOYMENTS__FLIGHT-DELAY__ALPHA=0.01``). A word nobody knows is an error that names the nearest right one;
it is never a silent default. Deployments become core values here; the rest of the house never sees YAML.
"""

import difflib
import importlib.util
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.core import deployments as core
from gateway.core.alerts import Kind
from gateway.core.errors import SettingsError, Unmeasurable
from gateway.core.metrics import METRICS, default_guardrail
from gateway.core.metrics import known as judged
from gateway.settings_access import OidcSettings
from gateway.settings_drift import DriftSettings
from gateway.settings_rules import GateSettings, StartSettings
from gateway.settings_stream import KafkaSettings
from gateway.settings_words import Bytes, Level, Port, Scalar, Seconds, Section, Share

_SERVICE_LINK = re.compile(r".*_(SERVICE_(HOST|PORT)(_.+)?|PORT|PORT_\d+_(TCP|UDP)(_.+)?)")
_PREFIX = "GATEWAY_"


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


class BanditSettings(Section):
    """How a step's weight leans towards the better arm, by Thompson sampling. The guardrails rule as on any step."""

    reward: str
    """Guardrail to go by, one that counts requests that went wrong: ``accuracy``, ``error_rate``."""
    floor: Share = 0.05
    """Share of all requests that every arm keeps, as 5% or 0.05."""
    ceiling: Share = 0.5
    """Greatest share of the candidate, as 50% or 0.5."""
    every: Seconds = Field(default=3_600.0, gt=0)
    """Shortest time between two changes, a duration in data time."""


class StepSettings(Section):
    """One step of a plan: a share of traffic or a shadow's sampling rate, and what it takes to leave it."""

    weight: Share = 0.0
    """Share of all requests, as 5% or 0.05."""
    shadow: Share = 0.0
    """Share of requests the candidate watches without answering, as 100% or 1.0."""
    at_least: Seconds = 0.0
    """Shortest stay on this step, a duration in data time."""
    events: int = Field(default=0, ge=0)
    """Observations of the candidate needed to leave this step, a count."""
    approval: bool = False
    """Wait for an operator's ``resume`` before the next step."""
    bandit: BanditSettings | None = None
    """Lets the weight lean towards the better arm while the step lasts; none keeps it."""


class PlanSettings(Section):
    """How a candidate goes from nothing to everything."""

    steps: tuple[StepSettings, ...] = Field(min_length=1)
    """The steps in order; after the last comes promotion."""
    auto_promote: bool = True
    """Promote without asking once the last step is passed."""
    on_inconclusive: Literal["hold", "promote", "demote"] = "hold"
    """What to do at ``max_age`` without a verdict."""
    max_age: Seconds = 14 * 86_400.0
    """Longest life of a candidate without a verdict, a duration in data time."""
    watch: Seconds = 0.0
    """How long, in data time, the former stable watches its successor as a shadow and may still be brought back."""
    watch_rate: Share = 1.0
    """Share of requests that it scores meanwhile, as 100% or 1.0."""
    dry_run: bool = False
    """Only watch and report what would be done; every step is a shadow."""

    @model_validator(mode="after")
    def _a_dry_run_only_watches(self) -> "PlanSettings":
        if self.dry_run and any(step.weight > 0.0 for step in self.steps):
            raise ValueError("a dry_run plan only watches: its steps take shadow, not weight")
        if self.dry_run and self.watch > 0.0:
            raise ValueError("a dry_run plan promotes nobody, so nobody is there to watch: leave out watch")
        return self


class AlertSettings(Section):
    """Who is told of demotions, promotions, drift and what else people want to hear of."""

    targets: tuple[str, ...] = ()
    """URLs as apprise writes them: ``slack://...``, ``pagerduty://...``, ``mailto://...``, ``jsons://...``. Secrets."""
    kinds: tuple[Kind, ...] = tuple(Kind)
    """What they are told of; by default everything."""
    link: str = ""
    """Put below each message: the address of the control room as people reach it."""
    group: Seconds = 5.0
    """Alerts of a deployment within this time of the first go out as one message, a duration in machine time."""
    quiet: Seconds = 3_600.0
    """The same alert is not told again for this long, a duration in machine time."""


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
    """Declared types, ranges and defaults of request features, by name."""
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
    """Labels an outcome may have, for people; outcomes are not held to it yet."""
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
    starts: StartSettings = StartSettings()
    """When a candidate may start: quarantine, cool-down, freezes."""
    gate: GateSettings = GateSettings()
    """What a model has to show before it gets traffic."""

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
        )
        return core.DeploymentSpec(
            name=name,
            model=self.model or name,
            rules=self._rules(),
            entities=_fields(self.entities),
            inputs=_fields(self.inputs),
            features={feature: _policy(said) for feature, said in self.features.items()},
            guardrails=tuple(guardrail_of(said, f"deployments.{name}.guardrails") for said in self.guardrails),
            plans={plan: plan_of(plan, said) for plan, said in self.plans.items()} or {CAREFUL.name: CAREFUL},
            maturity_s=self.maturity,
            drift=self.drift.terms(),
            starts=self.starts.rules(),
            gate=self.gate.rules(),
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


class Settings(BaseSettings):
    """Where the world is, what may be used of it, and what is deployed."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    state_dir: Path = Path("state")
    """Folder of everything this host must not forget: spool, store, keys, prepared models."""
    store: str = ""
    """Events and control state: ``sqlite:PATH``, or ``postgresql://HOST/DATABASE`` for many hosts; empty puts a
    ``store.db`` into the state folder."""
    features: Path | None = None
    """Folder of the Feast repository; none serves models that read no feature service."""
    registry: str = "models"
    """Where models come from: an MLflow tracking URI, or a folder of joblib models."""
    data_host: str = "127.0.0.1"
    """Address of the data plane."""
    data_port: Port = 8000
    """Port of the data plane; 0 takes a free one."""
    control_host: str = "127.0.0.1"
    """Address of the control plane; without operator keys only a loopback address."""
    control_port: Port = 8001
    """Port of the control plane; 0 takes a free one."""
    workers: int = Field(default=1, ge=1, le=256)
    """Worker processes, a count; one per core is a good start."""
    clock: Literal["wall", "replay"] = "wall"
    """``replay`` takes data time from ``X-Event-Time`` and ``observed_at``, on a loopback address only."""
    drain_timeout: Seconds = 10.0
    """Longest time to finish requests and to empty the spool on the way out, a duration."""
    look_every: Seconds = Field(default=0.5, gt=0)
    """Shortest time between two looks at a rollout, a duration in machine time."""
    registry_every: Seconds = Field(default=10.0, gt=0)
    """Time between two looks at the registry's aliases, a duration in machine time."""
    live_window: Seconds = 86_400.0
    """Span of the live accuracy in ``/metrics``, a duration in data time."""
    outcome_ttl: Seconds = 30 * 86_400.0
    """How long an outcome waits for its prediction before it is given up, a duration in data time."""
    max_body: Bytes = 2**20
    """Largest prediction body accepted, in bytes (``1MiB``)."""
    max_feedback_body: Bytes = 8 * 2**20
    """Largest feedback body accepted, in bytes (``8MiB``)."""
    max_concurrency: int = Field(default=256, ge=1)
    """Most requests one worker has under way, a count; it lets in fewer while they would only wait (503)."""
    max_spool: Bytes = 2**30
    """About the most this host's log may hold before workers refuse records, in bytes (``1GiB``)."""
    keys_file: Path | None = None
    """File of API keys, made by ``gateway keys new``; none looks for ``api-keys.json`` in the state folder."""
    oidc: OidcSettings | None = None
    """An identity provider whose tokens are taken beside keys; none takes keys only."""
    rate: str | None = None
    """What a key without a rate of its own may ask of each worker, such as ``100/second``; none sets no bound."""
    rate_of_failures: str = "20/minute"
    """How many requests without a good key an address may send each worker before it is told 429."""
    flags: str | None = None
    """OpenFeature flags: a YAML file of rules, or ``MODULE:FACTORY`` of a provider that evaluates in memory."""
    policy: str | None = None
    """Rego that a rollout or promotion has to pass: a folder, or an OPA server's URL; none lets every one pass."""
    tls_certificate: Path | None = None
    """Certificate chain (PEM) of both planes; none serves plain HTTP, for a proxy that ends TLS."""
    tls_key: Path | None = None
    """Private key (PEM) of that certificate."""
    alerts: AlertSettings = AlertSettings()
    """Who is told."""
    kafka: KafkaSettings | None = None
    """A Kafka cluster that is told of events, or that labels come from; none has neither."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important line that is written to standard error."""
    log_requests: Literal["none", "failed", "all"] = "failed"
    """Which requests leave a line: ``failed`` (5xx, or the variant drawn failed) or ``all``, outcomes too; ids only."""
    log_fields: tuple[str, ...] = ()
    """Features and entities whose values such a line may carry, by name; none, so nothing personal, by default."""
    traces: str = ""
    """Where spans go: an OTLP/HTTP address such as ``http://collector:4318/v1/traces``; empty traces nothing."""
    trace_share: Share = 1.0
    """Share of requests traced, as 1% or 0.01, where the caller has not decided."""
    deployments: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")], DeploymentSettings] = {}
    """What is served, by name."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return env_settings, init_settings

    @property
    def store_url(self) -> str:
        """The store's URL, the default filled in."""
        return self.store or f"sqlite:{self.state_dir / 'store.db'}"

    @property
    def keys_path(self) -> Path:
        """Where the API keys are, the default filled in."""
        return self.keys_file or self.state_dir / "api-keys.json"

    @property
    def locked(self) -> bool:
        """Whether callers need a key or a token."""
        return self.oidc is not None or self.keys_file is not None or self.keys_path.exists()

    def specs(self) -> dict[str, core.DeploymentSpec]:
        """Every deployment as the core knows it."""
        return {name: said.spec(name) for name, said in self.deployments.items()}

    @model_validator(mode="after")
    def _one_is_the_default(self) -> "Settings":
        marked = [name for name, said in self.deployments.items() if said.default]
        if len(marked) > 1 or (len(self.deployments) > 1 and not marked):
            names = ", ".join(marked or self.deployments)
            raise ValueError(f"exactly one deployment must be marked default: true, of {names}")
        return self

    @model_validator(mode="after")
    def _traces_with_the_extra(self) -> "Settings":
        if self.traces and not self.traces.startswith(("http://", "https://")):
            raise ValueError("traces must be an http:// or https:// address of an OTLP collector")
        if self.traces and not _is_installed("opentelemetry.exporter"):
            raise ValueError("traces need the extra: pip install 'gateway[tracing]'")
        return self

    @model_validator(mode="after")
    def _stays_home_without_keys(self) -> "Settings":
        if not _is_loopback(self.control_host) and not self.locked:
            raise ValueError(
                "control_host must be a loopback address until there are keys (`gateway keys new`) or oidc"
            )
        if self.clock == "replay" and not _is_loopback(self.data_host):
            raise ValueError("clock: replay lets callers set the time, so data_host must be a loopback address")
        return self

    @model_validator(mode="after")
    def _has_a_whole_certificate(self) -> "Settings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together")
        return self


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package it would be in
        return False


CAREFUL = core.Plan(
    "careful",
    (
        core.Step(shadow=1.0, events=200),
        core.Step(weight=0.05, at_least_s=3_600.0, events=200),
        core.Step(weight=0.25, at_least_s=3_600.0, events=500),
        core.Step(weight=0.5, at_least_s=3_600.0, events=500),
    ),
)
"""The plan of a deployment that declares none: watch, then 5 %, 25 %, 50 %, an hour each at least."""


def load_settings(path: Path | None, **overrides: object) -> Settings:
    """Read the file (None: defaults only) under the environment and ``overrides``. Raises SettingsError."""
    said = read_yaml(path) if path is not None else {}
    _refuse_unknown_variables(os.environ)
    try:
        settings = Settings(**said)
        return _Frozen(**(settings.model_dump() | overrides)) if overrides else settings
    except ValidationError as error:
        raise SettingsError(explain(error, str(path or "settings"), Settings)) from error


def freeze(settings: Settings) -> str:
    """Write settings down as they are, for the processes of one run: an edit of the file waits for the next start."""
    return settings.model_dump_json()


def thaw(text: str) -> Settings:
    """Read what :func:`freeze` wrote; neither the file nor the environment is asked again."""
    return _Frozen.model_validate_json(text)


class _Frozen(Settings):
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file that must be a mapping. Raises SettingsError."""
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML: {error}") from error
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise SettingsError(f"{path} must be a mapping of settings.")
    return {str(key): value for key, value in said.items()}


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    for name in environ:
        if not name.upper().startswith(_PREFIX) or _SERVICE_LINK.fullmatch(name.upper()):
            continue  # Kubernetes puts GATEWAY_SERVICE_HOST and its kin into the pods beside a Service of that name
        head = name[len(_PREFIX) :].split("__")[0].lower()
        if head not in Settings.model_fields:
            known = [_PREFIX + field.upper() for field in Settings.model_fields]
            raise SettingsError(f"{name}: no such setting{_nearest(name.split('__')[0].upper(), known)}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _fields(said: Mapping[str, InputSettings]) -> dict[str, core.Field]:
    return {name: core.Field(name=name, **dict(field)) for name, field in said.items()}


def _policy(said: FeatureSettings) -> core.FeaturePolicy:
    same = said.model_dump(exclude={"max_age"})
    return core.FeaturePolicy(max_age_s=said.max_age, **same)


def guardrail_of(said: str | GuardrailSettings, place: str) -> core.Guardrail:
    """Translate one guardrail, the metric's defaults filled in. Raises SettingsError for a metric nobody knows."""
    entry = GuardrailSettings(metric=said) if isinstance(said, str) else said
    try:
        judged(entry.metric)
    except Unmeasurable:
        raise SettingsError(f"{place}: no such metric{_nearest(entry.metric, METRICS)}") from None
    return replace(default_guardrail(entry.metric), **entry.model_dump(exclude_none=True))


def plan_of(name: str, said: PlanSettings | tuple[StepSettings, ...]) -> core.Plan:
    """Translate one plan."""
    plan = said if isinstance(said, PlanSettings) else PlanSettings(steps=said)
    steps = tuple(core.Step(s.weight, s.shadow, s.at_least, s.events, s.approval, _bandit(s)) for s in plan.steps)
    watching = plan.watch, plan.watch_rate
    return core.Plan(name, steps, plan.auto_promote, plan.on_inconclusive, plan.max_age, *watching, plan.dry_run)


def _bandit(step: StepSettings) -> core.Bandit | None:
    said = step.bandit
    return None if said is None else core.Bandit(said.reward, said.floor, said.ceiling, said.every)


def explain(error: ValidationError, source: str, root: type[BaseModel]) -> str:
    """Say each mistake in one line: where, what, and the word that was probably meant. Never the value itself."""
    lines = []
    for mistake in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in mistake["loc"]) or "settings"
        if mistake["type"] == "extra_forbidden":
            words = _words_at(root, mistake["loc"][:-1])
            lines.append(f"{place}: no such setting{_nearest(str(mistake['loc'][-1]), words)}")
        else:
            lines.append(f"{place}: {mistake['msg'].removeprefix('Value error, ')}")
    return f"{source}: " + "\n".join(lines)


def _nearest(word: str, known: Iterable[str]) -> str:
    words = sorted(known)
    match = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else f"; there are: {', '.join(words)}."


def _words_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The settings that exist where ``loc`` points, following sections through lists and mappings."""
    here = model
    for part in loc:
        field = here.model_fields.get(str(part))
        if field is not None:
            here = next(_sections(field.annotation), here)
        elif str(part) in _SECTIONS:  # pydantic names the branch of a union it tried
            here = _SECTIONS[str(part)]
    return list(here.model_fields)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any type annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)


_SECTIONS = {section.__name__: section for section in Section.__subclasses__()}
