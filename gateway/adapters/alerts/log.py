"""Tell the process's own log: one line per decision or alert, with the sentence a person would say."""

import structlog

from gateway.core.alerts import Alert
from gateway.core.events import Decision

log = structlog.get_logger(__name__)


class LogSink:
    """Writes each decision as one JSON line to standard error."""

    def tell(self, decision: Decision) -> None:
        """Pass the decision on."""
        log.warning(
            "decision",
            deployment=decision.deployment,
            action=decision.action,
            candidate=decision.candidate,
            revision=decision.revision,
            actor=decision.actor,
            reason=decision.reason,
        )


class LogAnnouncer:
    """Writes each alert as one JSON line to standard error; decisions are there already."""

    def announce(self, alert: Alert) -> None:
        """Write the alert down."""
        log.warning("alert", kind=alert.kind, deployment=alert.deployment, about=alert.about, sentence=alert.sentence)

    def close(self, longest_s: float = 0.0) -> None:
        """Nothing waits here."""
