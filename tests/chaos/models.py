"""Models that misbehave on demand: coded by arm and entity as the others, but for a few entities that they know.

They are unpickled in workers and in the agent's inspecting child, so they live in a module that those can import.
"""

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from gateway.adapters.models.joblib_folder import save
from gateway.core.deployments import Field, Task, Type
from tests.e2e.harness import DEPLOYMENT

SLEEPS, HOLDS, WEDGES = 100_001.0, 100_002.0, 100_003.0
"""Entities at which a moody model sleeps ten seconds, sorts objects in numpy, or never gives the interpreter back."""
_SLEEP_S = 10.0
_OBJECTS = 400_000
INPUTS = (Field("entity", Type.NUMBER, example=1.0),)


class Coded(RegressorMixin, BaseEstimator):  # type: ignore[misc, unused-ignore]
    """Answers ``base`` + entity, ``each_s`` seconds a call."""

    def __init__(self, base: float, each_s: float = 0.0) -> None:
        self.base = base
        self.each_s = each_s

    def predict(self, rows: Any) -> Any:
        """Answer."""
        if self.each_s:
            time.sleep(self.each_s)
        return self.base + np.asarray(rows, dtype=float)[:, 0]


class Moody(Coded):
    """Right, and quick, but for three entities."""

    def predict(self, rows: Any) -> Any:
        """Answer, sooner or later."""
        entity = float(np.asarray(rows, dtype=float)[0, 0])
        if entity == SLEEPS:
            time.sleep(_SLEEP_S)
        elif entity == HOLDS:
            np.sort(np.arange(_OBJECTS)[::-1].astype(object))
        elif entity == WEDGES:
            ctypes.PyDLL(None).sleep(3_600)  # a call that keeps the interpreter's lock, so no thread here goes on
        return super().predict(rows)


class Noted(Coded):
    """Notes in a file when it was run for which entity."""

    def __init__(self, base: float, each_s: float, path: str) -> None:
        super().__init__(base, each_s)
        self.path = path

    def predict(self, rows: Any) -> Any:
        """Note it, then answer."""
        began = time.time()
        lines = "".join(f"{began!r} {float(row[0])!r}\n" for row in np.asarray(rows, dtype=float))
        with Path(self.path).open("a") as file:
            file.write(lines)
        return super().predict(rows)


class Raises(Coded):
    """Has no answer for anybody but the example's entity."""

    def predict(self, rows: Any) -> Any:
        """Raise."""
        if float(np.asarray(rows, dtype=float)[0, 0]) != 1.0:
            raise ArithmeticError("no")
        return super().predict(rows)


class Sleepy(Coded):
    """Takes thirty seconds for anybody but the example's entity."""

    def predict(self, rows: Any) -> Any:
        """Sleep."""
        if float(np.asarray(rows, dtype=float)[0, 0]) != 1.0:
            time.sleep(30.0)
        return super().predict(rows)


class Huge(Coded):
    """Answers a hundred megabytes to anybody but the example's entity."""

    def predict(self, rows: Any) -> Any:
        """Answer far too much."""
        if float(np.asarray(rows, dtype=float)[0, 0]) != 1.0:
            return np.zeros((len(rows), 100 * 2**20 // 8))
        return super().predict(rows)


class OnLoad:
    """Something that happens when an artifact is opened."""

    def __init__(self, act: Callable[..., Any], *arguments: Any) -> None:
        self.what = (act, arguments)

    def __reduce__(self) -> Any:
        return self.what


def segfault() -> None:
    """End this process as a broken native extension does."""
    os.kill(os.getpid(), signal.SIGSEGV)


def loop() -> None:
    """Never end."""
    while True:
        pass


def swallow() -> bytearray:
    """Ask for more memory than anybody may have."""
    return bytearray(64 * 2**30)


TRAPS: dict[str, OnLoad] = {
    "ends by a signal": OnLoad(segfault),
    "exits": OnLoad(os._exit, 0),
    "wants 64 GiB": OnLoad(swallow),
    "takes 120 s": OnLoad(time.sleep, 120.0),
    "loops for ever": OnLoad(loop),
}


def put(models: Path, version: str, model: Any) -> None:
    """Write a model of the coded deployment."""
    save(models, DEPLOYMENT, version, model, task=Task.REGRESSION, inputs=INPUTS)
