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
from tests.security.form import Form
from tests.security.house import bearer, locks, secret_of

KEYS = SigningKeys("k2", {"k1": b"a" * 32, "k2": b"b" * 32})
TAG = tag_of("flight-delay")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_no_guess_is_taken_for_an_id_of_ours(form: Form) -> None:
    """Guesses as good as an attacker's can be: real bodies and key ids, signatures invented, edited or borrowed."""
    dice, ours = random.Random(1), [mint(KEYS, TAG, body_from(random.Random(n).randbytes(16))) for n in range(100)]
    guesses = form.pick(200_000, 1_000_000)
    accepted = sum(verify(KEYS, guess(dice, n, ours[n % len(ours)])) is not None for n in range(guesses))
    form.note(f"{accepted} of {guesses} guesses accepted", "0 of 1,000,000")
    assert accepted == 0


async def test_guesses_sent_with_a_valid_key_are_all_refused_in_the_same_words(form: Form) -> None:
    house, dice, guesses = House(), random.Random(2), form.pick(20_000, 1_000_000)
    known = (await house.ask()).prediction_id
    told, said = 0, set[str]()
    async with client(house) as http:
        for start in range(0, guesses, 10_000):
            items = [{"prediction_id": forged(dice, known, n), "outcome": 1} for n in range(start, start + 10_000)]
            answer = await http.post("/feedback", json={"items": items})
            assert answer.status_code == 422, answer.text[:200]
            told += answer.json()["accepted"]
            said |= {each["detail"] for each in answer.json()["rejected"]}
    form.note(f"{told} of {guesses} sent with a feedback key accepted, in {len(said)} wording", "0, in 1 wording")
    assert (told, len(said), len(house.outcomes)) == (0, 1, 0)


def forged(dice: random.Random, known: str, n: int) -> str:
    """A guess about an id that exists (its body, another signature) or that does not, by turns."""
    head, mac = known.rsplit(".", 1)
    wrong = "".join(dice.choices(LETTERS, k=len(mac)))
    key, tag, _ = head.split(".")
    return f"{head if n % 2 else f'{key}.{tag}.{body_from(dice.randbytes(16))}'}.{wrong}"


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


def client(house: House) -> httpx.AsyncClient:
    """A caller with a key for predictions and outcomes."""
    made = locks({"shop": ["predict", "feedback"]})
    app = create_app(DataPlane(house.predict, house.feedback, house.clock, locks=made))
    transport, key = httpx.ASGITransport(app), bearer(secret_of("shop"))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=key)


async def test_an_id_that_was_signed_is_answered_alike_whether_its_prediction_is_known_or_not() -> None:
    async with client(House()) as http:
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


async def test_the_time_of_an_answer_does_not_tell_whether_a_prediction_is_known(form: Form) -> None:
    """Welch's t between known and unknown ids, through the door, in turns at random; and the same for forged ones."""
    house, dice, pairs = House(), random.Random(3), form.pick(400, 5_000)
    for forge in (False, True):
        taken: tuple[list[float], list[float]] = ([], [])
        async with client(house) as http:
            for _ in range(pairs):
                known = (await house.ask()).prediction_id
                ids = [known, mint(SIGNING, TAG, body_from(dice.randbytes(16)))]
                for which in dice.sample((0, 1), 2):
                    each = ids[which][:-16] + "A" * 16 if forge else ids[which]
                    began = time.perf_counter()
                    await http.post("/feedback", json={"prediction_id": each, "outcome": 1})
                    taken[which].append(time.perf_counter() - began)
        t = abs(welch(*taken))
        form.note(f"Welch's |t| of {pairs} known and unknown {'forged' if forge else 'signed'} ids: {t:.2f}", "< 4.5")
        assert t < 4.5


def welch(*samples: list[float]) -> float:
    """Welch's t of two samples of seconds, without the slowest third, which others on this machine interrupted."""
    kept = [sorted(times)[: 2 * len(times) // 3] for times in samples]
    means, spread = [statistics.fmean(k) for k in kept], [statistics.variance(k) / len(k) for k in kept]
    return (means[0] - means[1]) / math.sqrt(sum(spread))


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
