"""The operators' door. It translates: every route is one question to the control story or to the store's records.

Nothing here blocks the event loop: whatever touches the store runs through ``ControlPlane.run``, on its one thread.
Who asks is in the timeline by name: a key's, a token's, or ``local`` where there are no keys; then the guard lets in
none but this machine.
"""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response

from gateway.control import Control
from gateway.core.deployments import DeploymentSpec, ModelCard
from gateway.core.drift.report import DriftReport
from gateway.core.errors import BadRequest, GateRefused, PolicyPending, RevisionRequired, UnknownPrediction
from gateway.core.events import Decision
from gateway.core.features import FeaturePlan
from gateway.core.gates import GateResult, evidence_of, failed
from gateway.core.ids import SigningKeys, verify
from gateway.core.rollout import Signal
from gateway.core.state import DeploymentState
from gateway.edge import api_docs, control_room, problems, room_routes, schemas
from gateway.edge.control_drift import DriftView, drift_view
from gateway.edge.control_examples import EXAMPLES
from gateway.edge.control_guard import ControlGuard
from gateway.edge.control_report import Drift, MakeReport, page
from gateway.edge.control_schemas import (
    ApprovalRequest,
    CanaryRequest,
    DecisionView,
    DeploymentsView,
    DeploymentView,
    GateView,
    HealthView,
    LedgerView,
    Name,
    PerformanceSpan,
    PerformanceView,
    PredictionView,
    Reason,
    RollbackRequest,
    ShadowRequest,
    SignalRequest,
    SpooledView,
    TimelineView,
    TrafficRequest,
    ValidationRequest,
    ValidationView,
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
from gateway.edge.dear import Dear
from gateway.edge.doors import CONTROL_DOORS, Doors
from gateway.edge.fresh import Fresh
from gateway.edge.locks import Locked, Locks, principal_of
from gateway.edge.pulse import Pulse
from gateway.edge.run import Run as Run  # part of what the door asks for
from gateway.ports import Clock, ControlState, EventLog

_REVISION = re.compile(r'(?:W/)?"?(\d{1,18})"?')
_HOUR_S = 3_600.0
_NO_WORDS = SignalRequest()
_NO_VIEW = ApprovalRequest()
_NO_WORDS_BACK = RollbackRequest()
_METRIC = 'gateway_deployment_revision{deployment="flight-delay"} 12.0\n'


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model made ready to serve, and the feature plan that covers it and everything its deployment runs."""

    model: ModelCard
    features: FeaturePlan


@dataclass(frozen=True, slots=True)
class Spooled:
    """What a host has acknowledged and not yet drained, at ``as_of`` (wall seconds)."""

    host: str
    as_of: float
    predictions: int
    outcomes: int
    shadows: int


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What the door leads to. The agent gives it; tests give it memory."""

    control: Control
    state: ControlState
    log: EventLog
    clock: Clock
    run: Run
    prepare: Callable[[str, str], Awaitable[Prepared]]
    """(deployment, model URI) -> a prepared model. Slow; raises ModelUnusable, PlanImpossible."""
    vet: Callable[[str, Prepared], Awaitable[Sequence[GateResult]]]
    """(deployment, prepared) -> what each gate found. Slow; raises ModelUnusable where the model cannot even run."""
    features: Callable[[str], FeaturePlan]
    """The compiled plan in force for a deployment."""
    drift: Callable[[str], DriftReport]
    """What is known of a deployment's drift; blocks. Raises UnknownDeployment."""
    report: MakeReport
    """A drift report as a page of HTML."""
    settle: Callable[[float], Awaitable[Sequence[Spooled]]]
    """Drain for at most so many seconds (0: not at all), then say what is left."""
    keys: Callable[[], SigningKeys]
    metrics: Callable[[], Response]
    """This host's metrics as Prometheus reads them; may block, so it runs on a thread of its own."""
    unready: Callable[[], str | None]
    """Why the control plane cannot do its work, or None."""
    declared: Mapping[str, DeploymentSpec] = field(default_factory=dict)
    """What the configuration of this host says, to compare with what is in force."""
    hosts: frozenset[str] = frozenset()
    preparing: Callable[[str], Sequence[str]] = lambda _: ()
    """The models being prepared for a deployment on this host."""
    locks: Locks | None = None


def create_app(plane: ControlPlane) -> FastAPI:
    """Build the control plane's app."""
    app = FastAPI(
        title="Gateway control plane",
        description="What is deployed, who gets which traffic, what the judge says, and the operators' signals.",
        version="1",
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.plane = plane
    app.state.pulse = Pulse(plane.log, plane.clock, plane.run)
    app.state.degraded = Dear[float](plane.clock, plane.run)
    app.add_middleware(Fresh)
    if plane.locks is not None:
        app.add_middleware(Locked, locks=plane.locks, doors=Doors(CONTROL_DOORS))
    app.add_middleware(ControlGuard, hosts=plane.hosts, locks=plane.locks)
    app.include_router(_reading)
    app.include_router(_operating)
    app.include_router(_probing)
    app.include_router(room_routes.router)
    control_room.install(app)
    api_docs.install(app)
    problems.install(app)
    schemas.document(app, [schemas.ProblemDetails], EXAMPLES)
    return app


def _plane(request: Request) -> ControlPlane:
    plane: ControlPlane = request.app.state.plane
    return plane


def _who(request: Request) -> str:
    return principal_of(request.scope).name


Plane = Annotated[ControlPlane, Depends(_plane)]
IfMatch = Annotated[str | None, Header(description="The revision it was made for, as in the ETag.")]
Who = Annotated[str, Depends(_who)]
"""The name of whoever asks, for the timeline."""


_reading = APIRouter(prefix="/admin", tags=["reading"], responses=schemas.problems([401, 403, 422, 429, 503]))
_operating = APIRouter(
    prefix="/admin/deployments/{deployment}",
    tags=["operating"],
    responses=schemas.problems([400, 401, 403, 404, 413, 415, 422, 429, 503]),
)
_probing = APIRouter(tags=["probing"], responses=schemas.problems([403]))


@_reading.get("/deployments")
async def deployments(plane: Plane) -> DeploymentsView:
    """Every deployment as it stands."""
    return await plane.run(
        lambda: DeploymentsView(deployments=tuple(_describe(plane, state) for state in plane.state.all()))
    )


@_reading.get("/deployments/{deployment}", responses=schemas.problems([404]))
async def deployment(plane: Plane, deployment: str, response: Response) -> DeploymentView:
    """One deployment: variants with model, weight, phase, step and verdict; and what applications have to send."""
    view = await plane.run(lambda: _describe(plane, plane.control.read(deployment)))
    response.headers["ETag"] = f'"{view.revision}"'
    return view


@_reading.get("/deployments/{deployment}/verdict", responses=schemas.problems([404]))
async def verdict(plane: Plane, request: Request, deployment: str, candidate: Name | None = None) -> VerdictView:
    """Each guardrail of a candidate (by default the one alive): estimate, interval, evidence, threshold, sentence."""
    rollout, said, still = await plane.run(lambda: plane.control.verdict(deployment, candidate))
    degraded = await request.app.state.degraded.get(
        (deployment, rollout.generation, rollout.since),
        lambda: plane.control.degraded(plane.control.read(deployment), rollout, said.at),
    )
    return verdict_view(deployment, rollout, said, still, degraded)


@_reading.get("/deployments/{deployment}/timeline", responses=schemas.problems([404]))
async def timeline(plane: Plane, deployment: str, limit: Annotated[int, Query(ge=1, le=1_000)] = 100) -> TimelineView:
    """Every decision, newest first: who or which rule, why, from what evidence."""

    def work() -> TimelineView:
        plane.control.read(deployment)
        return TimelineView(decisions=tuple(map(decision_view, plane.state.timeline(deployment, limit))))

    return await plane.run(work)


@_reading.get("/deployments/{deployment}/performance", responses=schemas.problems([404]))
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


@_reading.get(
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


@_reading.get("/predictions/{prediction_id}", responses=schemas.problems([404]))
async def prediction(plane: Plane, prediction_id: str) -> PredictionView:
    """One prediction with its features, shadows and outcomes. 404 for an id that was never issued here."""
    ref = verify(plane.keys(), prediction_id)
    stored = None if ref is None else await plane.run(lambda: plane.log.prediction(ref.tag, ref.body))
    if stored is None:
        raise UnknownPrediction
    return prediction_view(prediction_id, stored)


@_reading.get("/ledger", responses=schemas.problems([404]))
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


@_operating.put("/traffic", responses=schemas.problems([409, 412, 428]))
async def traffic(
    plane: Plane,
    who: Who,
    deployment: str,
    body: TrafficRequest,
    if_match: IfMatch = None,
) -> DecisionView:
    """Put the whole split in force. A running plan is paused by it; ``resume`` returns to its step."""
    revision = _revision(if_match)
    return await _decided(
        plane,
        lambda: plane.control.set_traffic(
            deployment, body.weights, body.shadows, expected=revision, actor=who, reason=_why(who, body.reason)
        ),
    )


@_operating.post("/canary", status_code=201, responses=schemas.problems([409]))
async def start_canary(plane: Plane, who: Who, deployment: str, body: CanaryRequest) -> DecisionView:
    """Start a rollout. The model is prepared and held to the gate first; that may take a while, no request waits."""
    guardrails, override = body.terms(), body.override
    await plane.run(lambda: plane.control.may_start(deployment, body.name, body.plan, guardrails, override=override))
    prepared = await plane.prepare(deployment, body.model)
    evidence = await _vetted(plane, who, deployment, prepared)
    return await _decided(
        plane,
        lambda: plane.control.start_canary(
            deployment,
            prepared.model,
            prepared.features,
            plan=body.plan,
            name=body.name,
            guardrails=guardrails,
            override=override,
            evidence=evidence,
            actor=who,
            reason=body.reason,
        ),
    )


@_operating.post("/validate")
async def validate(plane: Plane, deployment: str, body: ValidationRequest) -> ValidationView:
    """Prepare a model and hold it to the validation gate, without starting anything."""
    await plane.run(lambda: plane.control.read(deployment))
    prepared = await plane.prepare(deployment, body.model)
    results, model = await plane.vet(deployment, prepared), prepared.model
    return ValidationView(
        model=model.name,
        model_version=model.version,
        digest=model.digest,
        passed=not failed(results),
        gates=tuple(GateView.model_validate(result) for result in results),
    )


@_operating.post("/shadows", status_code=201)
async def add_shadow(plane: Plane, who: Who, deployment: str, body: ShadowRequest) -> DecisionView:
    """Let another model watch."""
    await plane.run(lambda: plane.control.read(deployment))
    prepared = await plane.prepare(deployment, body.model)
    return await _decided(
        plane,
        lambda: plane.control.add_shadow(
            deployment,
            prepared.model,
            prepared.features,
            name=body.name,
            rate=body.rate,
            actor=who,
            reason=_why(who, body.reason),
        ),
    )


@_operating.delete("/shadows/{name}")
async def remove_shadow(plane: Plane, who: Who, deployment: str, name: Name, reason: Reason = "") -> DecisionView:
    """Let a shadow go."""
    return await _decided(
        plane, lambda: plane.control.remove_shadow(deployment, name, actor=who, reason=_why(who, reason))
    )


@_operating.post("/approve")
async def approve(plane: Plane, who: Who, deployment: str, body: ApprovalRequest = _NO_VIEW) -> DecisionView:
    """Say, by name, that a candidate's model may rise, or that a model may be started. A policy may ask for it."""
    await plane.run(lambda: plane.control.read(deployment))
    card = None if body.model is None else (await plane.prepare(deployment, body.model)).model
    say = partial(plane.control.approve, deployment, actor=who, reason=_why(who, body.reason))
    return await _decided(plane, lambda: say(candidate=body.candidate, model=card))


@_operating.post("/promote", responses=schemas.problems([409, 412]))
async def promote(
    plane: Plane, who: Who, deployment: str, body: SignalRequest = _NO_WORDS, if_match: IfMatch = None
) -> DecisionView:
    """Make a candidate stable, on the operator's word."""
    return await _signal(plane, who, deployment, Signal.PROMOTE, body, if_match)


@_operating.post("/demote", responses=schemas.problems([409, 412]))
async def demote(
    plane: Plane, who: Who, deployment: str, body: SignalRequest = _NO_WORDS, if_match: IfMatch = None
) -> DecisionView:
    """Take all traffic from a candidate, for good: only a new rollout brings it back."""
    return await _signal(plane, who, deployment, Signal.DEMOTE, body, if_match)


@_operating.post("/pause", responses=schemas.problems([409, 412]))
async def pause(
    plane: Plane, who: Who, deployment: str, body: SignalRequest = _NO_WORDS, if_match: IfMatch = None
) -> DecisionView:
    """Hold a rollout where it is. The judge goes on and may still demote."""
    return await _signal(plane, who, deployment, Signal.PAUSE, body, if_match)


@_operating.post("/resume", responses=schemas.problems([409, 412]))
async def resume(
    plane: Plane, who: Who, deployment: str, body: SignalRequest = _NO_WORDS, if_match: IfMatch = None
) -> DecisionView:
    """Let a rollout go on: back to its step, or to the next one where it waited for approval."""
    return await _signal(plane, who, deployment, Signal.RESUME, body, if_match)


@_operating.post("/rollback", responses=schemas.problems([409, 412]))
async def rollback(
    plane: Plane, who: Who, deployment: str, body: RollbackRequest = _NO_WORDS_BACK, if_match: IfMatch = None
) -> DecisionView:
    """Return to a former stable in one step; those of the window are warm on every worker."""
    back = partial(plane.control.rollback, deployment, actor=who, reason=_why(who, body.reason), to=body.to)
    seen = _seen(if_match)
    return await _decided(plane, lambda: back(expected=seen))


@_probing.get("/livez")
async def livez() -> HealthView:
    """Alive."""
    return HealthView(status="ok")


@_probing.get("/readyz", responses=schemas.problems([503]), response_model=HealthView)
async def readyz(plane: Plane) -> HealthView | Response:
    """Ready to work, or why not."""
    reason = plane.unready()
    return HealthView(status="ok") if reason is None else problems.not_ready(reason)


@_probing.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"example": _METRIC}}}, **schemas.problems([401, 429])},
)
def metrics(plane: Plane) -> Response:
    """All processes of this host, as Prometheus reads them."""
    return plane.metrics()


