"""Drift, as people are told of it."""

from gateway.core.alerts import Alert, Kind
from gateway.core.drift.causes import DriftEvent
from gateway.ports import Announcer


class DriftAlerts:
    """A DriftSink that wakes people for an alarm that rose; that one ended stands in the timeline."""

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer

    def drifted(self, event: DriftEvent) -> None:
        """Put the alarm on its way."""
        if not event.ended:
            alarm = event.alarm
            self._announcer.announce(Alert(Kind.DRIFT, alarm.deployment, alarm.feature, alarm.sentence))
