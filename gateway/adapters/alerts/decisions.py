"""Decisions that people want to hear of, announced."""

from gateway.core.alerts import alert_of
from gateway.core.events import Decision
from gateway.ports import Announcer


class DecisionSink:
    """Announces each decision that somebody is woken for."""

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer

    def tell(self, decision: Decision) -> None:
        """Pass the decision on."""
        alert = alert_of(decision)
        if alert is not None:
            self._announcer.announce(alert)
