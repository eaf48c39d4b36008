"""``POST /feedback``, sentence by sentence, against a running gateway."""

from typing import Any

import httpx
import pytest

from gateway.adapters.store.keys import load_or_create_keys
from gateway.core.ids import body_of, mint, tag_of
from tests.e2e.contract import BODY, JSON, answer, pointers, problem, record
from tests.e2e.harness import Gateway, until

FORGED = "This gateway never issued that prediction_id."


@pytest.fixture(scope="module")
def gateway(contract: Gateway) -> Gateway:
    return contract


def tell(gateway: Gateway, *items: dict[str, Any]) -> httpx.Response:
    """On a connection of its own: the worker that hears it need not be the one that predicted."""
    with httpx.Client(base_url=gateway.data.base_url, timeout=10.0) as client:
        return client.post("/feedback", json=items[0] if len(items) == 1 else {"items": list(items)})


def books(gateway: Gateway, name: str) -> dict[str, int]:
    params = httpx.QueryParams({"settle_s": 5, "deployment": name})
    found: dict[str, int] = gateway.control.get("/admin/ledger", params=params).json()["outcomes"]
    return found


def outcomes(gateway: Gateway, prediction_id: str) -> list[tuple[str, Any]]:
    gateway.ledger()
    return [(one["metric"], one["value"]) for one in record(gateway, prediction_id)["outcomes"]]


def accuracy(gateway: Gateway, name: str) -> tuple[int, float | None]:
    """How many answers have a label, and the share of right ones, now."""
    spans = gateway.control.get(f"/admin/deployments/{name}/performance").json()["spans"]
    [line] = spans[0]["variants"]
    return line["labelled"], line["accuracy"]


def test_one_outcome_is_acknowledged_with_202_and_its_count(gateway: Gateway) -> None:
    said = answer(gateway, "told")
    response = tell(
        gateway,
        {
            "prediction_id": said["prediction_id"],
            "outcome": 1,
            "observed_at": "2026-11-23T21:00:00Z",
            "source": "ops",
            "metric": "label",
        },
    )
    assert (response.status_code, response.json()) == (202, {"accepted": 1, "rejected": []})
    gateway.ledger()
    [kept] = record(gateway, said["prediction_id"])["outcomes"]
    assert (kept["metric"], kept["value"], kept["source"], kept["observed_at"]) == ("label", 1, "ops", 1795467600.0)


def test_an_acknowledged_outcome_is_visible_to_operators_within_2_s(gateway: Gateway) -> None:
    ident = answer(gateway, "told")["prediction_id"]
    assert tell(gateway, {"prediction_id": ident, "outcome": 1}).status_code == 202
    until(lambda: record(gateway, ident)["outcomes"], 2.0, 0.01)


def test_up_to_10000_outcomes_are_taken_at_once(gateway: Gateway) -> None:
    ident = answer(gateway, "told")["prediction_id"]
    items = [{"prediction_id": ident, "outcome": 1, "metric": "label"}] * 10_000
    response = tell(gateway, *items)
    assert (response.status_code, response.json()["accepted"]) == (202, 10_000)
    assert pointers(problem(tell(gateway, *items, items[0]), 422, "invalid-body")) == ["/items"]


def test_the_body_may_have_8_mib(gateway: Gateway) -> None:
    ident = answer(gateway, "told")["prediction_id"]
    items = [{"prediction_id": ident, "outcome": "a" * 1_000}] * 7_000
    assert tell(gateway, *items).status_code == 202
    response = gateway.data.post("/feedback", content=b" " * (8 * 2**20 + 1), headers=JSON)
    problem(response, 413, "body-too-large")


def test_an_id_that_this_gateway_never_issued_is_rejected_at_once_and_the_others_are_taken(gateway: Gateway) -> None:
    one, other = (answer(gateway, "told")["prediction_id"] for _ in range(2))
    key, tag, body, mac = one.split(".")
    turned = {"A": "B"}.get(mac[0], "A") + mac[1:]
    forgeries = [
        f"{key}.{tag}.{body}.{turned}",
        f"k9.{tag}.{body}.{mac}",
        f"{key}.{tag_of('spend')}.{body}.{mac}",
        f"{key}.{tag}.{other.split('.')[2]}.{mac}",
        f"{key}.{tag}.{body}",
        f"{one}.",
        f"{one} ",
        one.upper(),
        "x" * 1_024,
        "ünïcode.a.b.c",
        "",
    ]
    items = [{"prediction_id": ident, "outcome": 1} for ident in [one, *forgeries, other]]
    response = tell(gateway, *items)
    assert response.status_code == 202
    rejected = [{"index": index, "detail": FORGED} for index in range(1, len(forgeries) + 1)]
    assert response.json() == {"accepted": 2, "rejected": rejected}


def test_when_no_outcome_is_accepted_it_is_422_with_the_same_body(gateway: Gateway) -> None:
    said = problem(tell(gateway, {"prediction_id": "k1.a.b.c", "outcome": 1}), 422, "nothing-accepted")
    assert said["accepted"] == 0
    assert said["rejected"] == [{"index": 0, "detail": FORGED}]


def test_a_shape_error_is_422_for_all(gateway: Gateway) -> None:
    ident = answer(gateway, "told")["prediction_id"]
    before = books(gateway, "told")
    good = {"prediction_id": ident, "outcome": 0}
    said = problem(tell(gateway, good, good | {"outcome": None}, good | {"extra": 1}), 422, "invalid-body")
    assert pointers(said) == ["/items/1/outcome", "/items/2"]
    assert books(gateway, "told") == before


