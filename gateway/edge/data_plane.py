"""The door of the data plane: it translates HTTP into the stories of a prediction and an outcome, and decides nothing.

Probes touch neither a database nor a registry. Predictions and outcomes have a lane each, so that neither can crowd
the other out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from gateway.core.access import LOCAL, Principal
from gateway.edge import api_docs, problems, schemas
from gateway.edge.bodies import deadline_s, decode, event_time, read_json
from gateway.edge.doors import DATA_DOORS, Doors
from gateway.edge.hot import HotApp, HotRoute
from gateway.edge.lanes import AdaptiveLane, Lane
from gateway.edge.locks import Locked, Locks, principal_of
from gateway.edge.protocols import inference, scoring
from gateway.edge.protocols import schemas as protocol_schemas
from gateway.edge.protocols.behind import Behind
from gateway.edge.protocols.frames import Offer
from gateway.edge.said import said
from gateway.edge.turns import Turns
from gateway.feedback import Feedback, Receipt
from gateway.passage import Answer
from gateway.ports import Clock
from gateway.predict import Ask, Predict

MIB = 2**20
JSON = "application/json"
_PREDICTS = frozenset({"predict"})


def always_ready() -> str | None:
    """Never find a reason to stay out of the balancer's rotation."""
    return None


@dataclass(frozen=True, slots=True)
class DataPlane:
    """What the door opens onto, and its limits: bytes, requests under way, seconds for a body to arrive.

    ``ready`` says why traffic should stay away, or None. ``replay`` takes data time from ``X-Event-Time``. Without
    ``locks`` everybody may do everything. ``lane`` is the predictions' one (None: one of its own, of at most
    ``max_concurrency`` places).
    """

    predict: Predict
    feedback: Feedback
    clock: Clock
    ready: Callable[[], str | None] = always_ready
    locks: Locks | None = None
    replay: bool = False
    max_body: int = MIB
    max_feedback_body: int = 8 * MIB
    max_concurrency: int = 256
    body_patience_s: float = 10.0
    lane: AdaptiveLane | None = None


def create_app(plane: DataPlane) -> HotApp:
    """Build the data plane's app."""
    app = HotApp(
        title="Gateway, data plane",
        version="1",
        description="Predictions and their outcomes. Errors are RFC 9457 problem details; none repeats what was sent.",
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    api_docs.install(app)
    problems.install(app)
    if plane.locks is not None:
        app.add_middleware(Locked, locks=plane.locks, doors=Doors(DATA_DOORS))
    lane = plane.lane or AdaptiveLane(plane.max_concurrency)
    _predictions(app, plane, lane)
    _protocols(app, plane, lane)
    _outcomes(app, plane)
    _probes(app, plane)
    schemas.document(app, (*schemas.MODELS, *protocol_schemas.MODELS))
    return app


def _predictions(app: HotApp, plane: DataPlane, lane: AdaptiveLane) -> None:
    docs = _predict_docs(plane)

    async def say(arrived: float, asked: Callable[[], Ask]) -> bytes:
        lane.enter()
        answered = False
        try:
            ask = asked()
            answers = [said(each) for each in await plane.predict(ask)]
            answered = True
        finally:
            lane.leave(arrived, plane.clock.machine(), answered=answered)
        batch = isinstance(ask.body, dict) and "instances" in ask.body
        return msgspec.json.encode({"predictions": answers} if batch else answers[0])

    async def answer(request: Request, deployment: str | None) -> Response:
        arrived = plane.clock.machine()
        principal = principal_of(request.scope)
        body = await read_json(request, plane.max_body, plane.body_patience_s)
        answered = await say(arrived, lambda: _ask(plane, principal, request, body, deployment, arrived))
        return Response(answered, media_type=JSON)

    async def answer_plain(principal: Principal, raw: bytes, deployment: str | None) -> bytes:
        arrived = plane.clock.machine()
        return await say(arrived, lambda: Ask(decode(raw), arrived, deployment, principal.name, deadline_s=math.inf))

    def admit(scope: Scope) -> Principal:
        return LOCAL if plane.locks is None else plane.locks.admit(scope, _PREDICTS)

    app.hot = HotRoute(answer_plain, plane.max_body, plane.body_patience_s, admit)
    app.turns = Turns(plane.predict, plane.clock, lane, admit, plane.max_body, plane.body_patience_s)

    @app.post("/predict", summary="Predict with the default deployment", **docs)
    async def predict(request: Request) -> Response:
        return await answer(request, None)

    @app.post("/predict/{deployment}", summary="Predict with the named deployment", **docs)
    async def predict_with(request: Request, deployment: str) -> Response:
        return await answer(request, deployment)


def _protocols(app: FastAPI, plane: DataPlane, lane: AdaptiveLane) -> None:
    """Let other protocols tell the same story, through the same lane."""

    def offer(deployment: str | None) -> Offer:
        return Offer(*plane.predict.offer(deployment))

    async def tell(
        request: Request, arrived: float, body: object, deployment: str, variant: str | None
    ) -> list[Answer]:
        lane.enter()
        answered = False
        try:
            ask = _ask(plane, principal_of(request.scope), request, body, deployment, arrived, variant)
            answers = await plane.predict(ask)
            answered = True
        finally:
            lane.leave(arrived, plane.clock.machine(), answered=answered)
        return answers

    behind = Behind(plane.clock, offer, tell, plane.ready, plane.max_body, plane.body_patience_s)
    headers = _predict_headers(plane)
    scoring.install(app, behind, headers)
    inference.install(app, behind, headers)
    for route in list(app.routes):  # their probes are asked by HEAD too, as ours are
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            app.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)


