"""Schemathesis against both doors of a running gateway: whatever it makes up from our OpenAPI, we keep our word.

No answer is a 5xx, and each has a status, a content type, headers and a body that the document describes. Half of what
it sends is valid by the schema and half is not; the corpora of hostile bodies are in the other tests.
"""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks

from gateway.edge import control_plane, data_plane
from tests.e2e.contract import start
from tests.e2e.harness import Gateway

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
NOTHING = cast("Any", SimpleNamespace(log=None, clock=None, run=None, hosts=(), locks=None))
"""What stands behind a door that is only asked for its document."""

data = schemathesis.openapi.from_dict(data_plane.create_app(data_plane.DataPlane(*[cast("Any", None)] * 3)).openapi())
control = schemathesis.openapi.from_dict(control_plane.create_app(NOTHING).openapi())
modest = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture(scope="module")
def gateway(contract: Gateway) -> Gateway:
    start(contract, "fuzzed", "2", "half")
    return contract


def keeps_its_word(case: schemathesis.Case[Any], url: str) -> None:
    if "deployment" in case.path_parameters:
        case.path_parameters["deployment"] = "fuzzed"
    case.headers.pop("X-Variant", None)  # every answer would be that it is not allowed
    case.call_and_validate(base_url=url, checks=CHECKS)


@data.parametrize()
@modest
def test_the_data_plane_answers_as_its_document_says(case: schemathesis.Case[Any], gateway: Gateway) -> None:
    keeps_its_word(case, str(gateway.data.base_url))


@control.parametrize()
@modest
def test_the_control_plane_answers_as_its_document_says(case: schemathesis.Case[Any], gateway: Gateway) -> None:
    keeps_its_word(case, str(gateway.control.base_url))


def test_the_documents_are_those_that_the_running_gateway_shows(gateway: Gateway) -> None:
    for client, schema in ((gateway.data, data), (gateway.control, control)):
        assert client.get("/openapi.json").json() == schema.raw_schema
