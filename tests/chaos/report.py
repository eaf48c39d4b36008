"""What a row of the table is: a promise, an experiment, a figure, and whether the figure passes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random

_NOISE_S = 0.05


class Status(StrEnum):
    """How a row ended."""

    PASS = "pass"
    FAIL = "FAIL"
    NOT_RUN = "NOT RUN"


class NotRun(Exception):
    """The machine refuses what the row needs; the message says what."""


@dataclass(frozen=True)
class Check:
    """One figure beside the one that passes. A ``timed`` one depends on what else the machine does meanwhile."""

    figure: str
    passes: str
    held: bool
    timed: bool = False


@dataclass
class Outcome:
    """What a row measured. ``faults`` counts those that really hit."""

    faults: int = 0
    what: str = ""
    checks: list[Check] = field(default_factory=list)

    def at_most(self, name: str, found: float, limit: float, unit: str = "", *, timed: bool = False) -> None:
        """Note a figure that passes up to a limit. One in seconds is ``timed``."""
        held, timed = found <= limit, timed or unit == " s"
        self.checks.append(Check(f"{name} {found:.4g}{unit}", f"<= {limit:.4g}{unit}", held, timed))

    def exactly(self, name: str, found: object, wanted: object) -> None:
        """Note a figure that passes when it is the one wanted."""
        self.checks.append(Check(f"{name} {found}", f"= {wanted}", found == wanted))

    def at_least(self, name: str, found: float, limit: float, unit: str = "", *, timed: bool = False) -> None:
        """Note a figure that passes from a limit on."""
        self.checks.append(Check(f"{name} {found:.4g}{unit}", f">= {limit:.4g}{unit}", found >= limit, timed))

    @property
    def held(self) -> bool:
        """Whether every figure passes, and there is one."""
        return bool(self.checks) and all(check.held for check in self.checks)

    @property
    def only_late(self) -> bool:
        """Whether every figure that misses is one that a busy machine can spoil."""
        missed = [check for check in self.checks if not check.held]
        return bool(missed) and all(check.timed for check in missed)


@dataclass(frozen=True)
class Setting:
    """What a row is given: a folder of its own, dice, and whether it is the small form."""

    folder: Path
    dice: Random
    quick: bool

    def pick(self, quick: int, full: int) -> int:
        """The size of an experiment in its small and in its full form."""
        return quick if self.quick else full

    def noisy(self, limit_s: float) -> float:
        """A limit in seconds; the small form, on a machine that others work on, allows for its noise."""
        return max(limit_s, _NOISE_S) if self.quick else limit_s


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    id: str
    promise: str
    run: Callable[[Setting], Outcome]


@dataclass(frozen=True)
class Line:
    """One row as it came out."""

    row: Row
    status: Status
    outcome: Outcome
    seconds: float
    reason: str = ""
    before: tuple[Outcome, ...] = ()
    """What was measured before it was measured again."""

    def show(self) -> str:
        """The row as a person reads it: faults, then each figure with the one that passes."""
        head = f"{self.status.value:8}{self.row.id:4}{self.row.promise}  ({self.seconds:.0f} s)"
        if self.status is Status.NOT_RUN:
            return f"{head}\n            {self.reason}"
        lines = [head, f"            faults: {self.outcome.faults} {self.outcome.what}"]
        lines += [
            f"          {' ' if check.held else '!'} {check.figure}   ({check.passes})" for check in self.outcome.checks
        ]
        for earlier in self.before:
            missed = "; ".join(f"{check.figure} ({check.passes})" for check in earlier.checks if not check.held)
            lines.append(f"            measured again, as it was late at first: {missed}")
        return "\n".join([*lines, *([f"          ! {self.reason}"] if self.reason else [])])
