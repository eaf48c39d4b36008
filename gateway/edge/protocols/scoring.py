"""The routes of MLflow's scoring protocol. They translate; the story is that of ``/predict``."""

from enum import Enum
from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway import __version__
from gateway.core.errors import InvalidBody
from gateway.edge import problems, schemas
from gateway.edge.bodies import decode, media_type
from gateway.edge.protocols import mlflow
from gateway.edge.protocols.behind import Behind
from gateway.edge.protocols.schemas import Invocation, Invoked
from gateway.edge.said import said

CSV = "text/csv"
_TAGS: list[str | Enum] = ["MLflow's scoring protocol"]


def install(app: FastAPI, behind: Behind, headers: list[dict[str, Any]]) -> None:
    """Add the routes to an app; ``headers`` describes those that every prediction takes."""
    _invocations(app, behind, headers)

    async def ping() -> Response:
        """Say what ``/readyz`` says."""
        reason = behind.ready()
        return problems.not_ready(reason) if reason else Response(b'{"status":"ready"}', media_type="application/json")

    alive = schemas.gives(schemas.Alive, description="Yes")
    for path in ("/ping", "/health"):
        responses = {200: alive, **schemas.problems([503])}
        app.get(path, summary="Ready, as MLflow asks it", tags=_TAGS, responses=responses)(ping)

    refused = schemas.problems([401, 429])

    @app.get(
        "/version", summary="Version of this gateway", tags=_TAGS, response_class=PlainTextResponse, responses=refused
    )
    async def version() -> PlainTextResponse:
        return PlainTextResponse(__version__)


def _invocations(app: FastAPI, behind: Behind, headers: list[dict[str, Any]]) -> None:
    async def answer(request: Request, deployment: str | None) -> Response:
        arrived, raw = await behind.read(request, CSV)
        offer = behind.offer(deployment)
        if media_type(request.headers.get("content-type", "")) == CSV:
            frame = mlflow.read_csv(offer, raw)
        else:
            frame = mlflow.read(offer, _decoded(raw))
        try:
            answers = await behind.tell(request, arrived, frame.body(offer.layout), offer.table.deployment, None)
        except InvalidBody as error:
            raise frame.pointing(error) from None
        details = [said(each) for each in answers]
        predictions = [each.prediction for each in details]
        content = msgspec.json.encode({"predictions": predictions, "details": details})
        return Response(content, media_type="application/json")

    docs: dict[str, Any] = {
        "response_class": Response,
        "tags": _TAGS,
        "responses": {
            200: schemas.gives(Invoked, description="A prediction per row, each remembered on its own"),
            **schemas.problems([400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504]),
        },
        "openapi_extra": schemas.takes(Invocation) | {"parameters": headers},
    }

    @app.post("/invocations", summary="Score rows with the default deployment", **docs)
    async def invocations(request: Request) -> Response:
        return await answer(request, None)

    @app.post("/invocations/{deployment}", summary="Score rows with the named deployment", **docs)
    async def invocations_of(request: Request, deployment: str) -> Response:
        return await answer(request, deployment)


def _decoded(raw: bytes) -> object:
    """Decode JSON; NaN, which is none, is a gap here and costs a second reading."""
    if b"NaN" not in raw:
        return decode(raw)
    try:
        return mlflow.decode_gaps(raw)
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not JSON.") from None
