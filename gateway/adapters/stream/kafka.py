"""Kafka by librdkafka: a sink that knows what arrived, and a source that commits what is on disk.

Both block and belong in a thread that nothing else waits for. A broker that is down costs that thread's time: what was
sent comes back as FAILED after ``message.timeout.ms``, what was to be taken does not come. ``options`` are librdkafka's
own properties and win over what stands here; they hold secrets and are never shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from gateway.adapters.stream.cloud import to_message
from gateway.core.envelopes import Envelope
from gateway.core.errors import SettingsError
from gateway.ports import Delivery, Incoming

log = structlog.get_logger(__name__)

Options = Mapping[str, bool | int | float | str]

_QUIET: Final = {"log_level": 0}  # it would write lines of its own; what matters is said here
_PRODUCER: Final = {"acks": "all", "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 10_000}
_CONSUMER: Final = {"enable.auto.commit": False, "enable.auto.offset.store": False, "auto.offset.reset": "earliest"}
_REPORTS_WITHIN_S: Final = 3_600.0
"""librdkafka reports each message by itself once its timeout has passed; this only ends a wait that never should be."""
_NEVER: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.RECORD_LIST_TOO_LARGE,
    }
)


class KafkaSink:
    """Sends envelopes to ``topics``, by kind. Raises SettingsError for options that librdkafka does not know."""

    def __init__(self, servers: str, topics: Mapping[str, str], options: Options, *, structured: bool = False) -> None:
        self._topics, self._structured = dict(topics), structured
        self._line = _Line(servers, options)

    def send(self, envelopes: Sequence[Envelope]) -> list[Delivery]:
        """Hand all of them over and wait for every report."""
        messages = [to_message(one, structured=self._structured) for one in envelopes]
        return self._line.send(
            [
                (self._topics[one.kind], one.key.encode(), message.value, list(message.headers.items()))
                for one, message in zip(envelopes, messages, strict=True)
            ]
        )

    def close(self) -> None:
        """Forget what is still in hand: the outbox knows it."""
        self._line.close()


class KafkaSource:
    """Takes messages of a topic as a member of a consumer group; what cannot be taken goes to the topic ``dead``.

    Offsets are committed by :meth:`done` only. Raises SettingsError for options that librdkafka does not know.
    """

    def __init__(self, servers: str, topic: str, group: str, dead: str, options: Options) -> None:
        said = {"bootstrap.servers": servers, "group.id": group, **_CONSUMER, **_QUIET}
        self._dead = dead
        self._consumer = _made(Consumer, said | dict(options))
        self._line = _Line(servers, {name: value for name, value in options.items() if name not in _ONLY_CONSUMERS})
        self._consumer.subscribe([topic])

    def take(self, most: int, within_s: float) -> list[Incoming]:
        """Ask for what has come; a broker's troubles are said and waited out."""
        try:
            found = self._consumer.consume(most, within_s)
        except KafkaException as error:
            log.warning("outcomes_not_taken", reason=_reason(error.args[0]))
            return []
        for one in found:
            if one.error() is not None:
                log.warning("outcomes_not_taken", reason=_reason(one.error()))
        return [_incoming(one) for one in found if one.error() is None]

    def put_aside(self, refused: Sequence[tuple[Incoming, str]]) -> bool:
        """Send them to the dead letters, as they came, with the reason in the header ``gateway_reason``."""
        deliveries = self._line.send(
            [
                (self._dead, one.key, one.value, [*one.headers, *_whence(one), ("gateway_reason", why.encode())])
                for one, why in refused
            ]
        )
        return all(delivery is Delivery.TOLD for delivery in deliveries)

    def done(self, messages: Sequence[Incoming]) -> None:
        """Commit what comes behind the last of each partition."""
        behind: dict[tuple[str, int], int] = {}
        for topic, partition, offset in sorted(one.place for one in messages):
            behind[topic, partition] = offset + 1
        try:
            self._consumer.commit(offsets=_places(behind), asynchronous=False)
        except KafkaException as error:  # another member has the partition now, and takes them once more
            log.info("offsets_not_committed", reason=_reason(error.args[0]))

    def again(self, messages: Sequence[Incoming]) -> None:
        """Go back to the first of each partition."""
        first: dict[tuple[str, int], int] = {}
        for topic, partition, offset in sorted((one.place for one in messages), reverse=True):
            first[topic, partition] = offset
        for place in _places(first):
            try:
                self._consumer.seek(place)
            except KafkaException as error:  # it is another member's now
                log.info("partition_gone", reason=_reason(error.args[0]))

    def close(self) -> None:
        """Leave the group, so that others need not wait for a silence."""
        self._consumer.close()
        self._line.close()


class _Line:
    """A producer that says of every message what became of it."""

    def __init__(self, servers: str, options: Options) -> None:
        self._producer = _made(Producer, {"bootstrap.servers": servers, **_PRODUCER, **_QUIET} | dict(options))
        self._down = False

    def send(self, messages: Sequence[tuple[str, bytes | None, bytes, list[tuple[str, bytes]]]]) -> list[Delivery]:
        became = [Delivery.FAILED] * len(messages)
        troubles: set[str] = set()

        def report(number: int, error: KafkaError | None) -> None:
            became[number] = _delivery(error)
            if error is not None:
                troubles.add(_reason(error))

        for number, (topic, key, value, headers) in enumerate(messages):
            try:
                self._producer.produce(
                    topic,
                    value,
                    key,
                    headers=headers,
                    on_delivery=lambda error, _, number=number: report(number, error),
                )
            except KafkaException as error:
                report(number, error.args[0])
            except BufferError:  # the queue is full: it comes again with the next
                troubles.add("more waits than librdkafka holds")
        self._producer.flush(_REPORTS_WITHIN_S)
        self._say(troubles)
        return became

    def close(self) -> None:
        self._producer.purge()
        self._producer.flush(1.0)

    def _say(self, troubles: set[str]) -> None:
        if troubles and not self._down:
            log.warning("events_not_told", reasons=sorted(troubles))
        self._down = bool(troubles)


_ONLY_CONSUMERS: Final = frozenset(
    {"group.instance.id", "session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms", "auto.offset.reset"}
    | {"fetch.min.bytes", "fetch.wait.max.ms", "partition.assignment.strategy", "isolation.level"}
)
"""Options that a producer would only warn of."""


def _made(kind: Any, said: Mapping[str, Any]) -> Any:  # noqa: ANN401 - librdkafka's handles
    try:
        return kind(dict(said))
    except KafkaException as error:
        raise SettingsError(f"kafka.options: {_reason(error.args[0])}.") from error


def _delivery(error: KafkaError | None) -> Delivery:
    if error is None:
        return Delivery.TOLD
    return Delivery.REFUSED if error.code() in _NEVER else Delivery.FAILED


def _incoming(message: Any) -> Incoming:  # noqa: ANN401 - librdkafka's
    headers = tuple((name, value) for name, value in message.headers() or () if value is not None)
    place = (message.topic(), message.partition(), message.offset())
    return Incoming(message.value() or b"", message.key(), headers, place)


def _whence(one: Incoming) -> list[tuple[str, bytes]]:
    topic, partition, offset = one.place
    return [("gateway_place", f"{topic}/{partition}/{offset}".encode())]


def _places(offsets: Mapping[tuple[str, int], int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]


def _reason(error: KafkaError) -> str:
    return str(error.str()).rstrip(".")
