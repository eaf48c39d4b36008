"""Drift, as people are told of it."""

from gateway.core.alerts import Alert, Kind
from gateway.core.drift.causes import DriftEvent
from gateway.core.drift.profiles import LOST
from gateway.ports import Announcer


class DriftAlerts:
    """A DriftSink that wakes people for an alarm that rose; that one ended stands in the timeline.

    Values that go missing, stale or bad are the data's quality; everything else has drifted.
    """

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer

    def drifted(self, event: DriftEvent) -> None:
        """Put the alarm on its way."""
        if not event.ended:
            alarm = event.alarm
            kind = Kind.DATA_QUALITY if alarm.what in LOST else Kind.DRIFT
            self._announcer.announce(Alert(kind, alarm.deployment, alarm.feature, alarm.sentence))
