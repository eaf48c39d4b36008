"""What the owner of a deployment declared about training again: on which causes, and who is called then."""

from dataclasses import dataclass
from enum import StrEnum


class Trigger(StrEnum):
    """What a run is asked for by."""

    DRIFT = "drift"
    PERFORMANCE = "performance"
    LABELS = "labels"
    SCHEDULE = "schedule"
    ASKED = "asked"
    """Somebody asked by hand."""


class TargetKind(StrEnum):
    """Who trains."""

    COMMAND = "command"
    """A command on the leading host; its exit code says how the run ended."""
    WEBHOOK = "webhook"
    """Any server that takes JSON."""
    AIRFLOW = "airflow"
    """A DAG run, asked for through Airflow's REST API."""
    GITHUB = "github"
    """A GitHub workflow, by ``workflow_dispatch``."""
    GITLAB = "gitlab"
    """A GitLab pipeline, by a pipeline trigger token."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who is called, and how patiently. Durations are machine time in seconds.

    ``url`` and what follows belong to servers: ``place`` is the DAG, the repository or the project, ``workflow`` a
    file of a GitHub repository, ``ref`` a branch or tag. ``secret`` names an environment variable of the agent, never
    the secret itself. ``callback`` is the control plane's address as the target reaches it. With ``calls_back`` a
    server says later how the run ended; else a call that it took is all there is to know. Before each call the log is
    exported to ``export`` (empty: it is not).
    """

    kind: TargetKind
    command: tuple[str, ...] = ()
    url: str = ""
    place: str = ""
    workflow: str = ""
    ref: str = ""
    user: str = ""
    secret: str = ""
    callback: str = ""
    calls_back: bool = True
    export: str = ""
    timeout_s: float = 3_600.0
    attempts: int = 3
    backoff_s: float = 30.0


@dataclass(frozen=True, slots=True)
class OnDrift:
    """Train again when data drift stands. ``features`` (empty: all) are those whose alarms count."""

    features: tuple[str, ...] = ()
    cooldown_s: float = 7 * 86_400.0


class Source(StrEnum):
    """What a figure of performance is worked out from."""

    MEASURED = "measured"
    """The labels that came back."""
    ESTIMATED = "estimated"
    """The scores themselves, before any label: how often they expect to be right."""


@dataclass(frozen=True, slots=True)
class Kpi:
    """Train again when stable's ``metric`` is shown to be worse than ``worse_than``, in the metric's unit.

    It is worked out once per window of ``window_s`` seconds of data time, from ``at_least`` requests or more and at
    most ``sample`` of them, drawn by their ids. ``alpha`` is the chance of ever being wrong about it in a year.
    """

    metric: str
    worse_than: float
    source: Source = Source.MEASURED
    window_s: float = 7 * 86_400.0
    at_least: int = 200
    sample: int = 5_000
    alpha: float = 0.05
    cooldown_s: float = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class OnLabels:
    """Train again when so many outcomes have been joined since the last run."""

    count: int
    cooldown_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class OnSchedule:
    """Train again at ``first`` (data time, seconds since the Unix epoch) and every ``every_s`` seconds after."""

    every_s: float
    first: float = 0.0
    cooldown_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RetrainingTerms:
    """Who is called (None: nobody), and on which causes."""

    target: Target | None = None
    drift: OnDrift | None = None
    kpis: tuple[Kpi, ...] = ()
    labels: OnLabels | None = None
    schedule: OnSchedule | None = None

    @property
    def by_itself(self) -> bool:
        """Whether anything but a hand may ask for a run."""
        return self.target is not None and bool(self.drift or self.kpis or self.labels or self.schedule)
