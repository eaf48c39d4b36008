"""The ports to people: who is told of decisions, and how news of any kind reaches them."""

from typing import Protocol

from gateway.core.alerts import Alert
from gateway.core.events import Decision


class AlertSink(Protocol):
    """Somebody who wants to be told of every decision."""

    def tell(self, decision: Decision) -> None:
        """Pass the decision on. Never raises, never waits."""


class Announcer(Protocol):
    """The way to people: told of what they want to hear, whatever it came from."""

    def announce(self, alert: Alert) -> None:
        """Put an alert on its way. Never raises, never waits; a dead target costs nothing but a counter."""

    def close(self, longest_s: float = 5.0) -> None:
        """Send what waits, within ``longest_s`` machine seconds."""
