"""A broken artifact costs its own preparation and nothing else; what was verified is what is loaded."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from gateway.adapters.models import JoblibFolder, ModelCache, joblib_folder
from gateway.adapters.models.memory import MemoryModelStore, Script
from gateway.adapters.models.prepare import Limits
from gateway.core.deployments import Field, ModelCard, Task, Type
from gateway.core.errors import ModelUnusable

ONE_GIB = Limits(memory_bytes=2**30)
URI = "models:/m/1"


class OnLoad:
    """An artifact that does something of its own while it is being unpickled."""

    def __init__(self, does: Callable[..., Any], *arguments: Any) -> None:
        self._does = does, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._does


def line() -> LinearRegression:
    return LinearRegression().fit(np.array([[0.0], [1.0]]), [0.0, 2.0])


def folder_with(tmp_path: Path, model: Any, **about: Any) -> JoblibFolder:
    joblib_folder.save(tmp_path / "models", "m", "1", model, **about)
    return JoblibFolder(tmp_path / "models")


def prepared(tmp_path: Path) -> tuple[ModelCache, ModelCard]:
    cache = ModelCache(tmp_path / "cache")
    return cache, cache.prepare(folder_with(tmp_path, line()), URI)


@pytest.mark.parametrize(
    ("does", "says"),
    [
        (OnLoad(eval, "1/0"), r"cannot be loaded \(ZeroDivisionError\)"),
        (OnLoad(exec, "import no_such_package"), "needs the module no_such_package"),
        (OnLoad(sys.exit, 0), r"cannot be loaded \(SystemExit\)"),
        (OnLoad(os._exit, 7), "exit code 7"),
        (OnLoad(os.abort), "by signal 6"),
        (OnLoad(bytearray, 2**31), "more than the 1024 MiB"),
        (OnLoad(exec, "x = []\nwhile True: x.append(bytes(10**7))"), "more than the 1024 MiB"),
    ],
    ids=["raises", "needs a package", "exits", "exits hard", "crashes", "is huge", "allocates"],
)
def test_an_artifact_that_misbehaves_when_loaded_is_unusable_and_leaves_nothing(
    tmp_path: Path, does: OnLoad, says: str
) -> None:
    cache = ModelCache(tmp_path / "cache", ONE_GIB)
    with pytest.raises(ModelUnusable, match=says):
        cache.prepare(folder_with(tmp_path, does), URI)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    "does",
    [OnLoad(exec, "while True: pass"), OnLoad(exec, "import threading; threading.Event().wait()")],
    ids=["loops", "hangs"],
)
def test_an_artifact_that_never_finishes_loading_is_given_up(tmp_path: Path, does: OnLoad) -> None:
    cache = ModelCache(tmp_path / "cache", Limits(wall_s=1.5))
    with pytest.raises(ModelUnusable, match=r"more than the 1\.5 seconds"):
        cache.prepare(folder_with(tmp_path, does), URI)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_process_that_an_artifact_leaves_behind_ends_with_its_preparation(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    script = (
        f"import subprocess, os; p = subprocess.Popen(['sleep', '600']); open({str(told)!r}, 'w').write(str(p.pid))"
    )
    with pytest.raises(ModelUnusable):
        ModelCache(tmp_path / "cache").prepare(folder_with(tmp_path, OnLoad(exec, script)), URI)
    state = subprocess.run(["ps", "-o", "stat=", "-p", told.read_text()], capture_output=True, text=True, check=False)
    assert state.stdout.strip()[:1] in {"", "Z"}


def test_an_artifact_sees_no_secret_of_the_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_STORE_PASSWORD", "hunter2")
    exits_by_secret = OnLoad(exec, "import os; os._exit(40 + ('GATEWAY_STORE_PASSWORD' in os.environ))")
    with pytest.raises(ModelUnusable, match="exit code 40"):
        ModelCache(tmp_path / "cache").prepare(folder_with(tmp_path, exits_by_secret), URI)


def test_what_a_model_prints_is_not_taken_for_the_verdict(tmp_path: Path) -> None:
    prints = OnLoad(eval, "print('{\"found\": null}') or __import__('os').write(1, b'{}')")
    with pytest.raises(ModelUnusable, match="neither a fitted classifier nor a regressor"):
        ModelCache(tmp_path / "cache").prepare(folder_with(tmp_path, prints), URI)


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"task": Task.BINARY}, "neither integers nor text|classes"),
        (
            {"inputs": [Field("a", Type.NUMBER), Field("b", Type.NUMBER)]},
            "2 inputs were declared, but the model takes 1",
        ),
        ({"inputs": [Field("a", Type.STRING, example="x")]}, r"fails at its own example \(ValueError\)"),
    ],
)
def test_a_manifest_that_contradicts_its_model_is_refused(tmp_path: Path, about: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelUnusable, match=says):
        ModelCache(tmp_path / "cache").prepare(folder_with(tmp_path, line(), **about), URI)


def test_declared_classes_must_be_the_models_own_in_its_order(tmp_path: Path) -> None:
    model = LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])
    with pytest.raises(ModelUnusable, match="in this order"):
        ModelCache(tmp_path / "cache").prepare(folder_with(tmp_path, model, classes=["yes", "no"]), URI)


def test_an_artifact_over_the_size_limit_is_refused_unopened(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "cache", Limits(artifact_bytes=100))
    with pytest.raises(ModelUnusable, match="greater than the 100 bytes"):
        cache.prepare(folder_with(tmp_path, line()), URI)


def test_an_artifact_with_a_link_is_refused(tmp_path: Path) -> None:
    store = folder_with(tmp_path, line())
    (tmp_path / "models/m/1/more").symlink_to("/etc/passwd")
    with pytest.raises(ModelUnusable, match="neither a plain file nor a folder"):
        ModelCache(tmp_path / "cache").prepare(store, URI)


def test_bytes_swapped_after_preparation_are_never_loaded(tmp_path: Path) -> None:
    cache, card = prepared(tmp_path)
    told = tmp_path / "loaded"
    joblib_folder.save(tmp_path / "other", "m", "1", OnLoad(exec, f"open({str(told)!r}, 'w')"))
    (tmp_path / "other/m/1/model.joblib").replace(tmp_path / "cache" / card.path / "model.joblib")
    with pytest.raises(ModelUnusable, match="is not what was verified"):
        cache.load(card)
    assert not told.exists()


def test_bytes_swapped_back_and_forth_are_loaded_only_as_verified(tmp_path: Path) -> None:
    cache, card = prepared(tmp_path)
    place, told = tmp_path / "cache" / card.path / "model.joblib", tmp_path / "loaded"
    good = place.read_bytes()
    joblib_folder.save(tmp_path / "other", "m", "1", OnLoad(exec, f"open({str(told)!r}, 'w')"))
    evil = (tmp_path / "other/m/1/model.joblib").read_bytes()
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for content in (evil, good):
                (tmp_path / "next").write_bytes(content)
                (tmp_path / "next").replace(place)

    swapper = threading.Thread(target=swap)
    swapper.start()
    outcomes: list[bool] = []
    while len(outcomes) < 200 or not {True, False} <= set(outcomes):  # until it has really raced
        outcomes.append(_loads(cache, card))
    done.set()
    swapper.join()
    assert not told.exists()


def _loads(cache: ModelCache, card: ModelCard) -> bool:
    try:
        cache.load(card)
    except ModelUnusable:
        return False
    return True


def test_a_spoilt_cache_is_made_whole_by_preparing_again(tmp_path: Path) -> None:
    cache, card = prepared(tmp_path)
    (tmp_path / "cache" / card.path / "model.joblib").write_bytes(b"half of")
    assert cache.prepare(JoblibFolder(tmp_path / "models"), URI) == card
    assert cache.load(card).predict([[3.0]])[0].label == pytest.approx(6.0)


def test_a_model_nobody_prepared_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="abc is not prepared on this host"):
        ModelCache(tmp_path).card("abc")


def test_pruning_deletes_old_models_that_nobody_keeps(tmp_path: Path) -> None:
    store, cache = MemoryModelStore(), ModelCache(tmp_path)
    kept, old, fresh = (cache.prepare(store, store.add("m", Script(base))).digest for base in (1.0, 2.0, 3.0))
    for digest in (kept, old):
        os.utime(tmp_path / digest, (1000.0, 1000.0))
    (tmp_path / ".incoming-dead").mkdir()
    os.utime(tmp_path / ".incoming-dead", (1000.0, 1000.0))
    assert cache.prune({kept}, before=2000.0) == [old]
    assert {path.name for path in tmp_path.iterdir()} == {kept, fresh}
