"""The drift watches' side of the store in memory, over the memory event log."""

from collections.abc import Mapping

from gateway.adapters.store.joins import LABEL, assigned_arm
from gateway.adapters.store.memory import MemoryEventLog
from gateway.core.deployments import Scalar
from gateway.core.drift.rows import LoggedRow
from gateway.core.events import PredictionRecord


class MemoryDriftLog:
    """The DriftLog port."""

    def __init__(self, events: MemoryEventLog) -> None:
        self._events = events
        self._memories: dict[tuple[str, str], bytes] = {}

    def logged(self, deployment: str, after: float, until: float, most: int) -> list[LoggedRow]:
        """A sample by id, in order of time."""
        counted = [_row(record, outcomes) for record, outcomes in self._events.judged(deployment, after, until)]
        sample = sorted((row for row in counted if row is not None), key=lambda row: row.body)[:most]
        return sorted(sample, key=lambda row: (row.at, row.body))

    def remembered(self, deployment: str, watch: str) -> bytes | None:
        """What was saved last."""
        return self._memories.get((deployment, watch))

    def remember(self, deployment: str, watch: str, memory: bytes) -> None:
        """Save it in the place of what was there."""
        self._memories[deployment, watch] = memory


def _row(record: PredictionRecord, outcomes: Mapping[str, Scalar]) -> LoggedRow | None:
    arm = assigned_arm(record)
    if arm is None or not record.randomised:
        return None
    asked = (record.names, record.values, record.statuses)
    said = (record.label, record.score, record.scores)
    return LoggedRow(
        record.at, record.body, arm.generation, record.error is not None, *asked, *said, outcomes.get(LABEL)
    )
