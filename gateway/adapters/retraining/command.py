"""A command that trains: run on this host, in a process group of its own, within a time limit.

It is told what to do by its environment (``RETRAINING_...``), and says how it went by its exit code; the last line that
it prints is what people read. It gets no shell. If the agent goes, it goes too (:mod:`.keeper`).
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.adapters.retraining import keeper
from gateway.core.errors import TargetFailed
from gateway.core.retraining.runs import cut
from gateway.ports import Order, Taken

GRACE_S: Final = 5.0
"""Time between SIGTERM and SIGKILL, machine seconds."""
_TAIL: Final = 4_096
_OURS: Final = ("PROMETHEUS_MULTIPROC_DIR",)
"""What of our environment would make a command part of the gateway's own processes."""


def environment(order: Order) -> dict[str, str]:
    """What a command is told, as environment variables.

    >>> environment(Order("drift-1", "flights", "drift", "dep_delay moved up"))["RETRAINING_RUN_ID"]
    'drift-1'
    """
    return {
        "RETRAINING_RUN_ID": order.run_id,
        "RETRAINING_DEPLOYMENT": order.deployment,
        "RETRAINING_TRIGGER": order.trigger,
        "RETRAINING_CAUSE": order.cause,
        "RETRAINING_ATTEMPT": str(order.attempt),
        "RETRAINING_EXPORT": order.export,
        "RETRAINING_CALLBACK": order.callback,
    }


class CommandTarget:
    """Runs ``command`` for at most ``timeout_s`` machine seconds; it prints into ``folder``/RUN_ID.log."""

    def __init__(self, command: Sequence[str], folder: Path, timeout_s: float) -> None:
        self._command, self._folder, self._timeout_s = tuple(command), folder, timeout_s
        self._keeper: subprocess.Popen[bytes] | None = None
        self._closed = False

    def call(self, order: Order) -> Taken:
        """Run it to its end. Raises TargetFailed for another exit code than 0, and when its time is over."""
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / f"{order.run_id}.log"
        with log.open("ab") as output:
            self._keeper = self._start(output.fileno(), environment(order))
        if self._closed:
            self.close()
        code = self._ended(self._keeper)
        said = _last_line(log)
        if code != 0:
            raise TargetFailed(f"The command ended with exit code {code}{f': {said}' if said else ''}.")
        return Taken(ended=True, said=said, link=str(log.absolute()))

    def close(self) -> None:
        """Stop the command and everything it started."""
        self._closed = True
        if self._keeper is not None and self._keeper.stdin is not None:
            with suppress(OSError):
                self._keeper.stdin.close()

    def _ended(self, keeper: "subprocess.Popen[bytes]") -> int:
        """Wait for the command's exit code. Raises TargetFailed where its time is over, or it was stopped."""
        try:
            code = keeper.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            self.close()
            keeper.wait()
            raise TargetFailed(f"The command took longer than {self._timeout_s:g} seconds and was stopped.") from None
        if self._closed:
            raise TargetFailed("The command was stopped.")
        self.close()
        return code

    def _start(self, output: int, told: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
        keeping = [sys.executable, "-S", "-E", str(Path(keeper.__file__)), f"{GRACE_S:g}"]
        try:
            return subprocess.Popen(  # noqa: S603 - what the deployment's owner declared, without a shell
                [*keeping, *self._command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**inherited, **told},
                start_new_session=True,
            )
        except OSError as error:
            raise TargetFailed(f"The command cannot be run: {error.strerror}.") from error


def _last_line(log: Path) -> str:
    """The last line that says anything, of what was printed."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read().decode(errors="replace").split("\n")
    return next((cut(line.strip()) for line in reversed(lines) if line.strip()), "")
