"""What the direct readers share: a view laid out for reading, and stored cells assembled into a batch. No I/O."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateway.adapters.features.encoding import KINDS, UNREADABLE, KeyEncoder, decode
from gateway.core.deployments import Scalar
from gateway.core.features import FeatureBatch, FeaturePlan, PlannedView, Status

OnError: TypeAlias = Callable[[str], None]
"""Told of each thing that went wrong by its kind, a word from a small fixed set. Called from any thread; must not block
or raise."""


def ignore(_kind: str) -> None:
    """Count nothing."""


Cells: TypeAlias = tuple[Sequence[bytes | None], float | None]
"""What the store holds for one view of one row: its features' cells in plan order, and its event time."""


@dataclass(frozen=True, slots=True)
class ViewLayout:
    """A planned view with what reading it takes worked out: its key encoder and each feature's admissible kinds."""

    view: PlannedView
    key: KeyEncoder
    kinds: tuple[frozenset[str], ...]

    @property
    def nothing(self) -> Cells:
        """The view of an entity that is not in the store."""
        return (None,) * len(self.kinds), None

    @property
    def unreadable(self) -> Cells:
        """The view of an entity whose reply could not be had."""
        return (UNREADABLE,) * len(self.kinds), None


def lay_out(plan: FeaturePlan) -> tuple[ViewLayout, ...]:
    """Prepare every view of the plan for reading, in plan order."""
    return tuple(
        ViewLayout(view, KeyEncoder(view.keys), tuple(KINDS[feature.type] for feature in view.features))
        for view in plan.views
    )


def assemble(views: Sequence[ViewLayout], rows: Iterable[Sequence[Cells]], on_error: OnError) -> FeatureBatch:
    """Decode the cells of each row, one :data:`Cells` per view, into a batch in plan order."""
    values: list[tuple[Scalar, ...]] = []
    statuses: list[bytes] = []
    times: list[tuple[float | None, ...]] = []
    for row in rows:
        decoded = [
            decode(cell, kinds)
            for view, (cells, _) in zip(views, row, strict=True)
            for kinds, cell in zip(view.kinds, cells, strict=True)
        ]
        values.append(tuple([value for value, _ in decoded]))
        statuses.append(bytes([status for _, status in decoded]))
        times.append(tuple([time for _, time in row]))
        if Status.UNAVAILABLE in statuses[-1]:
            on_error("undecodable")
    return FeatureBatch(values, statuses, times)
