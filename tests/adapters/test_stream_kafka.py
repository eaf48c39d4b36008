"""The Kafka adapters against a real broker: what is said to be told is there, what is not done comes again."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings import kafka as cloud
from cloudevents.core.bindings.kafka import KafkaMessage
from confluent_kafka import Message

from gateway.adapters.stream.cloud import read_body
from gateway.adapters.stream.kafka import KafkaSink, KafkaSource
from gateway.core.envelopes import Envelope, envelope
from gateway.core.errors import InvalidBody, SettingsError
from gateway.ports import Delivery, Incoming
from tests.kafka_house import SPRY, Broker, broker
from tests.records import T0, outcome, prediction

QUICK = {"message.timeout.ms": 1_500, "reconnect.backoff.max.ms": 200}
PLAIN = {"content-type": b"application/json"}
BINARY = {"ce_id": b"1", "ce_source": b"/labels", "ce_type": b"truth", "ce_specversion": b"1.0", **PLAIN}


def wrapped(number: int = 0) -> Envelope:
    return envelope(
        prediction(f"b{number}", names=("x",), values=(1.5,), statuses=b"\0"), f"w/{number}", "churn", "k.i"
    )


@contextmanager
def sink(at: Broker, topic: str, *, structured: bool = False) -> Iterator[KafkaSink]:
    opened = KafkaSink(at.servers, {"prediction": topic, "outcome": topic}, QUICK, structured=structured)
    yield opened
    opened.close()


@contextmanager
def source(at: Broker, topic: str, group: str = "gateway") -> Iterator[KafkaSource]:
    opened = KafkaSource(at.servers, topic, group, f"{topic}.dead", {**SPRY, **QUICK})
    yield opened
    opened.close()


def taken(opened: KafkaSource, count: int, longest_s: float = 20.0) -> list[Incoming]:
    deadline, found = time.monotonic() + longest_s, list[Incoming]()
    while len(found) < count and time.monotonic() < deadline:
        found += opened.take(count - len(found), 0.5)
    return found


def event(message: Message) -> tuple[dict[str, object], object]:
    headers = dict(message.headers() or ())
    found = cloud.from_kafka_event(KafkaMessage(headers=headers, key=message.key(), value=message.value()))
    return found.get_attributes(), found.get_data()


@pytest.mark.parametrize("structured", [False, True], ids=["binary", "structured"])
def test_what_is_told_is_a_cloud_event_that_others_can_read(structured: bool) -> None:
    topic = broker().topic()
    with sink(broker(), topic, structured=structured) as opened:
        assert opened.send([wrapped()]) == [Delivery.TOLD]
    [message] = broker().read(topic, 1)
    attributes, data = event(message)
    assert {name: attributes[name] for name in ("id", "type", "source", "subject")} == {
        "id": "w/0",
        "type": "gateway.prediction.v1",
        "source": "/deployments/churn",
        "subject": "k.i",
    }
    assert attributes["time"] == datetime.fromtimestamp(T0, UTC)
    assert isinstance(data, dict)
    assert (data["prediction_id"], data["prediction"], data["features"]) == ("k.i", 1, {"x": 1.5})
    assert message.key() == b"b0"


def test_a_prediction_and_its_outcomes_share_a_partition() -> None:
    topic = broker().topic(partitions=4)
    told = [wrapped(n) for n in range(20)]
    told += [envelope(outcome(f"b{n}"), f"o/{n}", "churn", "k.i") for n in range(20)]
    with sink(broker(), topic) as opened:
        assert set(opened.send(told)) == {Delivery.TOLD}
    places: dict[bytes, set[int]] = {}
    for message in broker().read(topic, 40):
        places.setdefault(message.key(), set()).add(message.partition())
    assert len(places) == 20
    assert all(len(partitions) == 1 for partitions in places.values())
    assert len(set.union(*places.values())) > 1


def test_a_broker_that_is_away_makes_everything_fail_in_time_and_nothing_wait_for_ever() -> None:
    dead = Broker.make()
    with sink(dead, "t") as opened:
        began = time.monotonic()
        assert opened.send([wrapped(n) for n in range(3)]) == [Delivery.FAILED] * 3
        assert time.monotonic() - began < 5.0


def test_a_broker_that_freezes_makes_it_fail_and_is_told_again_once_it_thaws() -> None:
    own = Broker.make().start()
    try:
        topic = own.topic()
        with sink(own, topic) as opened:
            assert opened.send([wrapped(0)]) == [Delivery.TOLD]
            own.signal(signal.SIGSTOP)
            assert opened.send([wrapped(1)]) == [Delivery.FAILED]
            own.signal(signal.SIGCONT)
            deadline = time.monotonic() + 60.0
            while opened.send([wrapped(1)]) != [Delivery.TOLD]:
                assert time.monotonic() < deadline
        assert {str(event(one)[0]["id"]) for one in own.read(topic, 5, 3.0)} == {"w/0", "w/1"}
    finally:
        own.remove()


def test_an_event_too_large_for_any_broker_is_refused_and_holds_up_nobody() -> None:
    topic = broker().topic()
    large = replace(wrapped(0), data={"text": "x" * 2_000_000})
    with sink(broker(), topic) as opened:
        assert opened.send([large, wrapped(1)]) == [Delivery.REFUSED, Delivery.TOLD]


def test_an_option_nobody_knows_is_said() -> None:
    with pytest.raises(SettingsError, match="securty"):
        KafkaSink("localhost:1", {}, {"securty.protocol": "SSL"})


def test_what_is_not_done_comes_again_to_the_next_member_and_what_is_done_does_not() -> None:
    topic = broker().topic(partitions=1)
    broker().put(topic, b"1", b"2", b"3")
    with source(broker(), topic) as first:
        found = taken(first, 3)
        assert [one.value for one in found] == [b"1", b"2", b"3"]
        first.done(found[:1])
    with source(broker(), topic) as second:
        found = taken(second, 2)
        assert [one.value for one in found] == [b"2", b"3"]
        second.done(found)
    with source(broker(), topic) as third:
        assert taken(third, 1, 4.0) == []


def test_messages_can_be_had_again_at_once() -> None:
    topic = broker().topic(partitions=1)
    broker().put(topic, b"1", b"2")
    with source(broker(), topic) as opened:
        found = taken(opened, 2)
        opened.again(found)
        assert [one.value for one in taken(opened, 2)] == [b"1", b"2"]


def test_what_cannot_be_taken_lies_among_the_dead_letters_with_the_reason() -> None:
    topic = broker().topic(partitions=1)
    broker().made(f"{topic}.dead", 1)
    broker().put(topic, b"no json", headers={"trace": b"7"})
    with source(broker(), topic) as opened:
        [one] = taken(opened, 1)
        assert opened.put_aside([(one, "Is no JSON.")])
    [letter] = broker().read(f"{topic}.dead", 1)
    assert letter.value() == b"no json"
    assert dict(letter.headers()) == {
        "trace": b"7",
        "gateway_place": f"{topic}/0/0".encode(),
        "gateway_reason": b"Is no JSON.",
    }


def test_a_source_without_a_broker_takes_nothing_and_does_not_raise() -> None:
    with source(Broker.make(), "t") as opened:
        assert opened.take(1, 0.2) == []
        assert not opened.put_aside([(Incoming(b"1"), "")])
        opened.done([Incoming(b"1", place=("t", 0, 0))])


TRUTH = {"prediction_id": "k.i", "outcome": 1}


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ({}, TRUTH),
        (PLAIN, TRUTH),
        (BINARY, TRUTH),
        (
            {"content-type": b"application/cloudevents+json; charset=UTF-8"},
            {"id": "1", "source": "/labels", "type": "truth", "specversion": "1.0", "data": TRUTH},
        ),
    ],
    ids=["bare", "JSON", "binary", "structured"],
)
def test_a_message_may_come_with_an_envelope_or_without(headers: dict[str, bytes], value: object) -> None:
    assert read_body(Incoming(json.dumps(value).encode(), headers=tuple(headers.items()))) == TRUTH


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ({}, b"no json"),
        ({}, b'{"a": NaN}'),
        ({}, b""),
        ({}, b"\xff"),
        ({}, b"[" * 100_000),
        ({"ce_id": b"1", **PLAIN}, b"{}"),
        (BINARY, b"no json"),
        ({"content-type": b"application/cloudevents+json"}, b"{}"),
        ({"content-type": b"application/cloudevents+json"}, b"[]"),
        ({"content-type": b"application/cloudevents+json"}, b"[" * 100_000),
    ],
)
def test_what_is_no_json_and_no_cloud_event_is_said_to_be_none(headers: dict[str, bytes], value: bytes) -> None:
    with pytest.raises(InvalidBody):
        read_body(Incoming(value, headers=tuple(headers.items())))
