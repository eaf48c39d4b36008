"""CloudEvents 1.0 as Kafka carries it, by the official package: envelopes out, outcome messages in.

A message that says nothing of CloudEvents is taken as it is: the body of a ``POST /feedback``.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
from cloudevents.core.bindings import kafka
from cloudevents.core.bindings.kafka import KafkaMessage
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from gateway.core.envelopes import Envelope
from gateway.core.errors import InvalidBody, Problem
from gateway.ports import Incoming

_FORMAT = JSONFormat()
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder()
_STRUCTURED = "application/cloudevents"


def to_message(envelope: Envelope, *, structured: bool) -> KafkaMessage:
    """Write an envelope as a message: attributes in headers, or (``structured``) one JSON document of everything."""
    body = _ENCODER.encode(envelope.data)
    attributes = {
        "id": envelope.id,
        "type": envelope.type,
        "source": envelope.source,
        "subject": envelope.subject,
        "time": datetime.fromtimestamp(envelope.at, UTC),
        "datacontenttype": "application/json",
        "partitionkey": envelope.key,
    }
    if not structured:
        return kafka.to_binary(CloudEvent(attributes=attributes, data=body), _FORMAT)
    data: dict[str, Any] = _DECODER.decode(body)
    return kafka.to_structured(CloudEvent(attributes=attributes, data=data), _FORMAT)


def read_body(message: Incoming) -> object:
    """Read what a message tells. Raises InvalidBody for one that is no JSON or no CloudEvent."""
    headers = {name.lower(): value for name, value in message.headers if value is not None}
    if headers.get("content-type", b"").startswith(_STRUCTURED.encode()):
        _check(kafka.from_structured, message, headers)  # it also reads the document, but forgivingly
        document = _decode(message.value)
        return document.get("data") if isinstance(document, dict) else None
    if any(name.startswith("ce_") for name in headers):
        _check(kafka.from_binary, message, headers)
    return _decode(message.value)


def _check(read: Any, message: Incoming, headers: dict[str, bytes]) -> None:  # noqa: ANN401 - one of its two readers
    try:
        read(KafkaMessage(headers=headers, key=None, value=message.value), _FORMAT)
    except CloudEventValidationError as error:
        raise InvalidBody(Problem("", f"Is no CloudEvent: {error}")) from error
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ) as error:  # whatever the document does to it
        raise InvalidBody(Problem("", f"Is no CloudEvent ({type(error).__name__}).")) from error


def _decode(raw: bytes) -> object:
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBody(Problem("", f"Is no JSON: {error}.")) from None
