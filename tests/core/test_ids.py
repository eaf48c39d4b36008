"""Prediction ids: opaque, unforgeable, joined by deployment and body."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import ids
from gateway.core.ids import PredictionRef, SigningKeys

KEYS = SigningKeys("k2", {"k1": b"a" * 32, "k2": b"b" * 32})
TAG = ids.tag_of("flight-delay")
URL_SAFE = string.ascii_letters + string.digits + "-_."


@given(st.binary(min_size=16, max_size=16), st.text(max_size=80))
def test_an_id_verifies_to_what_it_was_minted_for_and_is_short_and_url_safe(random: bytes, name: str) -> None:
    tag, body = ids.tag_of(name), ids.body_from(random)
    minted = ids.mint(KEYS, tag, body)
    assert ids.verify(KEYS, minted) == PredictionRef(tag, body)
    assert len(minted) <= 80
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", minted)


def test_rotating_keys_breaks_no_join() -> None:
    body = ids.body_from(bytes(16))
    old = ids.mint(SigningKeys("k1", KEYS.keys), TAG, body)
    new = ids.mint(KEYS, TAG, body)
    assert old != new
    assert ids.verify(KEYS, old) == ids.verify(KEYS, new)


def test_a_key_that_was_dropped_verifies_nothing() -> None:
    minted = ids.mint(KEYS, TAG, ids.body_from(bytes(16)))
    assert ids.verify(SigningKeys("k3", {"k3": b"c" * 32}), minted) is None
    assert ids.verify(SigningKeys("k2", {"k2": b"c" * 32}), minted) is None


@given(st.data())
def test_changing_any_one_character_makes_it_a_forgery(data: st.DataObject) -> None:
    minted = ids.mint(KEYS, TAG, ids.body_from(b"0123456789abcdef"))
    place = data.draw(st.integers(0, len(minted) - 1))
    other = data.draw(st.sampled_from(URL_SAFE.replace(minted[place], "")))
    assert ids.verify(KEYS, minted[:place] + other + minted[place + 1 :]) is None


@given(st.text(max_size=100))
def test_no_text_is_an_id_by_chance(text: str) -> None:
    assert ids.verify(KEYS, text) is None


@pytest.mark.parametrize("text", ["", "...", "k2...", "k2.é.b.c", "\ud800.a.b.c", "k2.a.b.c.d", "." * 10_000])
def test_nonsense_is_no_id_and_no_error(text: str) -> None:
    assert ids.verify(KEYS, text) is None


def test_the_same_request_of_the_same_caller_gets_the_same_body_and_nobody_elses() -> None:
    body = ids.body_of("shop", "flight-delay", "r-1")
    assert body == ids.body_of("shop", "flight-delay", "r-1")
    others = [("shop", "flight-delay", "r-2"), ("shop", "churn", "r-1"), ("bank", "flight-delay", "r-1")]
    assert len({body, *(ids.body_of(*other) for other in others)}) == 4


def test_a_body_needs_all_its_random_bytes() -> None:
    with pytest.raises(ValueError, match="16 random bytes, not 8"):
        ids.body_from(bytes(8))


def test_a_keys_hash_tells_keys_apart_and_does_not_show_them() -> None:
    assert ids.key_hash("user-1") == ids.key_hash("user-1") != ids.key_hash("user-2")
    assert "user" not in ids.key_hash("user-1")


def test_tags_of_many_deployments_differ() -> None:
    assert len({ids.tag_of(f"deployment-{n}") for n in range(10_000)}) == 10_000
