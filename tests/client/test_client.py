"""The client on an invented network: what it sends, what it tries again, what it keeps."""

import inspect
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.client import (
    AsyncClient,
    BufferFull,
    Client,
    Instance,
    Outcome,
    Patience,
    Prediction,
    Receipt,
    Refused,
    Unavailable,
)
from gateway.client.buffer import Buffer
from gateway.client.talk import hear

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
QUICK = Patience(within_s=0.2, first_s=0.001, longest_s=0.002)
ANSWER = {"prediction_id": "k1.t.b.s", "deployment": "churn", "prediction": 1, "degraded": [], "logged": True}


class Network:
    """Answers requests from a list, in order, and remembers what was sent; an exception is raised instead."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = iter(answers)
        self.sent: list[Any] = []
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.sent.append(json.loads(request.content))
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def client(network: Network, **said: Any) -> Client:
    transport = httpx.MockTransport(network)
    return Client("http://gateway", now=lambda: NOW, transport=transport, **{"patience": QUICK, **said})


def received(accepted: int, *rejected: tuple[int, str]) -> httpx.Response:
    listed = [{"index": index, "detail": detail} for index, detail in rejected]
    return httpx.Response(202, json={"accepted": accepted, "rejected": listed})


def problem(status: int, kind: str, *places: str, **headers: str) -> httpx.Response:
    errors = [{"pointer": place, "detail": "Is missing."} for place in places]
    said = {"type": kind, "title": "t", "status": status, "detail": "It cannot be.", "errors": errors}
    return httpx.Response(status, json=said, headers=headers)


def test_both_clients_have_the_same_methods_and_say_which_they_follow() -> None:
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_"):
            twin = getattr(AsyncClient, name)
            assert inspect.signature(twin) == inspect.signature(method)
            assert twin.__doc__ == f"As :meth:`Client.{name}`."


def test_a_prediction_that_is_tried_again_keeps_its_request_id() -> None:
    network = Network(httpx.ReadError("reset"), problem(503, "overloaded"), httpx.Response(200, json=ANSWER))
    assert client(network).predict({"age": 40}) == Prediction(
        prediction_id="k1.t.b.s", deployment="churn", prediction=1
    )
    assert len({said["request_id"] for said in network.sent}) == 1
    assert len(network.sent) == 3


async def test_the_async_client_tries_again_in_the_same_way() -> None:
    network = Network(httpx.ConnectError("refused"), httpx.Response(200, json=ANSWER))
    async with AsyncClient("http://gateway", patience=QUICK, transport=httpx.MockTransport(network)) as gateway:
        assert (await gateway.predict({"age": 40})).prediction == 1
    assert network.sent[0] == network.sent[1]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 500, 504])
def test_what_would_be_refused_again_is_not_tried_again(status: int) -> None:
    network = Network(problem(status, "some-word", "/features/age"))
    with pytest.raises(Refused) as refused:
        client(network).predict({})
    assert (refused.value.status, refused.value.type) == (status, "some-word")
    assert refused.value.places[0].pointer == "/features/age"
    assert len(network.sent) == 1


def test_patience_ends_and_says_what_was_heard_last() -> None:
    def always() -> Iterator[httpx.Response]:
        while True:
            yield problem(503, "overloaded")

    network = Network()
    network.answers = always()
    with pytest.raises(Unavailable) as unavailable:
        client(network).predict({})
    assert unavailable.value.status == 503
    assert len(network.sent) > 3


def test_a_retry_after_that_is_longer_than_patience_ends_it_at_once() -> None:
    network = Network(problem(429, "rate-limited", **{"Retry-After": "30"}))
    with pytest.raises(Unavailable) as unavailable:
        client(network).predict({})
    assert unavailable.value.retry_after_s == 30.0


def test_an_answer_that_is_no_problem_document_is_told_as_somebody_elses() -> None:
    with pytest.raises(Unavailable, match="Something between here and the gateway answered 502"):
        hear(502, b"<html>", None)


def test_a_batch_is_asked_in_thousands_and_answered_in_order() -> None:
    def answers(count: int, first: int) -> httpx.Response:
        said = [{**ANSWER, "prediction": first + index} for index in range(count)]
        return httpx.Response(200, json={"predictions": said})

    network = Network(answers(1_000, 0), answers(500, 1_000))
    found = client(network).predict_many([Instance({"age": n}) for n in range(1_500)], deployment="churn")
    assert [each.prediction for each in found] == list(range(1_500))
    assert [len(said["instances"]) for said in network.sent] == [1_000, 500]
    assert network.requests[0].url.path == "/predict/churn"


def test_a_deadline_and_an_explanation_are_asked_for_in_headers() -> None:
    network = Network(httpx.Response(200, json=ANSWER))
    client(network, key="secret").predict({}, deadline_s=0.25, explain=True)
    headers = network.requests[0].headers
    assert (headers["X-Deadline-Ms"], headers["X-Explain"]) == ("250.000", "1")
    assert headers["Authorization"] == "Bearer secret"


def test_an_outcome_is_stamped_once_so_that_a_late_retry_corrects_nothing() -> None:
    network = Network(httpx.ReadTimeout("late"), received(1))
    assert client(network).feedback(Outcome("k1.t.b.s", 1)) == Receipt(1)
    assert network.sent[0]["items"] == network.sent[1]["items"]
    assert network.sent[0]["items"][0]["observed_at"] == "2026-11-24T12:00:00Z"


def test_a_time_without_its_zone_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="zone"):
        Outcome("k1.t.b.s", 1, observed_at=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_one_misshapen_outcome_is_set_aside_and_the_others_are_told() -> None:
    network = Network(problem(422, "invalid-body", "/items/1/outcome", "/items/1/metric"), received(2, (0, "Forged.")))
    receipt = client(network).feedback(Outcome("a", 1), Outcome("b", float("nan")), Outcome("c", 0))
    assert receipt.accepted == 2
    assert [(each.outcome.prediction_id, each.detail) for each in receipt.rejected] == [
        ("b", "Is missing."),
        ("a", "Forged."),
    ]
    assert [item["prediction_id"] for item in network.sent[1]["items"]] == ["a", "c"]


def test_when_every_outcome_is_forged_nothing_is_raised_and_all_are_named() -> None:
    body = {"type": "nothing-accepted", "accepted": 0, "rejected": [{"index": 0, "detail": "Never issued."}]}
    receipt = client(Network(httpx.Response(422, json=body))).feedback(Outcome("forged", 1))
    assert (receipt.accepted, receipt.rejected[0].detail) == (0, "Never issued.")


def test_outcomes_that_are_too_many_bytes_are_told_in_halves() -> None:
    network = Network(problem(413, "body-too-large"), received(1), received(2))
    assert client(network).feedback(*(Outcome(name, 1) for name in "abc")).accepted == 3
    assert [len(said["items"]) for said in network.sent] == [3, 1, 2]


def test_outcomes_are_told_together_once_enough_of_them_wait() -> None:
    network = Network(received(3), received(1))
    with client(network, batch=3, linger_s=60.0) as gateway:
        for name in "abcd":
            gateway.tell(name, 1)
        assert [len(said["items"]) for said in network.sent] == [3]
        assert gateway.flush() == Receipt(4)
    assert [len(said["items"]) for said in network.sent] == [3, 1]


def test_closing_tells_what_waits() -> None:
    network = Network(received(1))
    with client(network) as gateway:
        gateway.tell("a", 1)
    assert len(network.sent) == 1


def test_outcomes_wait_while_the_gateway_is_away_and_are_told_when_it_is_back() -> None:
    network = Network(problem(401, "unauthenticated"), received(2))
    gateway = client(network, batch=2)
    gateway.tell("a", 1)
    with pytest.raises(Refused):
        gateway.tell("b", 1)
    assert gateway.flush() == Receipt(2)


def test_no_more_outcomes_wait_than_may_be_kept() -> None:
    gateway = client(Network(), keep=1)
    gateway.tell("a", 1)
    with pytest.raises(BufferFull, match="1 outcomes wait already"):
        gateway.tell("b", 1)


def wound(buffer_s: list[float]) -> Callable[[], float]:
    return lambda: buffer_s[0]


def test_a_buffer_is_due_when_full_or_when_the_oldest_has_waited_and_not_right_after_a_failure() -> None:
    now = [0.0]
    buffer = Buffer(batch=2, linger_s=5.0, most=10, machine=wound(now))
    buffer.put(Outcome("a", 1))
    assert not buffer.due()
    now[0] = 5.0
    assert buffer.due()
    buffer.back(buffer.take())
    assert not buffer.due()
    buffer.put(Outcome("b", 1))
    assert not buffer.due()
    now[0] = 10.0
    assert buffer.due()
    assert [each.prediction_id for each in buffer.take()] == ["a", "b"]
