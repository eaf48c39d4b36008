"""The lake in memory: what was exported, as rows. For tests, ours and our users'."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway.core.events import JoinedRow


class MemoryLake:
    """Keeps the rows of every day, and the changes it was written with."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], list[JoinedRow]] = {}
        self._changes: dict[tuple[str, int], int] = {}

    def days(self, deployment: str) -> Mapping[int, int]:
        """Which days are written."""
        return {day: changes for (of, day), changes in self._changes.items() if of == deployment}

    def write(
        self, deployment: str, day: int, changes: int, batches: Callable[[], Iterable[Sequence[JoinedRow]]]
    ) -> int:
        """Replace a day."""
        self.rows[deployment, day] = [row for batch in batches() for row in batch]
        self._changes[deployment, day] = changes
        return len(self.rows[deployment, day])
