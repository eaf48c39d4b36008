"""Row P1: prediction ids cannot be guessed, and whether a prediction exists cannot be told from an answer."""

import math
import random
import statistics
import time

import httpx

from gateway.core.ids import SigningKeys, body_from, mint, tag_of, verify
from gateway.edge.data_plane import DataPlane, create_app
from tests.data_house import BODY, House
from tests.data_house import KEYS as SIGNING
from tests.security.house import bearer, locks, secret_of

KEYS = SigningKeys("k2", {"k1": b"a" * 32, "k2": b"b" * 32})
TAG = tag_of("flight-delay")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_two_hundred_thousand_guesses_are_all_refused() -> None:
    """Guesses as good as an attacker's can be: real bodies and key ids, signatures invented, edited or borrowed."""
    dice, ours = random.Random(1), [mint(KEYS, TAG, body_from(random.Random(n).randbytes(16))) for n in range(100)]
    for n in range(200_000):
        assert verify(KEYS, guess(dice, n, ours[n % len(ours)])) is None


def guess(dice: random.Random, n: int, known: str) -> str:
    """An id made out of one that is known, in one of five ways."""
    key, tag, body, mac = known.split(".")
    ways = (
        (key, tag, body, "".join(dice.choices(LETTERS, k=16))),
        (key, tag, body_from(dice.randbytes(16)), mac),
        ("k1", tag, body, mac),
        (key, tag_of("churn"), body, mac),
        (key, tag, body, mac[:-1] + dice.choice(LETTERS.replace(mac[-1], ""))),
    )
    return ".".join(ways[n % len(ways)])


async def test_an_id_that_was_signed_is_answered_alike_whether_its_prediction_is_known_or_not() -> None:
    house = House()
    app = create_app(
        DataPlane(house.predict, house.feedback, house.clock, locks=locks({"shop": ["predict", "feedback"]}))
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers=bearer(secret_of("shop"))
    ) as http:
        known = (await http.post("/predict", json=BODY)).json()["prediction_id"]
        unknown = mint(SIGNING, TAG, body_from(bytes(range(16))))
        answers = [
            await http.post("/feedback", json={"prediction_id": each, "outcome": 1}) for each in (known, unknown)
        ]
        forged = [
            await http.post(
                "/feedback", json={"prediction_id": each[:-1] + ("A" if each[-1] != "A" else "B"), "outcome": 1}
            )
            for each in (known, unknown)
        ]
    for pair, status in ((answers, 202), (forged, 422)):
        assert [answer.status_code for answer in pair] == [status, status]
        assert pair[0].content == pair[1].content


def test_the_time_of_a_refusal_does_not_depend_on_how_much_of_a_signature_is_right() -> None:
    """Welch's t between signatures wrong in the first and in the last letter, medians of many short runs."""
    body = body_from(bytes(16))
    good = mint(KEYS, TAG, body)
    head, mac = good.rsplit(".", 1)
    early = f"{head}.{'A' if mac[0] != 'A' else 'B'}{mac[1:]}"
    late = f"{head}.{mac[:-1]}{'A' if mac[-1] != 'A' else 'B'}"
    taken: dict[str, list[float]] = {early: [], late: []}
    for _ in range(300):
        for wrong in random.sample(list(taken), 2):
            began = time.perf_counter()
            for _ in range(50):
                verify(KEYS, wrong)
            taken[wrong].append(time.perf_counter() - began)
    kept = [sorted(times)[:200] for times in taken.values()]  # the slowest were interrupted by others on this machine
    means, spread = [statistics.fmean(k) for k in kept], [statistics.variance(k) / len(k) for k in kept]
    t = (means[0] - means[1]) / math.sqrt(sum(spread))
    assert abs(means[0] - means[1]) / 50 < 1e-7 or abs(t) < 4.5
