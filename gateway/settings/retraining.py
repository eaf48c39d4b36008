"""The section ``retraining`` of a deployment: on which causes its model is trained again, and who is called then."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.core.retraining import terms as core
from gateway.core.retraining.kpis import ESTIMATES
from gateway.settings.words import Level, Seconds, Section

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Address = Annotated[str, Field(pattern=r"^https?://\S+$")]


class WebhookSettings(Section):
    """Any server: the order is posted to it as JSON."""

    url: Address
    """Where to, an http or https URL."""
    token: Variable | None = None
    """Name of the agent's environment variable that holds a bearer token; none sends none."""


class AirflowSettings(Section):
    """A DAG run, asked for through Airflow's REST API; the run's id is its ``dag_run_id``."""

    url: Address
    """The API with its version: ``https://airflow.example/api/v2`` (Airflow 3) or ``.../api/v1`` (Airflow 2)."""
    dag: str = Field(min_length=1)
    """Name of the DAG."""
    user: str = ""
    """User that logs in with the secret as password; empty: the secret is a bearer token."""
    token: Variable | None = None
    """Name of the agent's environment variable that holds the password or token; none sends none."""


class GithubSettings(Section):
    """A GitHub workflow that takes ``workflow_dispatch`` and declares the inputs sent."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    """``owner/name``."""
    workflow: str = Field(min_length=1)
    """The workflow's file: ``retrain.yml``."""
    ref: str = "main"
    """Branch or tag that it runs on."""
    url: Address = "https://api.github.com"
    """The API; a GitHub Enterprise server has its own."""
    token: Variable = "GITHUB_TOKEN"  # noqa: S105 - the name of a variable
    """Name of the agent's environment variable that holds a token which may run workflows."""


class GitlabSettings(Section):
    """A GitLab pipeline, started by a pipeline trigger token; the order comes as variables ``RETRAINING_...``."""

    project: str = Field(min_length=1)
    """Number or path of the project: ``group/name``."""
    ref: str = "main"
    """Branch or tag that it runs on."""
    url: Address = "https://gitlab.com/api/v4"
    """The API."""
    token: Variable = "GITLAB_TRIGGER_TOKEN"  # noqa: S105 - the name of a variable
    """Name of the agent's environment variable that holds the trigger token."""


class TargetSettings(Section):
    """Who trains: one of ``command``, ``webhook``, ``airflow``, ``github`` and ``gitlab``."""

    command: tuple[str, ...] = ()
    """Program and arguments, run on the leading host without a shell; exit code 0 says that it succeeded."""
    webhook: WebhookSettings | None = None
    """Any server."""
    airflow: AirflowSettings | None = None
    """Airflow."""
    github: GithubSettings | None = None
    """GitHub."""
    gitlab: GitlabSettings | None = None
    """GitLab."""
    export: str = ""
    """Where the joined log is exported to before each call, as ``gateway export`` takes it; empty exports nothing."""
    timeout: Seconds = Field(default=3_600.0, gt=0)
    """Longest run of a command, or of a server until it says how the run ended, a duration in machine time."""
    attempts: int = Field(default=3, ge=1, le=20)
    """How often a target that fails is called in all, a count."""
    backoff: Seconds = 30.0
    """Wait before the second attempt, a duration in machine time; it doubles with each further one."""
    calls_back: bool = True
    """Whether a server says how the run ended (``callback``); else a call that it took counts as success."""
    callback: Address | None = None
    """The control plane's address as a server reaches it; none leaves the callback's URL out of the order."""

    @model_validator(mode="after")
    def _names_one(self) -> "TargetSettings":
        named = [name for name in _KINDS if getattr(self, name)]
        if len(named) != 1:
            raise ValueError(f"must name exactly one of {', '.join(_KINDS)}")
        return self

    def target(self) -> core.Target:
        """Translate into the core's value."""
        kind = next(core.TargetKind(name) for name in _KINDS if getattr(self, name))
        return core.Target(
            kind=kind,
            command=self.command,
            calls_back=self.calls_back,
            callback=self.callback or "",
            export=self.export,
            timeout_s=self.timeout,
            attempts=self.attempts,
            backoff_s=self.backoff,
            **self._server(),
        )

    def _server(self) -> dict[str, str]:
        if self.webhook is not None:
            return {"url": self.webhook.url, "secret": self.webhook.token or ""}
        if self.airflow is not None:
            said = self.airflow
            return {"url": said.url, "place": said.dag, "user": said.user, "secret": said.token or ""}
        if self.github is not None:
            hub = self.github
            about = {"place": hub.repository, "workflow": hub.workflow, "ref": hub.ref}
            return {"url": hub.url, "secret": hub.token, **about}
        if self.gitlab is not None:
            lab = self.gitlab
            return {"url": lab.url, "place": lab.project, "ref": lab.ref, "secret": lab.token}
        return {}


