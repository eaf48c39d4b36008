"""Processes in which other people's code runs: a group of their own, that ends with everything it started.

A child reads its job from standard input, limits itself, and prints one answer; it gets nothing of our environment that
it does not need. What it does within is its module's business: ``models.inspect_child`` opens artifacts,
``models.gate_child`` measures models, ``models.apart_child`` stays and serves one,
``drift.evidently_child`` draws a report, ``drift.skew_child`` asks Feast.
"""

import math
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from signal import SIGALRM, SIGKILL, SIGXCPU
from typing import BinaryIO

_JOB, ANSWER = "job.json", "answer.json"
_PASSED_ON = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION",
    "PATH",
    "TZ",
)
_OUT_OF_TIME = frozenset({-SIGALRM, -SIGXCPU})


def run_child(
    module: str, job: bytes, scratch: Path, wall_s: float, also: Mapping[str, str] | None = None
) -> int | None:
    """Run ``python -m module`` for at most ``wall_s`` seconds and return its exit code, None when it ran out of time.

    ``also`` is environment that it gets beside what Python needs.

    It reads and writes files, not pipes: a process that the artifact started could hold a pipe open for ever.
    """
    command = [sys.executable, "-P", "-W", "ignore", "-m", module]
    (scratch / _JOB).write_bytes(job)
    with (scratch / _JOB).open("rb") as stdin, (scratch / ANSWER).open("wb") as stdout:
        child = subprocess.Popen(  # noqa: S603  # our own interpreter and module, no shell
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            cwd=scratch,
            env={**(also or {}), **_environment(scratch)},
            start_new_session=True,
        )
    handle = os.pidfd_open(child.pid)
    try:
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        in_time = bool(waiting.poll(wall_s * 1000.0))
    finally:
        os.close(handle)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, SIGKILL)  # not reaped yet, so the group is still the child's own
        code = child.wait()
    return code if in_time else None


def resident(module: str, scratch: Path, alive: int) -> "subprocess.Popen[bytes]":
    """Start ``python -m module`` to be talked to over its standard input and output; it inherits the pipe ``alive``."""
    return subprocess.Popen(  # noqa: S603  # our own interpreter and module, no shell
        [sys.executable, "-P", "-W", "ignore", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=scratch,
        env=_environment(scratch),
        pass_fds=(alive,),
    )


def _environment(scratch: Path) -> dict[str, str]:
    """Pass on what Python needs and nothing that an artifact should not see, such as database passwords."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    importable = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return passed_on | one_thread | {"PYTHONPATH": importable, "TMPDIR": str(scratch)}


def how_it_ended(code: int | None, wall_s: float, doing: str = "Loading the model") -> str:
    """Say why a child gave no answer."""
    if code is None or code in _OUT_OF_TIME:
        return f"{doing} took more than the {wall_s:g} seconds allowed."
    if code < 0:
        return f"{doing} ended its process by signal {-code}."
    return f"{doing} ended its process with exit code {code}."


# What a child does first.


def keep_stdout_for_the_answer() -> BinaryIO:
    """Send whatever other people's code prints to standard error, and keep the real standard output for the answer."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def limit(wall_s: float, memory_bytes: int) -> None:
    """Limit this process's memory, processor and wall time, before it touches anything foreign."""
    seconds = math.ceil(wall_s)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_REAL, wall_s + 1.0)  # ends this process even where the agent has died
