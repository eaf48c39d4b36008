"""What the control room asks of a deployment beside its state: its pulse, its course, its figures.

Everything is read through ``Room.run``, on the store's one thread.
"""

import math
from typing import Annotated, Protocol

from fastapi import APIRouter, Depends, Query, Request

from gateway import looking
from gateway.control import Control
from gateway.core.kpis import Kpis, kpis
from gateway.edge import schemas
from gateway.edge.control_requests import Name
from gateway.edge.control_schemas import PerformanceSpan, PerformanceView
from gateway.edge.control_views import performance_lines, versions_of
from gateway.edge.pulse import Pulse
from gateway.edge.room_schemas import CourseView, KpisView
from gateway.edge.run import Run
from gateway.ports import Clock, ControlState, EventLog

_HOUR_S = 3_600.0
_FIGURES = Kpis.__slots__
_TIMELINE = 1_000
"""Decisions that figures are worked out from: years of them, for most."""


class Room(Protocol):
    """What the control plane lends to these routes."""

    @property
    def control(self) -> Control:
        """The story of looks."""

    @property
    def state(self) -> ControlState:
        """Documents, timelines and courses."""

    @property
    def log(self) -> EventLog:
        """The event log."""

    @property
    def clock(self) -> Clock:
        """Both kinds of time."""

    @property
    def run(self) -> Run:
        """The way to the store's thread."""


router = APIRouter(
    prefix="/admin/deployments/{deployment}",
    tags=["reading"],
    responses=schemas.problems([401, 403, 404, 422, 429, 503]),
)


def _room(request: Request) -> Room:
    room: Room = request.app.state.plane
    return room


TheRoom = Annotated[Room, Depends(_room)]


@router.get("/pulse")
async def pulse(
    room: TheRoom,
    request: Request,
    deployment: str,
    hours: Annotated[float, Query(ge=0.01, le=100_000, allow_inf_nan=False)] = 1.0,
    spans: Annotated[int, Query(ge=1, le=100)] = 60,
) -> PerformanceView:
    """Predictions, latency and labels by variant in spans that begin at multiples of their length, for live pages."""
    counter: Pulse = request.app.state.pulse
    state = await room.run(lambda: room.control.read(deployment))
    now = room.clock.data()
    found = await counter.spans(deployment, hours * _HOUR_S / spans, spans, now if math.isfinite(now) else 0.0)
    versions = versions_of(state)
    shown = [PerformanceSpan(after=s.after, until=s.until, variants=performance_lines(s.rows, versions)) for s in found]
    return PerformanceView(deployment=deployment, spans=tuple(shown))


@router.get("/course")
async def course(room: TheRoom, deployment: str, candidate: Name | None = None) -> CourseView:
    """How a candidate's evidence has gone (by default the one alive): each guardrail's estimates and intervals."""

    def work() -> CourseView:
        rollout, _, _ = room.control.verdict(deployment, candidate)
        generation = looking.generation_of(rollout)
        points = room.state.course(deployment, generation)
        return CourseView.model_validate(
            {"deployment": deployment, "candidate": rollout.name, "generation": generation, "points": points}
        )

    return await room.run(work)


@router.get("/kpis")
async def figures(room: TheRoom, deployment: str) -> KpisView:
    """How often the deployment changes, how fast it recovers, how old its model is: the last twelve weeks."""

    def work() -> KpisView:
        state, now = room.control.read(deployment), room.clock.data()
        decisions = room.state.timeline(deployment, _TIMELINE)[::-1]
        until = now if math.isfinite(now) else max((one.data_at for one in decisions), default=0.0)
        found = kpis(decisions, state.stable.generation, until)
        return KpisView.model_validate({"deployment": deployment} | {name: getattr(found, name) for name in _FIGURES})

    return await room.run(work)
