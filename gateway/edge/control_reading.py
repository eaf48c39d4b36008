"""What operators look at: deployments, verdicts, the timeline, figures, one prediction, the books."""

import math
from itertools import pairwise
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from gateway.core.errors import UnknownPrediction
from gateway.core.ids import verify
from gateway.core.state import DeploymentState
from gateway.edge import schemas
from gateway.edge.control_drift import DriftView, drift_view
from gateway.edge.control_parts import ControlPlane, Plane
from gateway.edge.control_report import Drift, page
from gateway.edge.control_requests import Name
from gateway.edge.control_schemas import (
    DeploymentsView,
    DeploymentView,
    LedgerView,
    PerformanceSpan,
    PerformanceView,
    PredictionView,
    SpooledView,
    TimelineView,
    VerdictView,
)
from gateway.edge.control_views import (
    Standing,
    decision_view,
    deployment_view,
    performance_lines,
    prediction_view,
    verdict_view,
    versions_of,
)

_HOUR_S = 3_600.0

router = APIRouter(prefix="/admin", tags=["reading"], responses=schemas.problems([401, 403, 422, 429, 503]))


@router.get("/deployments")
async def deployments(plane: Plane) -> DeploymentsView:
    """Every deployment as it stands."""
    return await plane.run(
        lambda: DeploymentsView(deployments=tuple(_describe(plane, state) for state in plane.state.all()))
    )


@router.get("/deployments/{deployment}", responses=schemas.problems([404]))
async def deployment(plane: Plane, deployment: str, response: Response) -> DeploymentView:
    """One deployment: variants with model, weight, phase, step and verdict; and what applications have to send."""
    view = await plane.run(lambda: _describe(plane, plane.control.read(deployment)))
    response.headers["ETag"] = f'"{view.revision}"'
    return view


@router.get("/deployments/{deployment}/verdict", responses=schemas.problems([404]))
async def verdict(plane: Plane, request: Request, deployment: str, candidate: Name | None = None) -> VerdictView:
    """Each guardrail of a candidate (by default the one alive): estimate, interval, evidence, threshold, sentence."""
    rollout, said, still = await plane.run(lambda: plane.control.verdict(deployment, candidate))
    degraded = await request.app.state.degraded.get(
        (deployment, rollout.generation, rollout.since),
        lambda: plane.control.degraded(plane.control.read(deployment), rollout, said.at),
    )
    return verdict_view(deployment, rollout, said, still, degraded)


@router.get("/deployments/{deployment}/timeline", responses=schemas.problems([404]))
async def timeline(plane: Plane, deployment: str, limit: Annotated[int, Query(ge=1, le=1_000)] = 100) -> TimelineView:
    """Every decision, newest first: who or which rule, why, from what evidence."""

    def work() -> TimelineView:
        plane.control.read(deployment)
        return TimelineView(decisions=tuple(map(decision_view, plane.state.timeline(deployment, limit))))

    return await plane.run(work)


@router.get("/deployments/{deployment}/performance", responses=schemas.problems([404]))
async def performance(
    plane: Plane,
    deployment: str,
    hours: Annotated[float, Query(gt=0, le=100_000, allow_inf_nan=False)] = 24.0,
    spans: Annotated[int, Query(ge=1, le=100)] = 1,
) -> PerformanceView:
    """Predictions, errors and accuracy by variant over the last ``hours`` of data time, in so many equal spans."""

    def work() -> PerformanceView:
        state, now = plane.control.read(deployment), _now(plane)
        edges = [now - hours * _HOUR_S * (spans - i) / spans for i in range(spans + 1)]
        found = tuple(_span(plane, state, *pair) for pair in pairwise(edges))
        return PerformanceView(deployment=deployment, spans=found)

    return await plane.run(work)


@router.get(
    "/deployments/{deployment}/drift",
    response_model=DriftView,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}, **schemas.problems([404, 501])},
)
async def drift(plane: Plane, deployment: str, query: Drift) -> DriftView | Response:
    """Per feature and prediction: distances from the reference, how near an alarm, and the alarm that stands.

    With ``report=html`` a page by Evidently instead: live traffic beside the reference, or beside a window of the log.
    """
    if query.report is not None:
        return await page(plane.report, query.asked(deployment))
    return drift_view(await plane.run(lambda: plane.drift(deployment)))


@router.get("/predictions/{prediction_id}", responses=schemas.problems([404]))
async def prediction(plane: Plane, prediction_id: str) -> PredictionView:
    """One prediction with its features, shadows and outcomes. 404 for an id that was never issued here."""
    ref = verify(plane.keys(), prediction_id)
    stored = None if ref is None else await plane.run(lambda: plane.log.prediction(ref.tag, ref.body))
    if stored is None:
        raise UnknownPrediction
    return prediction_view(prediction_id, stored)


@router.get("/ledger", responses=schemas.problems([404]))
async def ledger(
    plane: Plane,
    settle_s: Annotated[float, Query(ge=0, le=60, allow_inf_nan=False)] = 0.0,
    deployment: str | None = None,
) -> LedgerView:
    """The books, of one deployment or of all; ``settle_s`` drains first, for at most so many seconds."""
    spooled = await plane.settle(settle_s)

    def work() -> LedgerView:
        if deployment is not None:
            plane.control.read(deployment)
        books = plane.log.books(deployment)
        hosts = tuple(SpooledView.model_validate(host) for host in spooled)
        return LedgerView(predictions=books.predictions, outcomes=books.outcomes, shadows=books.shadows, spooled=hosts)

    return await plane.run(work)


def _describe(plane: ControlPlane, state: DeploymentState) -> DeploymentView:
    """Show a deployment with what the judge says of each candidate. Blocks: for the store's thread."""
    name, declared = state.deployment, plane.declared.get(state.deployment)
    standings = {one: _standing(plane, name, one) for one in (*state.rollouts, *state.trials)}
    moved = declared is not None and declared != state.spec
    return deployment_view(state, plane.features(name), standings, drift=moved, preparing=plane.preparing(name))


def _standing(plane: ControlPlane, deployment: str, candidate: str) -> Standing:
    rollout, said, still = plane.control.verdict(deployment, candidate)
    return Standing(said, still, plane.control.seen(deployment, rollout))


def _span(plane: ControlPlane, state: DeploymentState, after: float, until: float) -> PerformanceSpan:
    rows = plane.log.performance(state.deployment, after, until)
    return PerformanceSpan(after=after, until=until, variants=performance_lines(rows, versions_of(state)))


def _now(plane: ControlPlane) -> float:
    """Data time now; before the first record of a replay, the beginning of time."""
    now = plane.clock.data()
    return now if math.isfinite(now) else 0.0
