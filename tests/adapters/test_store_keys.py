"""Signing keys: made once, kept private, never taken away."""

from pathlib import Path

import pytest

from gateway.adapters.store.keys import load_or_create_keys, rotate
from gateway.core.errors import SettingsError
from gateway.core.ids import mint, verify


def test_the_first_start_makes_a_key_and_the_next_one_finds_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "keys.json"
    keys = load_or_create_keys(path)
    assert load_or_create_keys(path) == keys
    assert [keys.current, *keys.keys] == ["k1", "k1"]
    assert len(keys.keys["k1"]) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_two_states_never_share_a_key(tmp_path: Path) -> None:
    assert load_or_create_keys(tmp_path / "a").keys != load_or_create_keys(tmp_path / "b").keys


def test_after_a_rotation_old_ids_still_verify_and_new_ones_are_signed_anew(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    old = mint(load_or_create_keys(path), "tag", "body")
    keys = rotate(path)
    new = mint(keys, "tag", "body")
    assert (old.split(".")[0], new.split(".")[0]) == ("k1", "k2")
    assert verify(keys, old) == verify(keys, new) is not None
    assert load_or_create_keys(path) == keys
    assert path.stat().st_mode & 0o777 == 0o600


def test_keys_that_others_may_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    load_or_create_keys(path)
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="0600"):
        load_or_create_keys(path)


@pytest.mark.parametrize("text", ["", "{}", '{"current": "k2", "keys": {"k1": "AAAA"}}', '{"current": 1}'])
def test_a_file_that_holds_no_keys_is_named_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"keys\.json"):
        load_or_create_keys(path)
    assert path.read_text() == text
