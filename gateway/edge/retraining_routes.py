"""The doors to retraining runs: see them, ask for one, and say how one ended. They translate and decide nothing."""

from typing import Any

from fastapi import APIRouter, Response

from gateway.edge import schemas
from gateway.edge.control_parts import Plane, Who
from gateway.edge.control_requests import RetrainingRequest, RunEndRequest, RunResult
from gateway.edge.control_retraining import RetrainingView, RunView, retraining_view

router = APIRouter(prefix="/admin/deployments/{deployment}/retraining")
_PROBLEMS = schemas.problems([400, 401, 403, 404, 409, 413, 415, 422, 429, 503])
_KNOWN: dict[int | str, dict[str, Any]] = {200: {"model": RunView, "description": "The wish was made before."}}


@router.get("", tags=["reading"], responses=schemas.problems([401, 403, 404, 422, 429, 503]))
async def retraining(plane: Plane, deployment: str) -> RetrainingView:
    """Who trains the model again, on which causes, and every run that is kept."""
    terms, kept = await plane.run(lambda: plane.runs.read(deployment))
    return retraining_view(deployment, terms, kept)


@router.post("", status_code=201, tags=["operating"], responses={**_KNOWN, **_PROBLEMS})
async def ask(plane: Plane, who: Who, deployment: str, body: RetrainingRequest, response: Response) -> RunView:
    """Have the model trained again. 200 for a wish that was made before; one run at a time."""
    reason = body.reason or f"asked for by {who}, who gave no reason"
    run, new = await plane.run(lambda: plane.runs.ask(deployment, body.key, actor=who, reason=reason))
    response.status_code = 201 if new else 200
    return RunView.model_validate(run)


@router.post("/{run_id}/end", tags=["operating"], responses=_PROBLEMS)
async def end(plane: Plane, who: Who, deployment: str, run_id: str, body: RunEndRequest) -> RunView:
    """Say how a run ended: for the server that carried it out. Said twice, it counts once."""
    succeeded = body.result is RunResult.SUCCEEDED
    told = await plane.run(
        lambda: plane.runs.told(deployment, run_id, actor=who, succeeded=succeeded, said=body.said, link=body.link)
    )
    return RunView.model_validate(told)