async def _signal(
    plane: ControlPlane, who: str, deployment: str, signal: Signal, body: SignalRequest, if_match: str | None
) -> DecisionView:
    seen, reason = _seen(if_match), _why(who, body.reason)
    return await _decided(
        plane,
        lambda: plane.control.send(
            deployment, signal, actor=who, reason=reason, candidate=body.candidate, expected=seen
        ),
    )


async def _decided(plane: ControlPlane, work: Callable[[], Decision]) -> DecisionView:
    """Decide; where a policy server has to be asked first, once it has answered."""
    try:
        return decision_view(await plane.run(work))
    except PolicyPending as pending:
        await asyncio.wrap_future(pending.answer)
    return decision_view(await plane.run(work))


def _describe(plane: ControlPlane, state: DeploymentState) -> DeploymentView:
    """Show a deployment with what the judge says of each candidate. Blocks: for the store's thread."""
    name, declared = state.deployment, plane.declared.get(state.deployment)
    standings = {candidate: _standing(plane, name, candidate) for candidate in state.rollouts}
    moved = declared is not None and declared != state.spec
    return deployment_view(state, plane.features(name), standings, drift=moved, preparing=plane.preparing(name))


def _standing(plane: ControlPlane, deployment: str, candidate: str) -> Standing:
    rollout, said, still = plane.control.verdict(deployment, candidate)
    return Standing(said, still, plane.control.seen(deployment, rollout))


