"""Runs one command in a process group of its own, and ends the whole group when the process that asked is gone.

``python keeper.py GRACE_S COMMAND...``: standard input is a pipe that nobody writes to. When its other end closes - the
asking process wants the command stopped, or was killed itself - the group gets SIGTERM and, ``GRACE_S`` seconds later,
SIGKILL. Exits with the command's exit code, or 128 and its signal. The standard library only, so that it starts fast.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

NOT_FOUND = 127
"""Exit code: there is no such command, as a shell has it."""


def main(arguments: list[str]) -> int:
    """Run the command and wait for it."""
    grace_s, command = float(arguments[0]), arguments[1:]
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - as declared
    except OSError as error:
        print(f"{command[0]} cannot be run: {error.strerror}", file=sys.stderr)  # noqa: T201 - into the run's log
        return NOT_FOUND
    threading.Thread(target=_watch, args=(child, grace_s), daemon=True).start()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    _kill(child.pid, signal.SIGKILL)  # what it left behind ends with it; not reaped yet, the group is still its own
    code = child.wait()
    return code if code >= 0 else 128 - code


def _watch(child: "subprocess.Popen[bytes]", grace_s: float) -> None:
    """Wait for the end of the pipe; then stop the group."""
    while os.read(0, 4096):
        pass
    _kill(child.pid, signal.SIGTERM)
    time.sleep(grace_s)
    _kill(child.pid, signal.SIGKILL)  # where it has ended, so has this process


def _kill(group: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, how)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
