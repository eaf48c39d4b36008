"""Row S2: whatever schemathesis makes up from our OpenAPI, behind locked doors and by any caller, we keep our word.

The small form: a few examples of every route and caller, and a few walks along the links between them. In full, more
than twenty thousand: ``FUZZ_EXAMPLES`` says how many per route, ``python -m tests.security`` says 150.
"""

import json
import os
from collections import Counter
from typing import Any, cast

import pytest
import requests
import schemathesis
import urllib3
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import checks

from gateway.edge import control_plane, data_plane
from tests.e2e.harness import Gateway
from tests.e2e.test_contract_fuzz import CHECKS, NOTHING
from tests.security.form import Form
from tests.security.house import bearer, secret_of

CALLERS = {"nobody": {}, **{name: bearer(secret_of(name)) for name in ("shop", "ops", "all")}}
data = schemathesis.openapi.from_dict(data_plane.create_app(data_plane.DataPlane(*[cast("Any", None)] * 3)).openapi())
control = schemathesis.openapi.from_dict(control_plane.create_app(NOTHING).openapi())
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "3"))
modest = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
LINE = requests.Session()
"""One connection for all: a new one costs more than what is sent on it."""
SMALL = 65_536
"""Bytes of a body that is read to its end also from somebody who is refused."""
HELD = [check for check in CHECKS if check is not checks.response_headers_conformance]


sent = Counter[str]()


def tame(case: schemathesis.Case[Any]) -> None:
    """Send it to a deployment that is there."""
    if "deployment" in case.path_parameters:
        case.path_parameters["deployment"] = "fuzzed"
    case.headers.pop("X-Variant", None)


def keeps_its_word(case: schemathesis.Case[Any], url: str) -> None:
    tame(case)
    for headers in CALLERS.values():
        sent["alone"] += 1
        try:
            case.call_and_validate(base_url=url, checks=HELD, headers=headers, session=LINE, verify=False)
        except requests.exceptions.ConnectionError:
            if len(json.dumps(case.body, default=str)) <= SMALL:
                raise  # whoever is refused is heard to the end of a small body; on a large one it is hung up


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


def walk(schema: Any, url: str, headers: dict[str, str]) -> type:
    """Requests that follow each other as the document links them: what one answers, the next one asks about."""

    class Walk(schema.as_state_machine()):  # type: ignore[misc]
        def call(self, case: schemathesis.Case[Any], **_: Any) -> Any:
            tame(case)
            sent["linked"] += 1
            return case.call(base_url=url, headers=headers, session=LINE, verify=False)

        def validate_response(self, response: Any, case: schemathesis.Case[Any], *_: Any, **__: Any) -> None:
            case.validate_response(response, checks=HELD)

    return Walk


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("plane", ["data", "control"])
def test_requests_that_follow_each_other_are_answered_as_the_documents_say(
    plane: str, caller: str, locked: Gateway
) -> None:
    schema, url = (data, locked.data.base_url) if plane == "data" else (control, locked.control.base_url)
    steps = settings(modest, stateful_step_count=8)
    run_state_machine_as_test(walk(schema, str(url), CALLERS[caller]), settings=steps)


def test_both_planes_are_alive_afterwards(locked: Gateway, form: Form) -> None:
    form.note(f"{sent.total():,} cases by {len(CALLERS)} callers, {sent['linked']:,} of them linked", ">= 20,000")
    assert not form.full or sent.total() >= 20_000
    assert locked.data.get("/livez").status_code == locked.control.get("/livez").status_code == 200
    assert len(locked.children("worker")) == 2
    assert "child_ended" not in locked.log


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """Self-signed on purpose."""
    urllib3.disable_warnings()
