"""Errors as they leave the house: RFC 9457 problem details, one table for both planes.

``TABLE`` gives every class of :mod:`gateway.core.errors` its status, type and title (a test fails until a new error
has its row); ``install`` hands an app the handlers. Below ``/v2`` each also carries ``error``, where clients of the
Open Inference Protocol look for it. Nothing here echoes what the caller sent.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.core import errors
from gateway.core.errors import GatewayError, Problem

MEDIA_TYPE = "application/problem+json"
MAX_LISTED = 32
"""At most this many places of a bad body are listed; a hostile body must not buy a large answer."""
_INFERENCE = "/v2"
_SPOKEN = 3
"""So many of them are repeated in ``error``."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the world is told about one class of error: status code, ``type`` and ``title``."""

    status: int
    type: str
    title: str


TABLE: dict[type[GatewayError], Row] = {
    errors.GatewayError: Row(500, "internal-error", "The gateway failed"),
    errors.BadRequest: Row(400, "bad-request", "The request does not fit"),
    errors.InvalidBody: Row(422, "invalid-body", "The body does not fit"),
    errors.UnknownDeployment: Row(404, "unknown-deployment", "No such deployment"),
    errors.UnknownVariant: Row(422, "unknown-variant", "No such variant"),
    errors.UnknownPrediction: Row(404, "unknown-prediction", "No such prediction"),
    errors.UnknownRun: Row(404, "unknown-run", "No such retraining run"),
    errors.ForcingForbidden: Row(403, "forcing-forbidden", "Variants cannot be forced here"),
    errors.Unserviceable: Row(503, "unserviceable", "The gateway cannot answer now"),
    errors.NoModelReady: Row(503, "no-model-ready", "No model is ready"),
    errors.FeaturesUnavailable: Row(503, "features-unavailable", "Required features are not to be had"),
    errors.LogRefused: Row(503, "log-refused", "The answer could not be remembered"),
    errors.Overloaded: Row(503, "overloaded", "Too much is under way"),
    errors.StoreUnavailable: Row(503, "store-unavailable", "The store cannot be reached"),
    errors.EvidenceUnreadable: Row(503, "evidence-unreadable", "The judge's memory of a candidate cannot be read"),
    errors.NotLeading: Row(503, "not-leading", "Another host leads now"),
    errors.OutboundRefused: Row(503, "outbound-refused", "Another server does not answer as it should"),
    errors.TargetFailed: Row(503, "target-failed", "The retraining target failed"),
    errors.PolicyPending: Row(503, "policy-pending", "The policy has not answered yet"),
    errors.LakeUnavailable: Row(503, "lake-unavailable", "The export cannot be written"),
    errors.ReportFailed: Row(503, "report-failed", "The report could not be made"),
    errors.ModelFailed: Row(500, "model-failed", "The model failed"),
    errors.DeadlinePassed: Row(504, "deadline-passed", "The deadline passed"),
    errors.ControlError: Row(409, "control-conflict", "The change cannot be made"),
    errors.InvalidTransition: Row(409, "invalid-transition", "The rollout does not take that signal"),
    errors.RevisionConflict: Row(412, "revision-conflict", "The deployment has moved on"),
    errors.RevisionRequired: Row(428, "revision-required", "A revision has to be named"),
    errors.CandidateRunning: Row(409, "candidate-running", "The candidate is already running"),
    errors.CandidateLatched: Row(409, "candidate-latched", "The candidate was demoted"),
    errors.Unmeasurable: Row(422, "unmeasurable", "A guardrail cannot be measured"),
    errors.PolicyDenied: Row(403, "policy-denied", "The policy has something against it"),
    errors.NotReplayable: Row(409, "not-replayable", "The decision cannot be computed again"),
    errors.Quarantined: Row(409, "quarantined", "The model has to stay out for a while yet"),
    errors.Postponed: Row(409, "postponed", "Nothing may start now"),
    errors.NoTarget: Row(409, "no-target", "Nobody would train the model again"),
    errors.RunUnderWay: Row(409, "run-under-way", "A retraining run has not ended yet"),
    errors.GateRefused: Row(422, "gate-refused", "The model did not pass the validation gate"),
    errors.RegistryUnavailable: Row(503, "registry-unavailable", "The registry cannot be reached"),
    errors.ModelUnusable: Row(422, "model-unusable", "The model cannot be used"),
    errors.PlanImpossible: Row(422, "plan-impossible", "The features cannot be read"),
    errors.NothingToCompare: Row(422, "nothing-to-compare", "There is nothing to compare"),
    errors.ExtraMissing: Row(501, "extra-missing", "A part of the gateway is not installed"),
    errors.SettingsError: Row(422, "settings-error", "The configuration does not make sense"),
}

