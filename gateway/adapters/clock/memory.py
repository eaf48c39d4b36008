"""Time wound by hand, for tests: ours and our users'."""


class ManualClock:
    """Stands still until it is wound.

    >>> clock = ManualClock(data=1_000.0)
    >>> clock.advance(2.5)
    >>> clock.machine(), clock.data()
    (2.5, 1002.5)
    """

    def __init__(self, machine: float = 0.0, data: float = 0.0) -> None:
        self._machine = machine
        self._data = data

    def machine(self) -> float:
        """Monotonic seconds as wound."""
        return self._machine

    def data(self) -> float:
        """Data time as wound, in seconds since the Unix epoch."""
        return self._data

    def wall(self) -> float:
        """The calendar agrees with data time."""
        return self._data

    def observe(self, at: float) -> None:
        """Move data time on to ``at`` seconds; never back."""
        self._data = max(self._data, at)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass on both clocks."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._machine += seconds
        self._data += seconds
