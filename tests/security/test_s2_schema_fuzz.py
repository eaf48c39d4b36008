"""Row S2: whatever schemathesis makes up from our OpenAPI, behind locked doors and by any caller, we keep our word.

The small form: a few examples of every route and caller. ``FUZZ_EXAMPLES=200`` sends some twenty thousand.
"""

import os
from typing import Any, cast

import pytest
import requests
import schemathesis
import urllib3
from hypothesis import HealthCheck, settings
from schemathesis import checks

from gateway.edge import control_plane, data_plane
from tests.e2e.harness import Gateway
from tests.e2e.test_contract_fuzz import CHECKS, NOTHING
from tests.security.house import bearer, secret_of

CALLERS = {"nobody": {}, **{name: bearer(secret_of(name)) for name in ("shop", "ops", "all")}}
data = schemathesis.openapi.from_dict(data_plane.create_app(data_plane.DataPlane(*[cast("Any", None)] * 3)).openapi())
control = schemathesis.openapi.from_dict(control_plane.create_app(NOTHING).openapi())
modest = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "3")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
LINE = requests.Session()
"""One connection for all: a new one costs more than what is sent on it."""
HELD = [check for check in CHECKS if check is not checks.response_headers_conformance]


def keeps_its_word(case: schemathesis.Case[Any], url: str) -> None:
    if "deployment" in case.path_parameters:
        case.path_parameters["deployment"] = "fuzzed"
    case.headers.pop("X-Variant", None)
    for headers in CALLERS.values():
        case.call_and_validate(base_url=url, checks=HELD, headers=headers, session=LINE, verify=False)


@data.parametrize()
@modest
def test_the_data_plane_answers_every_caller_as_its_document_says(
    case: schemathesis.Case[Any], locked: Gateway
) -> None:
    keeps_its_word(case, str(locked.data.base_url))


@control.parametrize()
@modest
def test_the_control_plane_answers_every_caller_as_its_document_says(
    case: schemathesis.Case[Any], locked: Gateway
) -> None:
    keeps_its_word(case, str(locked.control.base_url))


def test_both_planes_are_alive_afterwards(locked: Gateway) -> None:
    assert locked.data.get("/livez").status_code == locked.control.get("/livez").status_code == 200
    assert len(locked.children("worker")) == 2
    assert "child_ended" not in locked.log


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """Self-signed on purpose."""
    urllib3.disable_warnings()
