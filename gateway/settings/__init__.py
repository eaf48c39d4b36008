"""Every knob, with its sentence and unit. The defaults run on a laptop.

One ``gateway.yaml``; every value can be overridden by ``GATEWAY_...`` (``__`` goes one level down, as in
``GATEWAY_DEPLOYMENTS__FLIGHT-DELAY__ALPHA=0.01``). A word nobody knows is an error that names the nearest right one;
it is never a silent default. Deployments become core values here; the rest of the house never sees YAML.

The file itself is here, and how it is read; each section of it is a module beside this one.
"""

import importlib.util
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.core import deployments as core
from gateway.core.errors import SettingsError
from gateway.settings.access import OidcSettings
from gateway.settings.alerts import AlertSettings
from gateway.settings.deployments import DeploymentSettings
from gateway.settings.drift import DriftSettings
from gateway.settings.guardrails import GuardrailSettings, guardrail_of
from gateway.settings.inputs import FeatureSettings, InputSettings
from gateway.settings.mistakes import explain, nearest
from gateway.settings.plans import CAREFUL, BanditSettings, PlanSettings, StepSettings, plan_of
from gateway.settings.retention import RetentionSettings
from gateway.settings.rules import GateSettings, StartSettings
from gateway.settings.stream import KafkaSettings
from gateway.settings.words import Bytes, Port, Seconds, Share

__all__ = [
    "CAREFUL",
    "KEY",
    "AlertSettings",
    "BanditSettings",
    "DeploymentSettings",
    "DriftSettings",
    "FeatureSettings",
    "GateSettings",
    "GuardrailSettings",
    "InputSettings",
    "OidcSettings",
    "PlanSettings",
    "Settings",
    "StartSettings",
    "StepSettings",
    "explain",
    "freeze",
    "guardrail_of",
    "load_settings",
    "plan_of",
    "read_yaml",
    "thaw",
]

_SERVICE_LINK = re.compile(r".*_(SERVICE_(HOST|PORT)(_.+)?|PORT|PORT_\d+_(TCP|UDP)(_.+)?)")
_PREFIX = "GATEWAY_"
KEY = "GATEWAY_KEY"
"""The variable that holds the API key of whoever types commands; no setting of the gateway's own."""


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
    model_folders: tuple[Path, ...] = ()
    """Folders below which ``file:`` may name an MLflow model, beside an MLflow registry; none takes no such URI."""
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
    retention: RetentionSettings = RetentionSettings()
    """How long the store keeps what."""
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
        if name.upper() != KEY and head not in Settings.model_fields:
            known = [_PREFIX + field.upper() for field in Settings.model_fields]
            raise SettingsError(f"{name}: no such setting{nearest(name.split('__')[0].upper(), known)}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package it would be in
        return False
