"""Rows of a query, as the databases' event logs share them: packed answers, counting outcomes, evidence and pairs."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from gateway.adapters.store.joins import LABEL, Answer, Rank, visible
from gateway.core.deployments import Scalar
from gateway.core.drift.rows import LoggedRow
from gateway.core.events import (
    EvidenceRow,
    OutcomeRecord,
    PairRow,
    Position,
    PredictionRecord,
    ServedRow,
    ShadowRecord,
)
from gateway.core.gates import Replayable

Row = tuple[Any, ...]
PackedAnswer = tuple[Scalar, float | None, dict[str, float] | None, float | None]
"""Label, score, scores, and the model's machine seconds (None: not this request's alone)."""

pack = msgspec.msgpack.Encoder().encode
unpack_scalar: Callable[[bytes], Scalar] = msgspec.msgpack.Decoder(Scalar).decode
unpack_answer = msgspec.msgpack.Decoder(PackedAnswer).decode
unpack_prediction = msgspec.msgpack.Decoder(PredictionRecord).decode
unpack_shadow = msgspec.msgpack.Decoder(ShadowRecord).decode


class _Draw(msgspec.Struct):
    """The part of a prediction record that says whose draw it was."""

    epoch: int
    key_hash: str


class _Asked(msgspec.Struct):
    """The part of a prediction record that says what it was asked with."""

    names: tuple[str, ...]
    values: tuple[Scalar, ...]
    statuses: bytes


_unpack_draw = msgspec.msgpack.Decoder(_Draw).decode
_unpack_asked = msgspec.msgpack.Decoder(_Asked).decode

NO_ANSWER: PackedAnswer = (None, None, None, 0.0)
CRASHED = (False, True, pack(NO_ANSWER))
"""What a shadow that took its worker along comes to: not dropped, failed, no answer."""


def counting(outcomes: Iterable[Row], seen: Mapping[str, int] | None) -> dict[str, dict[str, Scalar]]:
    """Pick, by body and metric, the outcome that counts among those that could be seen (None: all).

    An outcome is (body, metric, value, *rank), the rank as :class:`Rank` orders it.
    """
    best: dict[tuple[str, str], Row] = {}
    for outcome in outcomes:
        if seen is not None and not visible(outcome[5], outcome[6], seen):
            continue
        about = outcome[:2]
        if about not in best or best[about][3:] < outcome[3:]:
            best[about] = outcome
    by_body: defaultdict[str, dict[str, Scalar]] = defaultdict(dict)
    for (body, metric), outcome in best.items():
        by_body[body][metric] = unpack_scalar(outcome[2])
    return by_body


def counting_records(tag: str, told: Iterable[Row]) -> dict[str, dict[str, OutcomeRecord]]:
    """Pick, by body and metric, the outcome that counts now."""
    best: dict[tuple[str, str], tuple[Rank, OutcomeRecord]] = {}
    for body, metric, value, observed_at, received_at, spool_id, offset, source in told:
        found = Rank(observed_at, received_at, spool_id, offset)
        if (body, metric) not in best or best[body, metric][0] < found:
            record = OutcomeRecord(tag, body, metric, unpack_scalar(value), observed_at, received_at, source)
            best[body, metric] = (found, record)
    by_body: defaultdict[str, dict[str, OutcomeRecord]] = defaultdict(dict)
    for (body, metric), (_, record) in best.items():
        by_body[body][metric] = record
    return by_body


def evidence_row(bet: Row, outcomes: dict[str, Scalar]) -> EvidenceRow:
    """A bet (at, spool_id, offset, body, candidate, propensity, failed, answer) with the outcomes that count."""
    at, spool_id, offset, _, candidate, propensity, failed, packed = bet
    label, score, scores, latency_s = unpack_answer(packed) if packed else NO_ANSWER
    return EvidenceRow(
        Position(at, spool_id, offset),
        bool(candidate),
        propensity,
        failed=failed is None or bool(failed),
        label=label,
        score=score,
        scores=scores,
        latency_s=latency_s,
        outcomes=outcomes,
    )


def pair_row(side: Row, failed: bool, packed: bytes, outcomes: dict[str, Scalar]) -> PairRow:
    """Stable's side (at, spool_id, offset, body, answer) with what the shadow came to."""
    at, spool_id, offset, _, answer = side
    stable_label, stable_score, stable_scores, _ = unpack_answer(answer)
    shadow_label, shadow_score, shadow_scores, _ = unpack_answer(packed)
    return PairRow(
        Position(at, spool_id, offset),
        stable_label,
        stable_score,
        shadow_label,
        shadow_score,
        shadow_failed=bool(failed),
        outcomes=outcomes,
        stable_scores=stable_scores,
        shadow_scores=shadow_scores,
    )


def counted(row: Row, outcomes: Mapping[str, Scalar], labelled_at: float | None) -> Answer:
    """A counted request (body, at, name, generation, digest, failed, degraded, answer) with its label, if any."""
    _, at, name, generation, digest, failed, degraded, packed = row
    label, score, _, latency_s = unpack_answer(packed)
    return Answer(
        name,
        generation,
        digest,
        bool(failed),
        bool(degraded),
        label,
        score,
        LABEL in outcomes,
        outcomes.get(LABEL),
        latency_s,
        None if labelled_at is None else labelled_at - at,
    )


def labelled_first(outcomes: Iterable[Row]) -> dict[str, float]:
    """When each body's first label was observed (data time, seconds)."""
    labelled_at: dict[str, float] = {}
    for body, metric, _, observed_at, *_ in outcomes:
        if metric == LABEL:
            labelled_at[body] = min(observed_at, labelled_at.get(body, observed_at))
    return labelled_at


def replayable_row(body: str, packed: bytes, labels: Mapping[str, dict[str, Scalar]]) -> Replayable:
    """A request's values as they were read then, and the label that counts now."""
    record = unpack_prediction(packed)
    values = dict(zip(record.names, record.values, strict=False))
    return Replayable(record.at, values, labels.get(body, {}).get(LABEL))


def served_row(row: Row, outcomes: dict[str, Scalar], labelled_at: float | None) -> ServedRow:
    """A request (at, spool_id, offset, body, generation, failed, answer, record) with the outcomes that count."""
    at, spool_id, offset, body, generation, failed, packed, record = row
    bet = (at, spool_id, offset, body, False, 0.0, failed, packed)
    draw = _unpack_draw(record)
    delay = None if labelled_at is None else labelled_at - at
    return ServedRow(evidence_row(bet, outcomes), generation, draw.epoch, draw.key_hash, delay)


def logged_row(found: Row, truth: Scalar) -> LoggedRow:
    """A request as it was asked (body, at, generation, failed, answer, record), with the label that counts now."""
    body, at, generation, failed, packed, record = found
    asked, (label, score, scores, _) = _unpack_asked(record), unpack_answer(packed)
    seen = (asked.names, asked.values, asked.statuses)
    return LoggedRow(at, body, generation, bool(failed), *seen, label, score, scores, truth)


def counting_labels(outcomes: Iterable[Row]) -> dict[str, Scalar]:
    """The label that counts, by body, among labels (body, value, observed_at, received_at, spool_id, offset)."""
    best: dict[str, tuple[Rank, bytes]] = {}
    for body, packed, *place in outcomes:
        found = Rank(*place)
        if body not in best or best[body][0] < found:
            best[body] = (found, packed)
    return {body: unpack_scalar(packed) for body, (_, packed) in best.items()}
