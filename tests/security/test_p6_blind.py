"""Row P6: a blind deployment tells nobody which arm answered, by any member, header, status, length or error."""

import re
from typing import Any

import httpx
import pytest

from gateway.core.deployments import ServingRules
from gateway.core.errors import ModelFailed
from gateway.edge.data_plane import DataPlane, create_app
from tests.data_house import BODY, CANARY, House, canary, flights, table

ID = re.compile(r'"prediction_id":"[^"]+"')


def blind(weight: float) -> House:
    """A deployment whose canary answers what stable answers, so that only the arm itself could tell them apart."""
    house = House(table(canary(weight), rules=ServingRules(blind=True)))
    house.runner.load(CANARY, 1_000.0)
    return house


async def said(house: House, body: Any = BODY, **headers: str) -> tuple[int, list[tuple[str, str]], str]:
    """An answer without its id, which must differ from request to request."""
    app = create_app(DataPlane(house.predict, house.feedback, house.clock))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        answer = await http.post("/predict", json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
    return answer.status_code, sorted(answer.headers.items()), ID.sub("", answer.text)


@pytest.mark.parametrize("headers", [{}, {"X_Explain": "1"}, {"X_Deadline_Ms": "1000"}])
@pytest.mark.parametrize("body", [BODY, {**BODY, "request_id": "r1"}, flights(1, 2, 3)])
async def test_both_arms_give_the_same_answer_to_the_byte(headers: dict[str, str], body: Any) -> None:
    by_stable, by_canary = blind(0.0), blind(1.0)
    first, second = await said(by_stable, body, **headers), await said(by_canary, body, **headers)
    assert {record.served for record in by_stable.predictions} == {"stable"}
    assert {record.served for record in by_canary.predictions} == {"canary"}
    assert first == second


async def test_a_canary_that_failed_and_was_stood_in_for_is_not_given_away() -> None:
    house = blind(1.0)
    house.runner.failing["canary"] = ModelFailed("E")
    assert await said(house, X_Explain="1") == await said(blind(0.0), X_Explain="1")


async def test_ids_of_both_arms_have_one_form() -> None:
    ids = []
    for weight in (0.0, 1.0):
        answer = await blind(weight).ask()
        ids.append([len(part) for part in answer.prediction_id.split(".")] + [answer.prediction_id.split(".")[0]])
    assert ids[0] == ids[1]


async def test_no_word_of_the_arm_is_in_an_answer() -> None:
    for weight in (0.0, 1.0):
        _, headers, text = await said(blind(weight), X_Explain="1")
        assert not re.search(r"variant|canary|stable|model_version|propensity|fallback|v1|v2", text + str(headers))
