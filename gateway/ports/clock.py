"""The port of time: two kinds of it, which everything else is told rather than asks for."""

from typing import Protocol


class Clock(Protocol):
    """The only way anything here learns the time."""

    def machine(self) -> float:
        """Monotonic seconds: deadlines, leases, looks, latency."""

    def data(self) -> float:
        """Data time now, seconds since the Unix epoch: ages, epochs, maturity. Under replay, the greatest seen."""

    def observe(self, at: float) -> None:
        """Take notice, under replay, that data time has come to ``at`` seconds. A wall clock takes none."""

    def wall(self) -> float:
        """The calendar's time, seconds since the Unix epoch, for people who read a timeline. Nothing decides by it."""
