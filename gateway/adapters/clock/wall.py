"""Time as the machine tells it: data time is now."""

import time


class WallClock:
    """Data time and the calendar agree; machine time is ``CLOCK_MONOTONIC``, one for all processes of a host."""

    def machine(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def data(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

    def wall(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

    def observe(self, at: float) -> None:
        """Take no notice: nobody sets the wall clock."""