PROTOCOL: dict[int, str] = {
    400: "malformed-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "body-too-slow",
    413: "body-too-large",
    415: "unsupported-media-type",
    422: "invalid-body",
    429: "rate-limited",
    431: "headers-too-large",
}
"""``type`` of what is wrong with the HTTP around a request, by status code."""

_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_OPEN = frozenset({"weights", "shadows"})
"""Objects whose members are named by the caller: a pointer ends there, for it would repeat what was sent."""


def row_of(error: GatewayError) -> Row:
    """Find the row of the error's class, or of the nearest class above it."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def problem(
    row: Row,
    detail: str,
    places: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, str] | None = None,
) -> Response:
    """Write one problem as a response; ``places`` become its ``errors``, ``members`` stand beside."""
    body: dict[str, object] = {"type": row.type, "title": row.title, "status": row.status, "detail": detail}
    if places:
        body["errors"] = [{"pointer": place.pointer, "detail": place.detail} for place in places[:MAX_LISTED]]
    return Response(msgspec.json.encode(body | dict(members or {})), row.status, headers, MEDIA_TYPE)


def not_ready(reason: str, path: str = "") -> Response:
    """Say on a probe why traffic should stay away."""
    row = Row(503, "not-ready", "Not ready for traffic")
    return _spoken(problem(row, reason, headers={"Retry-After": "1"}), path)


def explain(error: GatewayError) -> Response:
    """Turn an error of ours into the response that says so, with ``Retry-After`` where trying again may help."""
    headers = members = None
    if isinstance(error, errors.Unserviceable):
        headers = {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
    if isinstance(error, errors.InvalidTransition):
        members = {"phase": error.phase, "signal": error.signal}
    places = error.problems if isinstance(error, errors.InvalidBody) else ()
    return problem(row_of(error), str(error), places, headers, members)


def respond(error: Exception, path: str = "") -> Response:
    """Turn any error into the response to a path: ours, what is wrong with the HTTP, and the unforeseen."""
    return _spoken(_told(error), path)


def _told(error: Exception) -> Response:
    if isinstance(error, GatewayError):
        return explain(error)
    if isinstance(error, HTTPException):
        title = HTTPStatus(error.status_code).phrase
        row = Row(error.status_code, PROTOCOL.get(error.status_code, "http-error"), title)
        return problem(row, str(error.detail), headers=error.headers)
    return problem(TABLE[GatewayError], "Something went wrong here; it is in the gateway's log.")


def _spoken(response: Response, path: str) -> Response:
    """The same problem in the words of the protocol that the path belongs to."""
    if path != _INFERENCE and not path.startswith(f"{_INFERENCE}/"):
        return response
    told = msgspec.json.decode(response.body)
    places = "".join(f" {place['pointer']}: {place['detail']}" for place in told.get("errors", ())[:_SPOKEN])
    content = msgspec.json.encode(told | {"error": told["detail"] + places})
    kept = {name: value for name, value in response.headers.items() if name not in ("content-length", "content-type")}
    return Response(content, response.status_code, kept, MEDIA_TYPE)


def pointer(location: Sequence[int | str]) -> str:
    """Write a place as an RFC 6901 pointer, as deep as its names are ours and not the caller's own text.

    >>> pointer(["guardrails", 0, "metric"]), pointer(["weights", "canary"]), pointer(["<script>", "x"])
    ('/guardrails/0/metric', '/weights', '')
    """
    steps: list[str] = []
    for step in map(str, location):
        if not _PLAIN.fullmatch(step):
            break
        steps.append(f"/{step}")
        if step in _OPEN:
            break
    return "".join(steps)


def install(app: FastAPI) -> None:
    """Let every error of ``app`` leave as problem details: ours, Starlette's, FastAPI's, and the unforeseen."""

    @app.exception_handler(GatewayError)
    async def ours(request: Request, error: GatewayError) -> Response:
        return respond(error, request.scope["path"])

    @app.exception_handler(HTTPException)
    async def protocol(request: Request, error: HTTPException) -> Response:
        return respond(error, request.scope["path"])

    @app.exception_handler(RequestValidationError)
    async def shape(_: Request, error: RequestValidationError) -> Response:
        if any(item["type"] == "json_invalid" for item in error.errors()):
            return problem(Row(400, PROTOCOL[400], HTTPStatus(400).phrase), "The body is not JSON.")
        places = [_place(item["loc"], item["type"], item["msg"]) for item in error.errors()[:MAX_LISTED]]
        return problem(TABLE[errors.InvalidBody], "The request does not fit this route.", places)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        return respond(error, request.scope["path"])


def _place(location: Sequence[int | str], kind: str, message: str) -> Problem:
    inside = list(location[1:]) if location and location[0] == "body" else list(location)
    if kind == "extra_forbidden":  # the last step is a name that the caller made up
        inside = inside[:-1]
        message = "A member is sent here that this route does not take."
    return Problem(pointer(inside), message.removeprefix("Value error, "))
