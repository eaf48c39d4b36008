"""What people are woken for: alerts, and which of them are told together, or not again.

Pure: whoever sends them passes the time in. A flood becomes one message; the same thing twice in a short while is
counted, not told.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from gateway.core.events import Decision


class Kind(StrEnum):
    """What happened."""

    DEMOTED = "demoted"
    PROMOTED = "promoted"
    PAUSED = "paused"
    ROLLED_BACK = "rolled_back"
    DRIFT = "drift"
    LABELS_STOPPED = "labels_stopped"
    DATA_QUALITY = "data_quality"
    RETRAINED = "retrained"
    RETRAINING_FAILED = "retraining_failed"


class Severity(StrEnum):
    """How much it matters: good to know, worth a look today, worth a look now."""

    INFO = "info"
    WARNING = "warning"
    FAILURE = "failure"


SEVERITY: Final[dict[Kind, Severity]] = {
    Kind.DEMOTED: Severity.FAILURE,
    Kind.PROMOTED: Severity.INFO,
    Kind.PAUSED: Severity.WARNING,
    Kind.ROLLED_BACK: Severity.FAILURE,
    Kind.DRIFT: Severity.WARNING,
    Kind.LABELS_STOPPED: Severity.WARNING,
    Kind.DATA_QUALITY: Severity.WARNING,
    Kind.RETRAINED: Severity.INFO,
    Kind.RETRAINING_FAILED: Severity.FAILURE,
}

_KINDS: Final = {
    "demote": Kind.DEMOTED,
    "promote": Kind.PROMOTED,
    "pause": Kind.PAUSED,
    "rollback": Kind.ROLLED_BACK,
    "labels_stopped": Kind.LABELS_STOPPED,
    "skew": Kind.DATA_QUALITY,
    "retrained": Kind.RETRAINED,
    "retraining_failed": Kind.RETRAINING_FAILED,
}
_OF_THE_DATA: Final = frozenset({Kind.LABELS_STOPPED, Kind.DATA_QUALITY})
_OF_RUNS: Final = frozenset({Kind.RETRAINED, Kind.RETRAINING_FAILED})


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that people want to hear of. ``about`` names a candidate or a feature of the deployment.

    ``sentence`` is what a person would say.
    """

    kind: Kind
    deployment: str
    about: str
    sentence: str

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        return SEVERITY[self.kind]

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes another alert the same one."""
        return self.kind, self.deployment, self.about


def alert_of(decision: Decision) -> Alert | None:
    """Make a decision an alert; None where nobody is woken for it.

    >>> made = Decision("flights", 4, "demote", "judge", "error rate 9 % against 2 %", 0.0, 0.0, candidate="v3")
    >>> alert = alert_of(made)
    >>> alert.kind.value, alert.about, alert.sentence
    ('demoted', 'v3', 'v3 was demoted by judge: error rate 9 % against 2 %')
    """
    kind = _KINDS.get(decision.action)
    if kind is None:
        return None
    if kind in _OF_THE_DATA:
        return Alert(kind, decision.deployment, str(decision.evidence.get("feature", "labels")), decision.reason)
    if kind in _OF_RUNS:
        return Alert(kind, decision.deployment, str(decision.evidence.get("run", "")), decision.reason)
    about = decision.candidate or "stable"
    done = kind.value.replace("_", " ")
    return Alert(kind, decision.deployment, about, f"{about} was {done} by {decision.actor}: {decision.reason}")


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out at once: alerts of one deployment, and how many repetitions were kept back since the last time."""

    deployment: str
    alerts: tuple[Alert, ...]
    repeated: int

    @property
    def severity(self) -> Severity:
        """The gravest of them."""
        return max((alert.severity for alert in self.alerts), key=list(Severity).index)

    @property
    def title(self) -> str:
        """One line.

        >>> one = Alert(Kind.DRIFT, "flights", "dep_delay", "dep_delay has shifted")
        >>> Message("flights", (one,), 0).title
        'flights: drift (dep_delay)'
        >>> Message("flights", (one, one), 0).title
        'flights: 2 alerts'
        """
        if len(self.alerts) > 1:
            return f"{self.deployment}: {len(self.alerts)} alerts"
        [alert] = self.alerts
        return f"{self.deployment}: {alert.kind.value.replace('_', ' ')} ({alert.about})"

    def body(self, link: str) -> str:
        """The sentences, and where to look: the deployment's place in the control room at ``link``, if there is one.

        >>> Message("flights", (Alert(Kind.DRIFT, "flights", "delay", "It moved."),), 0).body("https://room/").split()
        ['It', 'moved.', 'https://room/#/d/flights']
        """
        lines = [alert.sentence for alert in self.alerts]
        if self.repeated:
            lines.append(f"({self.repeated} more of the same were not sent.)")
        place = f"{link.rstrip('/')}/#/d/{quote(self.deployment, safe='')}"
        return "\n".join([*lines, place] if link else lines)


@dataclass
class Inbox:
    """Alerts on their way out. Times are machine seconds.

    What comes within ``group_s`` of a deployment's first alert goes out with it; what is the same as something told
    less than ``quiet_s`` ago is only counted.
    """

    group_s: float
    quiet_s: float
    _waiting: dict[str, list[Alert]] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)
    _told: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _repeated: dict[str, int] = field(default_factory=dict)

    def put(self, alert: Alert, now: float) -> bool:
        """Take an alert in. False: it is a repetition, and only counted."""
        self._told = {key: at for key, at in self._told.items() if now - at < self.quiet_s}
        if alert.key in self._told:
            self._repeated[alert.deployment] = self._repeated.get(alert.deployment, 0) + 1
            return False
        self._told[alert.key] = now
        self._waiting.setdefault(alert.deployment, []).append(alert)
        self._due.setdefault(alert.deployment, now + self.group_s)
        return True

    def next_due(self) -> float | None:
        """When the next message is to go out; None while nothing waits."""
        return min(self._due.values(), default=None)

    def take(self, now: float) -> list[Message]:
        """Take out what is due."""
        ready = [name for name, due in self._due.items() if due <= now]
        for name in ready:
            del self._due[name]
        return [Message(name, tuple(self._waiting.pop(name)), self._repeated.pop(name, 0)) for name in ready]

    def take_all(self) -> list[Message]:
        """Take out everything, due or not: the end has come."""
        return self.take(float("inf"))
