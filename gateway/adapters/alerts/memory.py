"""Remember what was told, for tests: ours and our users'."""

from gateway.core.events import Decision


class MemorySink:
    """Keeps every decision it was told, oldest first."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def tell(self, decision: Decision) -> None:
        """Keep the decision."""
        self.decisions.append(decision)
