"""The words of the data plane, for OpenAPI: what is said and answered, with examples.

Documentation only. Bodies are checked by :mod:`gateway.core.inputs` and :mod:`gateway.core.outcomes`, which know what
each deployment takes; a test holds the two together.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from gateway.core.inputs import MAX_INSTANCES, MAX_REQUEST_ID, MAX_TEXT
from gateway.core.outcomes import MAX_ITEMS, MAX_SOURCE
from gateway.edge.problems import MEDIA_TYPE, PROTOCOL

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Value = bool | int | float | Text | None
_PROBLEM: dict[str, Any] = {
    "type": "invalid-body",
    "title": "The body does not fit",
    "status": 422,
    "detail": "The body does not fit.",
    "errors": [{"pointer": "/entities/carrier", "detail": "Is missing."}],
}
_ID = "k1.fd.Wm3xQ0yXTl2fYw5o0dQ8Cg.8c1fTq2mR3sVbW4x"


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Instance(_Said):
    """One request for one prediction."""

    entities: dict[str, Value] = Field(default={}, examples=[{"carrier": "UA", "tailnum": "N14228"}])
    """Feast's join keys, by name."""
    features: dict[str, Value] = Field(default={}, examples=[{"sched_dep_hour": 17, "distance": 1400}])
    """Features that only the request can know, by name. An optional one may be left out or null."""
    routing_key: Text | None = Field(default=None, examples=["user-42"])
    """For sticky deployments that do not draw by an entity; elsewhere 422."""
    request_id: str | None = Field(default=None, min_length=1, max_length=MAX_REQUEST_ID, pattern=r"^[ -~]+$")
    """The same id again gets the same ``prediction_id``; the first record is judged, once."""


class Batch(_Said):
    """Many requests at once, each routed and remembered on its own."""

    instances: list[Instance] = Field(min_length=1, max_length=MAX_INSTANCES)
    """Answered in the same order. One that does not fit spoils the batch, and nothing is predicted."""


class Explain(_Said):
    """How an answer came about (``X-Explain: 1``). Arm fields are left out where the deployment is blind."""

    variant: str | None = None
    """The variant that answered."""
    model_version: str | None = None
    """Its model's version."""
    propensity: dict[str, float] | None = None
    """Probability with which each variant could have been drawn."""
    features: dict[str, Value]
    """Every value the models were offered, after fallbacks."""
    feature_ages_s: dict[str, float]
    """Age of each stored feature, in seconds of data time."""
    timings_ms: dict[str, float]
    """Machine time by part, in milliseconds."""


class Prediction(_Said):
    """An answer, and the id under which its outcome may be told."""

    prediction_id: str = Field(examples=[_ID])
    """Opaque and unforgeable."""
    deployment: str = Field(examples=["flight-delay"])
    """Who was asked."""
    prediction: bool | int | float | str | dict[str, float] | None = Field(examples=[1])
    """The model's output: a label or a number, or numbers by name of a model with several."""
    score: float | None = Field(default=None, examples=[0.83])
    """Probability of the positive class; binary classifiers only."""
    scores: dict[str, float] | None = None
    """Probability of each class; multi-class classifiers only."""
    variant: str | None = Field(default=None, examples=["canary"])
    """Who answered. Left out where the deployment is blind."""
    model_version: str | None = Field(default=None, examples=["7"])
    """Which model. Left out where the deployment is blind."""
    fallback: bool | None = None
    """True when stable answered for a canary that failed or ran out of time."""
    degraded: list[str]
    """Features that were missing or stale and were served by their declared fallback."""
    logged: bool
    """False only when the log refused the record and the deployment says ``when_log_fails: serve``."""
    explain: Explain | None = None
    """With ``X-Explain: 1``."""


class Predictions(_Said):
    """A batch's answers, in the order of its instances."""

    predictions: list[Prediction]
    """One per instance."""


