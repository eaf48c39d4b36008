"""The process that one model has to itself: ``python -m gateway.adapters.models.apart_child``.

Frames come from standard input and go to standard output (:mod:`gateway.adapters.models.apart`): first the job, then
batch after batch. It ends when its worker does, even in the middle of a batch that never ends.
"""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from gateway.adapters.children import keep_stdout_for_the_answer
from gateway.adapters.models.apart import Job, Told, read_frame, write_frame
from gateway.adapters.models.prepare import Limits, ModelCache
from gateway.core.deployments import Scalar
from gateway.core.errors import GatewayError, ModelFailed
from gateway.ports import Model


def main() -> None:
    """Load the model and answer until nobody asks any more, then leave without running the model's exit code."""
    asked, answers = keep_stdin_for_batches(), keep_stdout_for_the_answer()
    try:
        job = msgspec.msgpack.decode(read_frame(asked), type=Job)
        end_with(job.alive)
        serve(job, asked, answers)
    except (EOFError, OSError):
        pass
    os._exit(0)


def keep_stdin_for_batches() -> BinaryIO:
    """Give the model an empty standard input, and keep the real one."""
    batches = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return batches


def end_with(alive: int) -> None:
    """Let the kernel end this process (SIGIO) when the other end of the pipe is closed, whoever closes it."""
    fcntl.fcntl(alive, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(alive, fcntl.F_SETFL, fcntl.fcntl(alive, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    try:
        gone = os.read(alive, 1) == b""
    except BlockingIOError:
        return
    if gone:
        os._exit(0)


def serve(job: Job, asked: BinaryIO, answers: BinaryIO) -> None:
    """Say that the model is loaded, or why not; then answer. Raises EOFError when the worker is done."""
    model, told = load(job)
    write_frame(answers, msgspec.msgpack.encode(told))
    while model is not None:
        rows = msgspec.msgpack.decode(read_frame(asked))
        write_frame(answers, msgspec.msgpack.encode(answer(model, rows)))


def load(job: Job) -> tuple[Model | None, Told]:
    """Load the model, or say why that cannot be done. Never quotes what a model's error says."""
    try:
        return ModelCache(Path(job.cache), Limits(artifact_bytes=job.artifact_bytes)).open(job.card), Told()
    except GatewayError as error:
        return None, Told(unusable=str(error))
    except BaseException as error:  # noqa: BLE001  # foreign code may raise anything, SystemExit too
        return None, Told(unusable=f"The model cannot be loaded ({type(error).__name__}).")


def answer(model: Model, rows: list[list[Scalar]]) -> Told:
    """Answer one batch, or say how the model failed."""
    try:
        return Told(model.predict(rows))
    except ModelFailed as error:
        return Told(failed=error.kind)


if __name__ == "__main__":
    main()
