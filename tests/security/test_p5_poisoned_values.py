"""Row P5: ten thousand poisoned values: refused, or within their declared range; all that is stored is finite."""

import json
import math
import random

import httpx

from gateway.core.deployments import Field, Inputs, Type
from gateway.core.ids import mint
from gateway.core.routing import Part
from gateway.edge.data_plane import DataPlane, create_app
from tests.data_house import FLIGHT, KEYS, House, card, table
from tests.edge.test_hostile import TOKENS
from tests.security.form import Form

WIDE = (
    FLIGHT,
    Field("distance", Type.NUMBER, minimum=0.0, maximum=10_000.0),
    Field("hour", Type.INTEGER, required=False),
)
POISON = [
    *(token for name, token in TOKENS.items() if len(token) < 1_000),
    b"1e308", b"-1e308", b"1.7976931348623157e308", b"4.9e-324", b"10000.000001", b"-0.000001",
    b"9007199254740993", b"true", b"[NaN]", b'"inf"', b"0.1e-5", b"5000", b"10000", b"0",
]  # fmt: skip


async def test_nothing_that_is_not_finite_or_out_of_range_is_stored(form: Form) -> None:
    stable = Part("stable", "g0", card("v1", *WIDE))
    house, dice = House(table(inputs=Inputs((FLIGHT,), WIDE[1:]), stable=stable)), random.Random(5)
    app, taken = create_app(DataPlane(house.predict, house.feedback, house.clock)), 0
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        for n in range(form.pick(2_500, 10_000)):
            poison, hour = dice.choice(POISON), dice.choice(POISON)
            body = b'{"entities":{"flight":%d},"features":{"distance":%s,"hour":%s}}' % (n, poison, hour)
            answer = await http.post("/predict", content=body, headers={"content-type": "application/json"})
            assert answer.status_code in {200, 400, 422}
            taken += answer.status_code == 200
            told = b'{"prediction_id":"%s","outcome":%s,"metric":"revenue"}' % (
                mint(KEYS, house.routing.table(None).tag, "A" * 22).encode(), poison,
            )  # fmt: skip
            said = await http.post("/feedback", content=told, headers={"content-type": "application/json"})
            assert said.status_code in {202, 400, 422}
    assert 0 < taken == len(house.predictions)
    numbers = [value for record in house.predictions for value in (*record.values, record.label, record.score)]
    numbers += [outcome.value for outcome in house.outcomes]
    odd = [value for value in numbers if isinstance(value, float) and not math.isfinite(value)]
    form.note(
        f"{len(odd)} not finite among {len(numbers)} values stored of {n + 1} predictions and outcomes", "0 of 10,000"
    )
    assert odd == []
    json.dumps(numbers, allow_nan=False)
