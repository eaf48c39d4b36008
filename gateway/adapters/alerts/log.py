"""Tell the process's own log: one line per decision, with the sentence a person would say."""

import structlog

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
