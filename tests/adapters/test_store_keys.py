"""Signing keys: made once, kept private, never taken away."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.adapters.store.keys import await_keys, load_or_create_keys, rotate, share_keys
from gateway.core.errors import SettingsError, StoreUnavailable
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


def test_hosts_around_one_store_sign_with_the_keys_of_whoever_came_first(tmp_path: Path) -> None:
    given: list[bytes] = []

    def shared(mine: Callable[[], bytes]) -> bytes:
        if not given:
            given.append(mine())
        return given[0]

    first = load_or_create_keys(tmp_path / "a" / "keys.json")
    assert share_keys(tmp_path / "a" / "keys.json", shared) == first
    assert share_keys(tmp_path / "b" / "keys.json", shared) == first
    assert await_keys(tmp_path / "b" / "keys.json", 1.0) == first
    assert (tmp_path / "b" / "keys.json").stat().st_mode & 0o777 == 0o600


def test_without_the_store_a_host_signs_with_what_was_brought_to_it_earlier(tmp_path: Path) -> None:
    def away(_: Callable[[], bytes]) -> bytes:
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        share_keys(tmp_path / "keys.json", away)
    keys = load_or_create_keys(tmp_path / "keys.json")
    assert share_keys(tmp_path / "keys.json", away) == keys


def test_a_worker_to_whom_no_keys_are_brought_does_not_make_its_own(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        await_keys(tmp_path / "keys.json", 0.2)
    assert not (tmp_path / "keys.json").exists()