@pytest.mark.parametrize("outcome", [True, False, 0, 3, 2.5, "late", -1e30])
def test_an_outcome_is_a_label_or_a_number(gateway: Gateway, outcome: Any) -> None:
    ident = answer(gateway, "told")["prediction_id"]
    assert tell(gateway, {"prediction_id": ident, "outcome": outcome}).status_code == 202
    [(_, kept)] = outcomes(gateway, ident)
    assert (kept, type(kept)) == (outcome, type(outcome))


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"outcome": None}, "/outcome"),
        ({"outcome": [1]}, "/outcome"),
        ({"outcome": {"label": 1}}, "/outcome"),
        ({"outcome": 2**63}, "/outcome"),
        ({"outcome": 1, "observed_at": "yesterday"}, "/observed_at"),
        ({"outcome": 1, "observed_at": "2026-11-23T21:00:00"}, "/observed_at"),
        ({"outcome": 1, "observed_at": 1_795_467_600}, "/observed_at"),
        ({"outcome": 1, "metric": "no such name"}, "/metric"),
        ({"outcome": 1, "metric": 5}, "/metric"),
        ({"outcome": 1, "source": "s" * 300}, "/source"),
        ({"outcome": 1, "prediction_id": 5}, "/prediction_id"),
        ({"outcome": 1, "routing_key": "a"}, ""),
    ],
)
def test_an_outcome_that_does_not_fit_is_422_with_its_place(
    gateway: Gateway, said: dict[str, Any], pointer: str
) -> None:
    ident = answer(gateway, "told")["prediction_id"]
    response = tell(gateway, {"prediction_id": ident} | said)
    assert pointers(problem(response, 422, "invalid-body")) == [pointer]


def test_an_outcome_may_come_before_its_prediction(gateway: Gateway) -> None:
    before = books(gateway, "early")
    keys = load_or_create_keys(gateway.state / "keys.json")
    ident = mint(keys, tag_of("early"), body_of("local", "early", "not asked yet"))
    assert tell(gateway, {"prediction_id": ident, "outcome": 1}).status_code == 202
    waiting = books(gateway, "early")
    assert (waiting["waiting"], waiting["joined"]) == (before["waiting"] + 1, before["joined"])
    assert answer(gateway, "early", BODY | {"request_id": "not asked yet"})["prediction_id"] == ident
    joined = books(gateway, "early")
    assert (joined["waiting"], joined["joined"]) == (before["waiting"], before["joined"] + 1)
    assert outcomes(gateway, ident) == [("label", 1)]


def test_the_same_outcome_again_changes_nothing(gateway: Gateway) -> None:
    ident = answer(gateway, "again")["prediction_id"]
    item = {"prediction_id": ident, "outcome": 1, "observed_at": "2026-11-23T21:00:00Z"}
    assert tell(gateway, item).json() == {"accepted": 1, "rejected": []}
    before = books(gateway, "again"), accuracy(gateway, "again")
    assert tell(gateway, item).json() == {"accepted": 1, "rejected": []}
    after = books(gateway, "again"), accuracy(gateway, "again")
    counted = {"accepted": 2, "duplicate": before[0]["duplicate"] + 1}
    assert after == (before[0] | counted, before[1])


def test_another_value_corrects_it_and_the_greatest_observed_at_counts_once(gateway: Gateway) -> None:
    ident = answer(gateway, "corrected")["prediction_id"]

    def say(outcome: int, day: int) -> tuple[int, float | None]:
        item = {"prediction_id": ident, "outcome": outcome, "observed_at": f"2026-11-{day:02}T00:00:00Z"}
        assert tell(gateway, item).status_code == 202
        gateway.ledger()
        return accuracy(gateway, "corrected")

    assert say(1, 10) == (1, 1.0)
    assert say(0, 12) == (1, 0.0)
    assert say(1, 11) == (1, 0.0)  # late, and older than what counts
    assert say(1, 12) == (1, 1.0)  # as old, and later in the log
    assert outcomes(gateway, ident) == [("label", 1), ("label", 1), ("label", 0), ("label", 1)]
    kept = books(gateway, "corrected")
    assert (kept["accepted"], kept["joined"]) == (4, 1)
    assert kept["corrected"] + kept["duplicate"] == 3


def test_with_another_metric_an_outcome_is_any_business_value_and_corrects_no_label(gateway: Gateway) -> None:
    ident = answer(gateway, "told")["prediction_id"]
    for item in ({"outcome": 1}, {"outcome": 129.5, "metric": "revenue"}):
        assert tell(gateway, {"prediction_id": ident} | item).status_code == 202
    assert outcomes(gateway, ident) == [("label", 1), ("revenue", 129.5)]


def test_no_error_echoes_what_was_sent(gateway: Gateway) -> None:
    secret = "Zq7Xw3"
    for item in (
        {"prediction_id": secret, "outcome": 1},
        {"prediction_id": secret, "outcome": [secret]},
        {"prediction_id": "a", "outcome": 1, secret: 1},
        {"prediction_id": "a", "outcome": 1, "metric": secret + " "},
        {"prediction_id": "a", "outcome": 1, "observed_at": secret},
    ):
        response = tell(gateway, item)
        assert response.status_code == 422
        assert secret not in response.text


def test_feedback_that_is_not_json_is_400_or_415(gateway: Gateway) -> None:
    problem(gateway.data.post("/feedback", content=b"{", headers=JSON), 400, "malformed-request")
    problem(gateway.data.post("/feedback", content=b"{}"), 415, "unsupported-media-type")
    problem(gateway.data.post("/feedback", content=b'{"outcome": NaN}', headers=JSON), 400, "malformed-request")
