"""What operators ask for: traffic, rollouts, shadows, signals. Each route passes one wish on to the control story.

Where a wish needs a model, it is prepared first, and held to the gate where it is to rise. Nobody waits for that but
the operator.
"""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header

from gateway.core.errors import BadRequest, GateRefused, PolicyPending, RevisionRequired
from gateway.core.events import Decision
from gateway.core.gates import evidence_of, failed
from gateway.core.rollout import Signal
from gateway.edge import schemas
from gateway.edge.control_parts import ControlPlane, Plane, Prepared, Who
from gateway.edge.control_requests import (
    ApprovalRequest,
    CanaryRequest,
    Name,
    Reason,
    RollbackRequest,
    ShadowPromotion,
    ShadowRequest,
    SignalRequest,
    TrafficRequest,
    ValidationRequest,
)
from gateway.edge.control_schemas import DecisionView, GateView, ValidationView
from gateway.edge.control_views import decision_view

_REVISION = re.compile(r'(?:W/)?"?(\d{1,18})"?')
_NO_WORDS = SignalRequest()
_NO_VIEW = ApprovalRequest()
_NO_WORDS_BACK = RollbackRequest()
_TO_CANARY = ShadowPromotion()

IfMatch = Annotated[str | None, Header(description="The revision it was made for, as in the ETag.")]

router = APIRouter(
    prefix="/admin/deployments/{deployment}",
    tags=["operating"],
    responses=schemas.problems([400, 401, 403, 404, 413, 415, 422, 429, 503]),
)


@router.put("/traffic", responses=schemas.problems([409, 412, 428]))
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


@router.post("/canary", status_code=201, responses=schemas.problems([409]))
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


@router.post("/validate")
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


@router.post("/shadows", status_code=201)
async def add_shadow(plane: Plane, who: Who, deployment: str, body: ShadowRequest) -> DecisionView:
    """Let another model watch. What labels decide is judged on the requests that it and stable answered."""
    await plane.run(lambda: plane.control.read(deployment))
    prepared = await plane.prepare(deployment, body.model)
    return await _decided(
        plane,
        lambda: plane.control.trials.add(
            deployment,
            prepared.model,
            prepared.features,
            name=body.name,
            rate=body.rate,
            actor=who,
            reason=_why(who, body.reason),
        ),
    )


@router.delete("/shadows/{name}")
async def remove_shadow(plane: Plane, who: Who, deployment: str, name: Name, reason: Reason = "") -> DecisionView:
    """Let a shadow go."""
    return await _decided(
        plane, lambda: plane.control.trials.remove(deployment, name, actor=who, reason=_why(who, reason))
    )


@router.post("/shadows/{name}/promote", status_code=201, responses=schemas.problems([409, 412]))
async def promote_shadow(
    plane: Plane,
    who: Who,
    deployment: str,
    name: Name,
    body: ShadowPromotion = _TO_CANARY,
    if_match: IfMatch = None,
) -> DecisionView:
    """Make a canary, or stable, of a shadow that pairs have shown to be safe. Its model is held to the gate first."""
    seen = _seen(if_match)
    trial = await plane.run(lambda: plane.control.trials.shown(deployment, name, seen))
    prepared = await plane.prepare(deployment, trial.model.uri)
    evidence = await _vetted(plane, who, deployment, prepared)
    return await _decided(
        plane,
        lambda: plane.control.trials.promote(
            deployment,
            name,
            body.rise(),
            prepared.model,
            prepared.features,
            actor=who,
            reason=body.reason,
            evidence=evidence,
            expected=seen,
        ),
    )


@router.post("/approve")
async def approve(plane: Plane, who: Who, deployment: str, body: ApprovalRequest = _NO_VIEW) -> DecisionView:
    """Say, by name, that a candidate's model may rise, or that a model may be started. A policy may ask for it."""
    await plane.run(lambda: plane.control.read(deployment))
    card = None if body.model is None else (await plane.prepare(deployment, body.model)).model
    say = partial(plane.control.approve, deployment, actor=who, reason=_why(who, body.reason))
    return await _decided(plane, lambda: say(candidate=body.candidate, model=card))


@router.post("/promote", responses=schemas.problems([409, 412]))
async def promote(
    plane: Plane, who: Who, deployment: str, body: SignalRequest = _NO_WORDS, if_match: IfMatch = None
) -> DecisionView:
    """Make a candidate stable, on the operator's word."""
    return await _signal(plane, who, deployment, Signal.PROMOTE, body, if_match)


@router.post("/demote", responses=schemas.problems([409, 412]))
async def demote(
    plane: Plane, who: Who, deployment: str, body: SignalRequest = _NO_WORDS, if_match: IfMatch = None
) -> DecisionView:
    """Take all traffic from a candidate, for good: only a new rollout brings it back."""
    return await _signal(plane, who, deployment, Signal.DEMOTE, body, if_match)


@router.post("/pause", responses=schemas.problems([409, 412]))
async def pause(
    plane: Plane, who: Who, deployment: str, body: SignalRequest = _NO_WORDS, if_match: IfMatch = None
) -> DecisionView:
    """Hold a rollout where it is. The judge goes on and may still demote."""
    return await _signal(plane, who, deployment, Signal.PAUSE, body, if_match)


@router.post("/resume", responses=schemas.problems([409, 412]))
async def resume(
    plane: Plane, who: Who, deployment: str, body: SignalRequest = _NO_WORDS, if_match: IfMatch = None
) -> DecisionView:
    """Let a rollout go on: back to its step, or to the next one where it waited for approval."""
    return await _signal(plane, who, deployment, Signal.RESUME, body, if_match)


@router.post("/rollback", responses=schemas.problems([409, 412]))
async def rollback(
    plane: Plane, who: Who, deployment: str, body: RollbackRequest = _NO_WORDS_BACK, if_match: IfMatch = None
) -> DecisionView:
    """Return to a former stable in one step; those of the window are warm on every worker."""
    back = partial(plane.control.rollback, deployment, actor=who, reason=_why(who, body.reason), to=body.to)
    seen = _seen(if_match)
    return await _decided(plane, lambda: back(expected=seen))


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
