"""The port of the lake: where every prediction goes as columns, day by day, for whoever computes with them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from gateway.core.events import JoinedRow


class Lake(Protocol):
    """Where exported predictions go, by deployment and day. Raises LakeUnavailable."""

    def days(self, deployment: str) -> Mapping[int, int]:
        """Which days are written, and the count of changes that each was written with."""

    def write(
        self, deployment: str, day: int, changes: int, batches: Callable[[], Iterable[Sequence[JoinedRow]]]
    ) -> int:
        """Replace a day, whole or not at all, and say how many rows it has. ``batches`` may be asked more than once."""
