"""What waits to be told to the outside, as rows: the same for every store."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from gateway.core.envelopes import DECISION, OUTCOME, PREDICTION, Told, decision_id, kind_of, place_id
from gateway.core.events import Decision, Event, OutcomeRecord, PredictionRecord
from gateway.ports import Untold

Entry = tuple[str, str, bytes]
"""Id, kind, and the event packed."""

_pack = msgspec.msgpack.Encoder().encode
_DECODERS: Mapping[str, msgspec.msgpack.Decoder[Any]] = {
    PREDICTION: msgspec.msgpack.Decoder(PredictionRecord),
    OUTCOME: msgspec.msgpack.Decoder(OutcomeRecord),
    DECISION: msgspec.msgpack.Decoder(Decision),
}


def record_entry(event: Event, spool_id: str, offset: int, kinds: Collection[str]) -> list[Entry]:
    """The entry of a record of the log, where its kind is told at all."""
    if not isinstance(event, PredictionRecord | OutcomeRecord) or (kind := kind_of(event)) not in kinds:
        return []
    return [(place_id(spool_id, offset), kind, _pack(event))]


def decision_entries(
    deployment: str, revision: int, decisions: Sequence[Decision], kinds: Collection[str]
) -> list[Entry]:
    """The entries of the decisions that made a revision, where decisions are told at all."""
    if DECISION not in kinds:
        return []
    return [(decision_id(deployment, revision, n), DECISION, _pack(one)) for n, one in enumerate(decisions)]


def untold(number: int, event_id: str, kind: str, packed: bytes) -> Untold:
    """Read a row."""
    event: Told = _DECODERS[kind].decode(packed)
    return Untold(number, event_id, event)
