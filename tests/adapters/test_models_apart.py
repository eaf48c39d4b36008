"""Models that bring modules: each has a process of its own, so two versions of a module serve side by side."""

import gc
import importlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.models import MlflowModelStore, ModelCache
from gateway.adapters.models.apart import DIED, ApartModel
from gateway.core.deployments import ModelCard
from gateway.core.errors import ModelFailed

SCALING = """
import os, time
from sklearn.base import BaseEstimator, RegressorMixin

class Scaling(RegressorMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = 1
        return self
    def predict(self, X):
        hours = [float(row[0]) for row in getattr(X, "values", X)]
        if 7.0 in hours:
            os.kill(os.getpid(), 9)
        while 8.0 in hours:
            pass
        return [{factor} * hour for hour in hours]
"""
MLMODEL = """
flavors:
  sklearn: {code: code, pickled_model: model.pkl, serialization_format: pickle}
  python_function: {code: code, loader_module: mlflow.sklearn, model_path: model.pkl}
signature: {inputs: '[{"type": "double", "name": "hour"}]'}
"""


def written(folder: Path, factor: int) -> str:
    """What MLflow makes of a model of the author's own module ``scaling`` and ``code_paths``. Returns its URI."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "scaling.py").write_text(SCALING.format(factor=factor))
    (folder / "MLmodel").write_text(MLMODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "code"))
        (folder / "model.pkl").write_bytes(pickle.dumps(importlib.import_module("scaling").Scaling().fit([[1.0]])))
        del sys.modules["scaling"]
    return folder.as_uri()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelCache, list[ModelCard]]:
    folder = tmp_path_factory.mktemp("models")
    store, cache = MlflowModelStore("sqlite:///unused.db", [folder]), ModelCache(folder / "cache")
    return cache, [cache.prepare(store, written(folder / f"v{factor}", factor)) for factor in (2, 3)]


@pytest.fixture
def double(prepared: tuple[ModelCache, list[ModelCard]]) -> Iterator[ApartModel]:
    model = prepared[0].load(prepared[1][0])
    assert isinstance(model, ApartModel)
    yield model


def labels(model: Any, *hours: float) -> list[object]:
    return [each.label for each in model.predict([[hour] for hour in hours])]


def gone(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return True
    return False


def until(question: Any, longest_s: float = 30.0) -> None:
    deadline = time.monotonic() + longest_s
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_versions_of_a_module_serve_side_by_side(
    prepared: tuple[ModelCache, list[ModelCard]], double: ApartModel
) -> None:
    treble = prepared[0].load(prepared[1][1])
    for _ in range(3):
        assert labels(double, 1.0, 5.0) == [2.0, 10.0]
        assert labels(treble, 1.0, 5.0) == [3.0, 15.0]
    assert "scaling" not in sys.modules


def test_a_process_that_dies_fails_its_batch_and_comes_back_aside(double: ApartModel) -> None:
    first = double.pid
    with pytest.raises(ModelFailed, match=DIED):
        double.predict([[7.0]])
    until(lambda: double.pid not in (None, first))
    assert labels(double, 4.0) == [8.0]


def test_what_a_model_raises_is_its_failure_and_its_process_lives_on(double: ApartModel) -> None:
    first = double.pid
    with pytest.raises(ModelFailed):
        double.predict([["no number"]])
    assert labels(double, 4.0) == [8.0]
    assert double.pid == first


def test_a_model_that_is_let_go_takes_its_process_along(prepared: tuple[ModelCache, list[ModelCard]]) -> None:
    model: Any = prepared[0].load(prepared[1][0])
    pid = model.pid
    del model
    gc.collect()
    until(lambda: gone(pid))


WORKER = """
import sys, threading, msgspec
from pathlib import Path
from gateway.adapters.models import ModelCache
from gateway.core.deployments import ModelCard
model = ModelCache(Path(sys.argv[1])).load(msgspec.json.decode(sys.argv[2], type=ModelCard))
threading.Thread(target=model.predict, args=([[8.0]],), daemon=True).start()
print(model.pid, flush=True)
threading.Event().wait()
"""


def test_a_process_ends_with_a_worker_that_is_killed_even_in_the_middle_of_a_batch_that_never_ends(
    prepared: tuple[ModelCache, list[ModelCard]], tmp_path: Path
) -> None:
    import msgspec

    cache, cards = prepared
    words = [str(cache._path), msgspec.json.encode(cards[0]).decode()]
    worker = subprocess.Popen([sys.executable, "-c", WORKER, *words], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    pid = int(worker.stdout.readline())
    until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "R")
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    until(lambda: gone(pid))
