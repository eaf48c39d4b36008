"""Row S10: bytes swapped between the check and the load, two hundred times: what was not verified is never loaded."""

import threading
from pathlib import Path

from gateway.adapters.models import joblib_folder
from gateway.core.errors import ModelUnusable
from tests.adapters.test_models_prepare import OnLoad, prepared
from tests.security.form import Form


def test_two_hundred_races_load_no_unpinned_byte(tmp_path: Path, form: Form) -> None:
    cache, card = prepared(tmp_path)
    place, told, over = tmp_path / "cache" / card.path / "model.joblib", tmp_path / "loaded", threading.Event()
    good = place.read_bytes()
    joblib_folder.save(tmp_path / "other", "m", "1", OnLoad(exec, f"open({str(told)!r}, 'w')"))
    evil = (tmp_path / "other/m/1/model.joblib").read_bytes()

    def swap() -> None:
        while not over.is_set():
            for content in (evil, good):
                (tmp_path / "next").write_bytes(content)
                (tmp_path / "next").replace(place)

    swapper = threading.Thread(target=swap)
    swapper.start()
    loaded, refused = 0, 0
    try:
        while loaded + refused < 200 or not (loaded and refused):  # until it has really raced
            try:
                cache.load(card)
                loaded += 1
            except ModelUnusable:
                refused += 1
    finally:
        over.set()
        swapper.join()
    races, ran = loaded + refused, told.exists()
    form.note(f"{'some' if ran else 'no'} unpinned byte loaded in {races} races, {refused} refused", "none in 200")
    assert not ran
