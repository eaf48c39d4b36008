"""What the direct readers share: a view laid out for reading, and stored cells assembled into a batch. No I/O."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateway.adapters.features.encoding import KINDS, UNREADABLE, KeyEncoder, decode, decode_doubles
from gateway.core.deployments import Scalar, Type
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
    """A planned view with what reading it takes worked out: its key encoder and each feature's admissible kinds.

    ``numbers``: every feature is a number, so all cells may be doubles. ``nothing`` is the view of an entity that is
    not in the store, ``unreadable`` of one whose reply could not be had.
    """

    view: PlannedView
    key: KeyEncoder
    kinds: tuple[frozenset[str], ...]
    numbers: bool
    nothing: Cells
    unreadable: Cells


def lay_out(plan: FeaturePlan) -> tuple[ViewLayout, ...]:
    """Prepare every view of the plan for reading, in plan order."""
    return tuple([_lay_out(view) for view in plan.views])


def _lay_out(view: PlannedView) -> ViewLayout:
    width = len(view.features)
    return ViewLayout(
        view,
        KeyEncoder(view.keys),
        tuple(KINDS[feature.type] for feature in view.features),
        all(feature.type is Type.NUMBER for feature in view.features),
        ((None,) * width, None),
        ((UNREADABLE,) * width, None),
    )


def assemble(views: Sequence[ViewLayout], rows: Iterable[Sequence[Cells]], on_error: OnError) -> FeatureBatch:
    """Decode the cells of each row, one :data:`Cells` per view, into a batch in plan order."""
    values: list[tuple[Scalar, ...]] = []
    statuses: list[bytes] = []
    times: list[tuple[float | None, ...]] = []
    for row in rows:
        here: list[Scalar] = []
        said = b""
        for view, (cells, _) in zip(views, row, strict=True):
            doubles = decode_doubles(cells) if view.numbers else None
            if doubles is not None:
                here += doubles
                said += bytes(len(doubles))
            else:
                decoded = [decode(cell, kinds) for kinds, cell in zip(view.kinds, cells, strict=True)]
                here += [value for value, _ in decoded]
                said += bytes([status for _, status in decoded])
        values.append(tuple(here))
        statuses.append(said)
        times.append(tuple([time for _, time in row]))
        if _UNAVAILABLE in said:
            on_error("undecodable")
    return FeatureBatch(values, statuses, times)


_UNAVAILABLE = bytes([Status.UNAVAILABLE])