_KINDS = tuple(kind.value for kind in core.TargetKind)


class OnDriftSettings(Section):
    """Train again when data drift stands that no run has seen. Values that stopped coming are no reason to."""

    features: tuple[str, ...] = ()
    """Features whose alarms count, by name; none counts all."""
    cooldown: Seconds = 7 * 86_400.0
    """Shortest time since the last run, whatever asked for it, a duration in data time."""


class KpiSettings(Section):
    """Train again when stable is shown to do worse than this. The figure's whole interval has to lie beyond it."""

    metric: Literal["accuracy", "brier", "error_rate", "mae"]
    """What is measured; only ``accuracy`` is better when it is higher."""
    worse_than: float = Field(ge=0, allow_inf_nan=False)
    """The limit, in the metric's unit."""
    source: core.Source = core.Source.MEASURED
    """``measured`` by the labels that came, or ``estimated`` from the scores before they come."""
    window: Seconds = Field(default=7 * 86_400.0, gt=0)
    """Requests of so long are taken together, a duration in data time; each window is worked out once."""
    at_least: int = Field(default=200, ge=1)
    """Fewer requests than this say nothing, a count."""
    sample: int = Field(default=5_000, ge=1, le=100_000)
    """Most requests that are looked at per window, a count; drawn at random."""
    alpha: Level = 0.05
    """Chance that a year brings a run although stable was never worse."""
    cooldown: Seconds = 7 * 86_400.0
    """As of ``on_drift``."""

    @model_validator(mode="after")
    def _can_be_estimated(self) -> "KpiSettings":
        if self.source is core.Source.ESTIMATED and self.metric not in ESTIMATES:
            raise ValueError(f"only {' and '.join(ESTIMATES)} can be estimated without labels")
        if self.metric == "accuracy" and self.worse_than > 1.0:
            raise ValueError("an accuracy lies between 0 and 1")
        return self


class OnLabelsSettings(Section):
    """Train again when so much has been learnt since the last run."""

    count: int = Field(ge=1)
    """Outcomes joined since then, a count; corrections are none, other metrics than ``label`` are some."""
    cooldown: Seconds = 86_400.0
    """As of ``on_drift``."""


class OnScheduleSettings(Section):
    """Train again at regular times of data time, unless it was done since."""

    every: Seconds = Field(gt=0)
    """From one time to the next, a duration."""
    first: datetime | None = None
    """One of these times, as 2026-01-05T03:00:00Z (UTC where it says nothing else); none counts from 1970-01-01."""
    cooldown: Seconds = 0.0
    """As of ``on_drift``."""


class RetrainingSettings(Section):
    """On which causes the model is trained again, and who is called. Without a target nobody ever is."""

    target: TargetSettings | None = None
    """Who trains."""
    on_drift: OnDriftSettings | None = None
    """Data drift."""
    on_performance: tuple[KpiSettings, ...] = ()
    """Performance below a limit."""
    on_labels: OnLabelsSettings | None = None
    """New labels."""
    on_schedule: OnScheduleSettings | None = None
    """The time."""

    @model_validator(mode="after")
    def _has_somebody_to_call(self) -> "RetrainingSettings":
        causes = (self.on_drift, self.on_performance, self.on_labels, self.on_schedule)
        if self.target is None and any(causes):
            raise ValueError("needs a target: somebody has to be called")
        return self

    def terms(self) -> core.RetrainingTerms:
        """Translate into the core's value."""
        drift, labels, schedule = self.on_drift, self.on_labels, self.on_schedule
        return core.RetrainingTerms(
            target=None if self.target is None else self.target.target(),
            drift=None if drift is None else core.OnDrift(drift.features, drift.cooldown),
            kpis=tuple(_kpi(said) for said in self.on_performance),
            labels=None if labels is None else core.OnLabels(labels.count, labels.cooldown),
            schedule=None
            if schedule is None
            else core.OnSchedule(schedule.every, _seconds(schedule), schedule.cooldown),
        )


def _kpi(said: KpiSettings) -> core.Kpi:
    same = ("metric", "worse_than", "source", "at_least", "sample", "alpha")
    return core.Kpi(window_s=said.window, cooldown_s=said.cooldown, **{name: getattr(said, name) for name in same})


def _seconds(said: OnScheduleSettings) -> float:
    if said.first is None:
        return 0.0
    return (said.first if said.first.tzinfo is not None else said.first.replace(tzinfo=UTC)).timestamp()
