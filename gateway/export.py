"""The export: joined predictions and outcomes as files by day, for training the next model and for whoever keeps books.

A day is written again, whole, when anything about it has changed: a late label, a correction, a prediction drained
late. So the files always say what the log says, and running it twice writes nothing twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.core.events import JoinedRow
from gateway.ports import EventLog, Lake

BATCH = 5_000
"""Rows held in memory at a time."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One day that was written: days since the Unix epoch (data time, UTC), and rows now in it."""

    day: int
    rows: int


def export(log: EventLog, lake: Lake, deployment: str) -> Iterator[Exported]:
    """Write every day of a deployment that has changed since the lake was last told of it, oldest first.

    Raises StoreUnavailable, LakeUnavailable; days yielded before stay written, and the next run goes on from there.
    """
    written = lake.days(deployment)
    for day, changes in sorted(log.days(deployment).items()):
        if written.get(day) == changes:  # read before its rows: what is drained meanwhile makes it change again
            continue
        try:
            rows = lake.write(deployment, day, changes, lambda day=day: _batches(log, deployment, day))  # type: ignore[misc]
        except _Forgotten:  # by now part of it may be gone: what the lake holds stays as it is
            continue
        yield Exported(day, rows)


class _Forgotten(Exception):
    """The log has let the day go while it was read."""


def _batches(log: EventLog, deployment: str, day: int) -> Iterator[list[JoinedRow]]:
    batch = log.joined(deployment, day, None, BATCH)
    while batch:
        yield batch
        batch = log.joined(deployment, day, batch[-1].position, BATCH) if len(batch) == BATCH else []
    if day not in log.days(deployment):
        raise _Forgotten
