"""The routes of the Open Inference Protocol v2. They translate; the story is that of ``/predict``.

A model of the protocol is a deployment. Its versions are those of the variants' models; naming one in the path forces
that variant, under the rules of ``X-Variant``. Problems carry the member ``error``, which the protocol's clients read
(:mod:`gateway.edge.problems`).
"""

from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway import __version__
from gateway.core.errors import InvalidBody
from gateway.edge import problems, schemas
from gateway.edge.bodies import decode
from gateway.edge.protocols import oip
from gateway.edge.protocols.behind import Behind
from gateway.edge.protocols.frames import Offer
from gateway.edge.protocols.schemas import InferRequest, InferResponse, ModelMetadata, ServerMetadata

_TAGS = ["Open Inference Protocol"]
_JSON, _BYTES = "application/json", "application/octet-stream"
_LENGTH = "Inference-Header-Content-Length"


def install(app: FastAPI, behind: Behind, headers: list[dict[str, Any]]) -> None:
    """Add the routes to an app; ``headers`` describes those that every prediction takes."""
    _server(app, behind)
    _models(app, behind)
    _infer(app, behind, headers)


def _server(app: FastAPI, behind: Behind) -> None:
    alive = schemas.gives(schemas.Alive, description="Yes")
    about: dict[str, Any] = {"tags": _TAGS, "response_class": Response}

    itself = {200: schemas.gives(ServerMetadata, description="It"), **schemas.problems([401, 429])}

    @app.get("/v2", summary="This server", responses=itself, **about)
    async def server() -> Response:
        return _said({"name": "gateway", "version": __version__, "extensions": [oip.BINARY]})

    @app.get("/v2/health/live", summary="Alive?", responses={200: alive}, **about)
    async def live() -> Response:
        return _said({"status": "alive"})

    @app.get("/v2/health/ready", summary="Ready?", responses={200: alive, **schemas.problems([503])}, **about)
    async def ready() -> Response:
        return _ready(behind.ready())


def _models(app: FastAPI, behind: Behind) -> None:
    refused = schemas.problems([401, 403, 404, 429, 503])
    described = {200: schemas.gives(ModelMetadata, description="The deployment"), **refused}
    alive = {200: schemas.gives(schemas.Alive, description="Yes"), **refused}

    def about(responses: dict[int | str, dict[str, Any]], *names: str) -> dict[str, Any]:
        """Describe a route whose names in the path any text may be, so that none is ever refused as such."""
        named = [{"name": each, "in": "path", "required": True, "schema": {"type": "string"}} for each in names]
        extra = {"parameters": named}
        return {"tags": _TAGS, "response_class": Response, "responses": responses, "openapi_extra": extra}

    one, both = ("deployment",), ("deployment", "version")

    @app.get("/v2/models/{deployment}", summary="What a deployment takes and gives", **about(described, *one))
    async def model(request: Request) -> Response:
        return _said(oip.metadata(behind.offer(request.path_params["deployment"])))

    @app.get("/v2/models/{deployment}/ready", summary="Is the deployment ready?", **about(alive, *one))
    async def model_ready(request: Request) -> Response:
        behind.offer(request.path_params["deployment"])
        return _ready(behind.ready())

    path = "/v2/models/{deployment}/versions/{version}"

    @app.get(path, summary="The same, where a variant has this version", **about(described, *both))
    async def version_of(request: Request) -> Response:
        offer = behind.offer(request.path_params["deployment"])
        _variant(offer, request.path_params["version"])
        return _said(oip.metadata(offer))

    @app.get(f"{path}/ready", summary="Is this version ready?", **about(alive, *both))
    async def version_ready(request: Request) -> Response:
        offer = behind.offer(request.path_params["deployment"])
        name = _variant(offer, request.path_params["version"])
        waits = name != offer.table.stable.name and name not in offer.able
        return _ready("This version takes no traffic on this worker now." if waits else behind.ready())


def _infer(app: FastAPI, behind: Behind, headers: list[dict[str, Any]]) -> None:
    async def answer(request: Request, deployment: str, version: str | None) -> Response:
        arrived, raw = await behind.read(request, _BYTES, "")
        asked, binary = _parted(raw, request.headers.get(_LENGTH))
        offer = behind.offer(deployment)
        variant = None if version is None else _variant(offer, version)
        frame = oip.frame(offer, asked, binary)
        try:
            answers = await behind.tell(request, arrived, frame.body(offer.layout), deployment, variant)
        except InvalidBody as error:
            raise frame.pointing(error) from None
        columns = oip.outputs_of(offer, answers)
        versions = {each.model_version for each in answers}
        head, following = oip.answer(asked, deployment, versions.pop() if len(versions) == 1 else None, columns)
        return _said(head, following)

    statuses = [400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504]
    answered = schemas.gives(InferResponse, description="A prediction per row; each is remembered on its own")
    answered["content"][_BYTES] = {"schema": {"type": "string", "format": "binary"}}
    binary = schemas.header(_LENGTH, "Bytes of JSON before those of the tensors.", 128, type="integer", minimum=0)
    docs: dict[str, Any] = {
        "response_class": Response,
        "tags": _TAGS,
        "responses": {200: answered, **schemas.problems(statuses)},
        "openapi_extra": schemas.takes(InferRequest) | {"parameters": [*headers, binary]},
    }

    @app.post("/v2/models/{deployment}/infer", summary="Predict with a deployment", **docs)
    async def infer(request: Request, deployment: str) -> Response:
        return await answer(request, deployment, None)

    @app.post("/v2/models/{deployment}/versions/{version}/infer", summary="Force the variant of a version", **docs)
    async def infer_version(request: Request, deployment: str, version: str) -> Response:
        return await answer(request, deployment, version)


def _parted(raw: bytes, length: str | None) -> tuple[oip.Infer, bytes]:
    """Read the JSON of a body, and what follows it. Raises HTTPException 400, InvalidBody."""
    if length is None:
        return oip.read(decode(raw)), b""
    if not (length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= len(raw)):
        raise HTTPException(400, f"{_LENGTH} must be the number of bytes of JSON, at most those of the body.")
    return oip.read(decode(raw[: int(length)])), raw[int(length) :]


def _variant(offer: Offer, version: str) -> str:
    name = oip.variant_of(offer, version)
    if name is None:
        raise HTTPException(404, "No variant of this deployment has that version.")
    return name


def _ready(reason: str | None) -> Response:
    return _said({"status": "ready"}) if reason is None else problems.not_ready(reason, "/v2")


def _said(head: object, following: bytes = b"") -> Response:
    content = msgspec.json.encode(head)
    if not following:
        return Response(content, media_type=_JSON)
    return Response(content + following, headers={_LENGTH: str(len(content))}, media_type=_BYTES)
