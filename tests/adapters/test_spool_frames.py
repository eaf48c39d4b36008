"""Frames: what is whole comes back exactly, what is damaged is named."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.spool import frames
from gateway.adapters.spool.frames import Frame, Unreadable, decode, encode, scan
from gateway.core.events import OutcomeRecord, Punctuation
from tests.records import EVENTS, outcome, prediction

FRAMES = [encode(event) for event in EVENTS]
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(max_size=20)
)


def decoded(data: bytes, **how: bool) -> list[object]:
    return [decode(found) if isinstance(found, Frame) else found for found in scan(data, 0, **how)]


@given(st.lists(st.tuples(scalars, st.floats(allow_nan=False)), max_size=5))
def test_values_keep_their_type_and_every_bit(values: list[tuple[object, float]]) -> None:
    records = [outcome(value=value, observed_at=at) for value, at in values]
    found = decoded(b"".join(map(encode, records)))
    assert found == records
    assert [type(r.value) for r in records] == [type(f.value) for f in found if isinstance(f, OutcomeRecord)]


@given(st.integers(0, sum(map(len, FRAMES))))
def test_of_a_torn_tail_every_whole_frame_is_read_and_nothing_is_called_damage(length: int) -> None:
    found = decoded(b"".join(FRAMES)[:length])
    assert found == EVENTS[: len(found)]
    assert sum(map(len, FRAMES[: len(found) + 1])) > length or len(found) == len(EVENTS)


@given(st.integers(0, len(FRAMES[1]) - 1), st.integers(1, 255))
def test_a_damaged_byte_costs_its_own_frame_only_and_is_reported(place: int, change: int) -> None:
    damaged = bytearray(FRAMES[1])
    damaged[place] ^= change
    start, end = len(FRAMES[0]), len(FRAMES[0]) + len(FRAMES[1])
    found = decoded(FRAMES[0] + bytes(damaged) + FRAMES[2])
    assert found == [EVENTS[0], Unreadable(start, end, "bad checksum"), EVENTS[2]]


def test_a_frame_cut_off_by_the_reader_is_unfinished_not_damaged_even_if_another_follows_inside() -> None:
    inner = encode(Punctuation(None, 1.0))
    outer = encode(prediction(statuses=inner, label="x" * 100))
    cut = outer[: outer.index(inner) + len(inner) + 5]
    assert decoded(cut, whole=False) == []


def test_fields_that_a_later_version_added_are_skipped() -> None:
    later = msgspec.to_builtins(outcome()) | {"mood": "sunny"}
    payload = msgspec.msgpack.encode(later)
    frame = Frame(0, 1, frames.VERSION, frames.Kind.OUTCOME, payload)
    assert decode(frame) == outcome()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (Frame(0, 9, frames.VERSION + 1, 3, b""), "frame version 2"),
        (Frame(0, 9, frames.VERSION, 77, b""), "record kind 77"),
        (Frame(0, 9, frames.VERSION, 3, b"\x01"), "payload: Expected `object`, got `int`"),
    ],
)
def test_a_frame_of_a_later_version_is_named_not_guessed_at(frame: Frame, reason: str) -> None:
    assert decode(frame) == Unreadable(0, 9, reason)
