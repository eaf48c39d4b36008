"""The section ``kafka``: what goes to a broker, and what comes from there."""

import importlib.util
from typing import Literal

from pydantic import Field, model_validator

from gateway.settings.words import Section


class SendSettings(Section):
    """Which events go to which topic; a kind without one stays here."""

    predictions: str | None = None
    """Topic of predictions, each with its features and its answer."""
    outcomes: str | None = None
    """Topic of outcomes, each correction and repetition too."""
    decisions: str | None = None
    """Topic of decisions: every line of every timeline."""

    def topics(self) -> dict[str, str]:
        """Topic by kind of event."""
        said = {"prediction": self.predictions, "outcome": self.outcomes, "decision": self.decisions}
        return {kind: topic for kind, topic in said.items() if topic is not None}


class TakeSettings(Section):
    """Where outcomes are taken from, as ``POST /feedback`` takes them."""

    topic: str
    """Topic to read; each message is the body of a ``POST /feedback``, in a CloudEvents envelope or bare."""
    group: str = "gateway"
    """Consumer group: hosts of the same group share the topic's partitions."""
    dead: str | None = None
    """Topic of messages that cannot be taken, with the reason; none puts ``.dead`` behind the name of ``topic``."""

    @property
    def dead_topic(self) -> str:
        """Where messages go that cannot be taken."""
        return self.dead or f"{self.topic}.dead"


class KafkaSettings(Section):
    """A Kafka cluster that is told of events, or that labels come from."""

    servers: str = Field(min_length=1)
    """Brokers to ask first, as ``HOST:PORT,HOST:PORT``."""
    send: SendSettings = SendSettings()
    """Which events go where."""
    take: TakeSettings | None = None
    """Where outcomes come from; none takes them by HTTP only."""
    mode: Literal["binary", "structured"] = "binary"
    """CloudEvents content mode: attributes as headers and the body as it is, or one JSON document of both."""
    most_waiting: int = Field(default=1_000_000, ge=1)
    """Most events that wait in the store for a broker, a count; beyond it the oldest are given up, and counted."""
    options: dict[str, bool | int | float | str] = {}
    """librdkafka's own properties, such as ``security.protocol`` and ``sasl.password``. Secrets."""

    @model_validator(mode="after")
    def _with_the_extra(self) -> "KafkaSettings":
        if importlib.util.find_spec("confluent_kafka") is None or importlib.util.find_spec("cloudevents") is None:
            raise ValueError("Kafka needs the extra: pip install 'gateway[kafka]'")
        return self