def _outcomes(app: FastAPI, plane: DataPlane) -> None:
    lane = Lane(plane.max_concurrency)

    @app.post("/feedback", status_code=202, summary="Tell the truth about predictions", **_FEEDBACK_DOCS)
    async def feedback(request: Request) -> Response:
        body = await read_json(request, plane.max_feedback_body, plane.body_patience_s)
        with lane.enter():
            receipt = await plane.feedback(body)
        return _received(receipt)


def _probes(app: FastAPI, plane: DataPlane) -> None:
    async def livez() -> Response:
        """Answer, which proves that the event loop turns."""
        return _json({"status": "alive"})

    async def readyz() -> Response:
        """Say whether traffic is welcome: stable is loaded, and the worker is not on its way out."""
        reason = plane.ready()
        if reason is not None:
            return problems.not_ready(reason)
        return _json({"status": "ready"})

    alive = schemas.gives(schemas.Alive, description="Yes")
    app.get("/livez", summary="Alive?", responses={200: alive})(livez)
    app.get("/readyz", summary="Ready for traffic?", responses={200: alive, **schemas.problems([503])})(readyz)
    for path, probe in (("/livez", livez), ("/readyz", readyz)):
        app.head(path, include_in_schema=False)(probe)


def _ask(
    plane: DataPlane,
    principal: Principal,
    request: Request,
    body: object,
    deployment: str | None,
    arrived: float,
    version: str | None = None,
) -> Ask:
    """Read the headers; ``version`` is the variant whose model version the path names, which forces it likewise."""
    headers, debug = request.headers, "debug" in principal.scopes
    at, variant = headers.get("x-event-time"), headers.get("x-variant") if version is None else version
    if at is not None and not plane.replay:
        raise HTTPException(400, "X-Event-Time is taken under clock: replay only.")
    if variant is not None and not debug:
        raise HTTPException(403, "X-Variant, or a version in the path, needs the debug scope.")
    return Ask(
        body,
        arrived,
        deployment,
        principal.name,
        variant,
        None if at is None else event_time(at),
        deadline_s(headers.get("x-deadline-ms")),
        debug and headers.get("x-explain") == "1",
    )


def _received(receipt: Receipt) -> Response:
    """Write a receipt: 202 when anything was accepted, else the same as a problem."""
    rejected = [{"index": one.index, "detail": one.detail} for one in receipt.rejected]
    written: dict[str, object] = {"accepted": receipt.accepted, "rejected": rejected}
    if receipt.accepted:
        return _json(written, 202)
    problem = {
        "type": "nothing-accepted",
        "title": "No outcome was accepted",
        "status": 422,
        "detail": "No outcome was taken; why stands beside each one under rejected.",
    }
    return _json(problem | written, 422, problems.MEDIA_TYPE)


def _json(content: object, status: int = 200, media_type: str = JSON) -> Response:
    return Response(msgspec.json.encode(content), status, media_type=media_type)


def _predict_headers(plane: DataPlane) -> list[dict[str, Any]]:
    deadline = "Bounds the whole request, in milliseconds."
    variant = "Forces a variant, where the deployment allows it; such a request is never evidence."
    then = "Data time: RFC 3339 with its zone, or seconds since the Unix epoch."
    headers = [
        schemas.header("X-Deadline-Ms", deadline, 250, type="integer", minimum=0, maximum=999_999_999),
        schemas.header("X-Variant", variant, "canary", type="string"),
        schemas.header("X-Explain", "`1` adds `explain` to the answer.", "1", type="string"),
    ]
    if plane.replay:
        headers.append(schemas.header("X-Event-Time", then, "2026-11-23T21:00:00Z", type="string"))
    return headers


def _predict_docs(plane: DataPlane) -> dict[str, Any]:
    return {
        "response_class": Response,
        "tags": ["predictions"],
        "responses": {
            200: schemas.gives(schemas.Prediction, schemas.Predictions, description="The answer, remembered"),
            **schemas.problems([400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504]),
        },
        "openapi_extra": schemas.takes(schemas.Instance, schemas.Batch) | {"parameters": _predict_headers(plane)},
    }


_FEEDBACK_DOCS: dict[str, Any] = {
    "response_class": Response,
    "tags": ["outcomes"],
    "responses": {
        202: schemas.gives(schemas.Received, description="On disk, as far as accepted"),
        **schemas.problems([400, 401, 403, 408, 413, 415, 422, 429, 503]),
    },
    "openapi_extra": schemas.takes(schemas.Outcome, schemas.Outcomes),
}
