"""A model in a process of its own, for artifacts that bring modules: two versions of a module cannot live in one.

A worker keeps one such process per model. It is asked one batch at a time, over pipes, by whichever thread of a pool
has the call, and ends with the worker, however that ends. One that has died is started again aside; until it is there
the model fails, for no request waits for a load.
"""

import os
import select
import struct
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from gateway.adapters.children import how_it_ended, resident
from gateway.core.deployments import ModelCard, Scalar
from gateway.core.errors import ModelFailed, ModelUnusable
from gateway.ports import Output

DIED = "ProcessDied"
_CHILD = "gateway.adapters.models.apart_child"
_AGAIN_S = 1.0
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Job:
    """What the process is to serve, ``alive`` being the pipe whose other end the worker holds."""

    cache: str
    card: ModelCard
    artifact_bytes: int
    alive: int


class Told(msgspec.Struct, omit_defaults=True):
    """What it says: once that it is ready, or why it is not; then the answers to each batch, or how it failed."""

    outputs: list[Output] = []
    failed: str = ""
    unusable: str = ""


class ApartModel:
    """Such a model behind the Model port."""

    def __init__(self, card: ModelCard, cache: Path, wall_s: float, artifact_bytes: int) -> None:
        """Start the process and wait until it has loaded the model, ``wall_s`` at most. Raises ModelUnusable."""
        self._card = card
        self._start = partial(_Process, cache, card, wall_s, artifact_bytes)
        self._lock = threading.Lock()
        self._process: _Process | None = self._start()
        self._starting = False
        self._again = 0.0

    @property
    def card(self) -> ModelCard:
        """What it is, takes and gives."""
        return self._card

    @property
    def pid(self) -> int | None:
        """The process; None while there is none."""
        return None if self._process is None else self._process.pid

    def predict(self, rows: Sequence[Sequence[Scalar]]) -> list[Output]:
        """Answer rows whose values stand in the order of ``card.inputs``. Raises ModelFailed."""
        with self._lock:
            if self._process is None:
                self._revive()
                raise ModelFailed(DIED)
            try:
                told = self._process.ask(rows)
            except (OSError, EOFError, msgspec.MsgspecError) as error:
                self._process = None
                self._revive()
                raise ModelFailed(DIED) from error
        if told.failed:
            raise ModelFailed(told.failed)
        return told.outputs

    def _revive(self) -> None:
        """Start another one aside, one at a time and not at every call. Holds the lock."""
        if not self._starting and time.monotonic() >= self._again:
            self._starting = True
            threading.Thread(target=_revive, args=(weakref.ref(self),), daemon=True).start()

    def revived(self, process: "_Process | None") -> None:
        """Take over a process that was started aside; None where it could not be."""
        with self._lock:
            self._process, self._starting = process, False
            self._again = time.monotonic() + _AGAIN_S

    def start(self) -> "_Process | None":
        """Start a process; None where the model cannot be loaded any more."""
        try:
            return self._start()
        except (ModelUnusable, OSError):
            return None


def _revive(model: "weakref.ref[ApartModel]") -> None:
    wanted = model()
    if wanted is not None:
        wanted.revived(wanted.start())


class _Process:
    """The process and its pipes. Nobody else knows them, so when this object goes, it goes."""

    def __init__(self, cache: Path, card: ModelCard, wall_s: float, artifact_bytes: int) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="gateway-apart-", ignore_cleanup_errors=True)
        theirs, ours = os.pipe()
        try:
            self._popen: subprocess.Popen[bytes] = resident(_CHILD, Path(scratch.name), theirs)
        finally:
            os.close(theirs)
        self._asks, self._answers = cast(IO[bytes], self._popen.stdin), cast(IO[bytes], self._popen.stdout)
        weakref.finalize(self, _end, self._popen, ours, scratch)
        self._wall_s = wall_s
        self.pid = self._popen.pid
        job = Job(str(cache), card, artifact_bytes, theirs)
        try:
            told = self._exchange(msgspec.msgpack.encode(job))
        except (OSError, EOFError, msgspec.MsgspecError) as error:
            self._popen.kill()
            code = None if isinstance(error, TimeoutError) else self._popen.wait()
            raise ModelUnusable(f"{card.uri}: {how_it_ended(code, wall_s)}") from error
        if told.unusable:
            raise ModelUnusable(f"{card.uri}: {told.unusable}")

    def ask(self, rows: Sequence[Sequence[Scalar]]) -> Told:
        """Send rows and wait for what becomes of them. Raises OSError, EOFError, MsgspecError: it is of no more use."""
        try:
            content = msgspec.msgpack.encode(rows)
        except (OverflowError, TypeError) as error:
            raise ModelFailed(type(error).__name__) from error
        return self._exchange(content)

    def _exchange(self, content: bytes) -> Told:
        write_frame(self._asks, content)
        waiting = select.poll()
        waiting.register(self._answers, select.POLLIN)
        if not waiting.poll(self._wall_s * 1_000.0):
            self._popen.kill()
            raise TimeoutError
        return msgspec.msgpack.decode(read_frame(self._answers), type=Told)


def write_frame(pipe: IO[bytes], content: bytes) -> None:
    """Write a frame: its length, four bytes with the greatest first, and its content."""
    pipe.write(_LENGTH.pack(len(content)) + content)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes:
    """Read a frame. Raises EOFError where the other side is gone."""
    head = pipe.read(_LENGTH.size)
    content = pipe.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
    if not content:
        raise EOFError
    return content


def _end(popen: "subprocess.Popen[bytes]", alive: int, scratch: "tempfile.TemporaryDirectory[Any]") -> None:
    os.close(alive)
    popen.kill()
    popen.communicate()
    scratch.cleanup()
