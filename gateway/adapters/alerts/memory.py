"""Remember what was told, for tests: ours and our users'."""

from gateway.core.alerts import Alert
from gateway.core.events import Decision


class MemorySink:
    """Keeps every decision it was told, oldest first."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def tell(self, decision: Decision) -> None:
        """Keep the decision."""
        self.decisions.append(decision)


class MemoryAnnouncer:
    """Keeps every alert that was announced, oldest first."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def announce(self, alert: Alert) -> None:
        """Keep the alert."""
        self.alerts.append(alert)

    def close(self, longest_s: float = 0.0) -> None:
        """Keep everything."""