def _span(plane: ControlPlane, state: DeploymentState, after: float, until: float) -> PerformanceSpan:
    rows = plane.log.performance(state.deployment, after, until)
    return PerformanceSpan(after=after, until=until, variants=performance_lines(rows, versions_of(state)))


async def _vetted(plane: ControlPlane, who: str, deployment: str, prepared: Prepared) -> dict[str, Any]:
    """What the gate found, for the timeline. A refusal goes into the timeline too; then GateRefused is raised."""
    results, model = await plane.vet(deployment, prepared), prepared.model
    evidence, sentences = evidence_of(results), failed(results)
    if sentences:
        error = GateRefused(sentences, evidence)
        await plane.run(
            lambda: plane.control.refuse(
                deployment, model.name, model.version, str(error), actor=who, evidence=evidence
            )
        )
        raise error
    return evidence


def _now(plane: ControlPlane) -> float:
    """Data time now; before the first record of a replay, the beginning of time."""
    now = plane.clock.data()
    return now if math.isfinite(now) else 0.0


def _revision(if_match: str | None) -> int:
    """Read ``If-Match``. Raises RevisionRequired when it is missing, BadRequest when it is no revision."""
    if if_match is None:
        raise RevisionRequired
    match = _REVISION.fullmatch(if_match.strip())
    if match is None:
        raise BadRequest('If-Match must be one revision, such as "7".')
    return int(match[1])


def _seen(if_match: str | None) -> int | None:
    """The revision that an operator had before them, where they say so."""
    return None if if_match is None else _revision(if_match)


def _why(who: str, reason: str) -> str:
    return reason or f"asked for by {who}, who gave no reason"
