"""Time as yesterday's traffic tells it: data time is the greatest seen."""

import math
import time


class ReplayClock:
    """Machine time is the machine's; data time stands still until somebody tells a later one.

    Before anything was seen, data time is the Unix epoch: nothing is stale, mature or due.

    >>> clock = ReplayClock()
    >>> clock.observe(20.0)
    >>> clock.observe(10.0)
    >>> clock.data()
    20.0
    """

    def __init__(self) -> None:
        self._greatest = 0.0

    def machine(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def data(self) -> float:
        """The greatest data time observed, in seconds since the Unix epoch."""
        return self._greatest

    def wall(self) -> float:
        """Seconds since the Unix epoch, for people."""
        return time.time()

    def observe(self, at: float) -> None:
        """Move data time on to ``at`` seconds; never back, and never to a time that is no number."""
        if math.isfinite(at) and at > self._greatest:
            self._greatest = at
