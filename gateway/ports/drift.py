"""The ports of drift watches: what they read and keep, and whom they tell."""

from typing import Protocol

from gateway.core.drift.causes import DriftEvent
from gateway.core.drift.profiles import Profile
from gateway.core.drift.rows import LoggedRow


class DriftLog(Protocol):
    """What drift watches read of the log and keep in the store. May block. Raises StoreUnavailable."""

    def logged(self, deployment: str, after: float, until: float, most: int) -> list[LoggedRow]:
        """At most ``most`` requests with data time in (``after``, ``until``], in order of time.

        They are those with the smallest ids, which are random: a sample without regard to arm or content. Forced
        requests and repeated request ids after the first record are left out; degraded ones are not.
        """

    def remembered(self, deployment: str, watch: str) -> bytes | None:
        """What a watch saved last, or None."""

    def remember(self, deployment: str, watch: str, memory: bytes) -> None:
        """Keep what a watch knows, in the place of what it knew."""


class Profiles(Protocol):
    """Where the reference profile of a prepared model is found."""

    def __call__(self, digest: str, /) -> Profile | None:
        """The profile that lies beside the model, None where it carries none. Raises ModelUnusable."""


class DriftSink(Protocol):
    """Somebody who wants to know of drift and of its cause: alerts, retraining."""

    def drifted(self, event: DriftEvent) -> None:
        """An alarm rose, or ended. Told at least once, so the same event twice must do nothing. Never raises."""
