"""How often somebody may knock: ``limits`` counts in fixed windows, in this process's memory and on our own clock.

A window is counted by each worker for itself: what workers shared would be a wait on the request path.
"""

import math

from limits import RateLimitItem, parse
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from gateway.core.errors import SettingsError
from gateway.ports import Clock

_BUCKETS = 4_096
"""Unknown callers share so many counters by address, so that a flood of addresses takes no memory."""


class Rates:
    """Counts what principals do, and how often addresses come without a good key."""

    def __init__(self, clock: Clock, default: str | None, failures: str) -> None:
        """``default`` holds for principals without a rate of their own, None for no bound. Raises SettingsError."""
        self._storage = _Memory(clock)
        self._windows = FixedWindowRateLimiter(self._storage)
        self._default, self._failures = default, parse_rate(failures)
        self._parsed: dict[str, RateLimitItem] = {}

    def spend(self, name: str, rate: str | None) -> int | None:
        """Count one request of ``name``: None when it may pass, else the whole seconds after which one may again."""
        said = rate or self._default
        if said is None:
            return None
        item = self._parsed.get(said)
        if item is None:
            item = self._parsed[said] = parse_rate(said)
        return None if self._windows.hit(item, name) else self._wait_s(item, name)

    def fail(self, address: str) -> int | None:
        """Count one knock without a good key: None while it is told 401, else the seconds for which it is told 429."""
        bucket = _bucket(address)
        return None if self._windows.hit(self._failures, bucket) else self._wait_s(self._failures, bucket)

    def failed_too_often(self, address: str) -> bool:
        """Whether an address has used up its failures."""
        return not self._windows.test(self._failures, _bucket(address))

    def _wait_s(self, item: RateLimitItem, name: str) -> int:
        left = self._windows.get_window_stats(item, name).reset_time - self._storage.now()
        return max(1, math.ceil(left))


def parse_rate(text: str) -> RateLimitItem:
    """Read a rate. Raises SettingsError.

    >>> parse_rate("100/second").amount
    100
    """
    try:
        return parse(text)
    except ValueError:
        raise SettingsError("A rate is written like 100/second, 5000/minute or 10 per 2 seconds.") from None


def _bucket(address: str) -> str:
    """Which counter an address shares; an IPv6 caller owns a whole /64, so that counts as one."""
    network = ":".join(address.split(":")[:4]) if ":" in address else address
    return f"!{hash(network) % _BUCKETS}"  # no key's name begins so


class _Memory(Storage):
    """Counters on the clock we were given. ``limits``' own memory starts a thread every ten milliseconds."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._counts: dict[str, tuple[int, float]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        """What it raises of its own: nothing."""
        return ValueError

    def now(self) -> float:
        """Machine seconds."""
        return self._clock.machine()

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, in a window that begins with its first request."""
        count, until = self._counts.get(key, (0, 0.0))
        now = self._clock.machine()
        if now >= until:
            count, until = 0, now + expiry
        self._counts[key] = (count + amount, until)
        return count + amount

    def get(self, key: str) -> int:
        """What was counted in the window under way."""
        count, until = self._counts.get(key, (0, 0.0))
        return count if self._clock.machine() < until else 0

    def get_expiry(self, key: str) -> float:
        """When the window under way ends, in machine seconds."""
        return self._counts.get(key, (0, 0.0))[1]

    def check(self) -> bool:
        """Memory is always there."""
        return True

    def reset(self) -> int | None:
        """Forget everything."""
        count = len(self._counts)
        self._counts.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget one counter."""
        self._counts.pop(key, None)