class Outcome(_Said):
    """The truth about one prediction."""

    prediction_id: Text = Field(examples=[_ID])
    """As ``/predict`` answered it."""
    outcome: bool | int | float | Text = Field(examples=[1])
    """A label or a number; with another ``metric`` than the label, any business value."""
    observed_at: str | None = Field(
        default=None, examples=["2026-11-23T21:00:00Z"], json_schema_extra={"format": "date-time"}
    )
    """When it became true, RFC 3339 with its zone; now, where left out. The greatest one counts."""
    source: str | None = Field(default=None, max_length=MAX_SOURCE, examples=["ops"])
    """Who says so."""
    metric: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$", examples=["label"])
    """What it is the truth of; ``label`` where left out."""


class Outcomes(_Said):
    """Many outcomes at once."""

    items: list[Outcome] = Field(min_length=1, max_length=MAX_ITEMS)
    """Each is accepted or rejected on its own; one whose shape does not fit spoils them all."""


class Rejected(_Said):
    """An outcome that was not taken."""

    index: int
    """Its place among those sent."""
    detail: str
    """Why."""


class Received(_Said):
    """What became of the outcomes. Those accepted are on disk."""

    accepted: int = Field(examples=[1])
    """How many were accepted."""
    rejected: list[Rejected]
    """The others."""


class Place(_Said):
    """One place in a body that does not fit."""

    pointer: str = Field(examples=["/entities/carrier"])
    """RFC 6901 JSON pointer into what was sent."""
    detail: str
    """What is wrong there. What was sent is never repeated."""


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra={"examples": [_PROBLEM]})

    type: str = Field(examples=["invalid-body"])
    """A word for the kind of problem."""
    title: str
    """The same for people."""
    status: int
    """The status code."""
    detail: str
    """What happened."""
    errors: list[Place] | None = None
    """For a bad body: each place."""
    accepted: int | None = None
    """Of ``POST /feedback``, when nothing was accepted: 0."""
    rejected: list[Rejected] | None = None
    """Of ``POST /feedback``, when nothing was accepted: why not."""
    phase: str | None = None
    """Of an operator's signal that cannot be: the phase in which the candidate is, ``none`` without one."""
    signal: str | None = None
    """Of an operator's signal that cannot be: that signal."""
    error: str | None = None
    """Of ``/v2``: the detail and the first places once more, where the protocol's clients look for it."""


class Alive(_Said):
    """A probe's answer."""

    status: str = Field(examples=["ready"])
    """``alive`` or ``ready``."""


MODELS: tuple[type[BaseModel], ...] = (
    Instance,
    Batch,
    Prediction,
    Predictions,
    Outcome,
    Outcomes,
    Received,
    ProblemDetails,
    Alive,
)


def ref(model: type[BaseModel]) -> dict[str, str]:
    """Point to a component of the document."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def takes(*models: type[BaseModel]) -> dict[str, Any]:
    """Describe a JSON request body that is one of ``models``."""
    schema = {"oneOf": [ref(model) for model in models]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def gives(*models: type[BaseModel], description: str) -> dict[str, Any]:
    """Describe a JSON answer that is one of ``models``."""
    schema = ref(models[0]) if len(models) == 1 else {"oneOf": [ref(model) for model in models]}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def problems(statuses: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    """Describe error answers by status code."""
    content = {MEDIA_TYPE: {"schema": ref(ProblemDetails)}}
    says = {
        409: "The change cannot be made",
        412: "The deployment has moved on",
        428: "A revision has to be named",
        500: "The model failed",
        503: "Cannot answer now; see Retry-After",
        504: "The deadline passed",
    }
    words = {status: says.get(status, PROTOCOL.get(status, "problem")) for status in statuses}
    return {status: {"description": word, "content": content} for status, word in words.items()}


def header(name: str, says: str, example: object, **schema: object) -> dict[str, Any]:
    """Describe an optional request header by its JSON schema."""
    return {"name": name, "in": "header", "description": says, "example": example, "schema": schema}


def document(
    app: FastAPI, models: Sequence[type[BaseModel]] = MODELS, examples: Mapping[str, Any] | None = None
) -> None:
    """Let the app's OpenAPI carry ``models`` as components, so that hand-decoded routes can point to them.

    ``examples`` are put into the components of that name.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            written = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            _, schemas = models_json_schema(
                [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
            )
            components = written.setdefault("components", {}).setdefault("schemas", {})
            components.update(schemas["$defs"])
            for name, example in (examples or {}).items():
                components[name]["examples"] = [example]
            app.openapi_schema = written
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
