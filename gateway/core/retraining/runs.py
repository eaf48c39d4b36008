"""The life of a run, as a table; and the runs that a control document keeps.

Rule 1: everything that changes a run's phase is in ``TRANSITIONS``.
Rule 2: a run is written down before its target is called, under an id that is a hash of its cause, so the same cause
asks for one run however often it is found, by whomever.
Rule 3: one run at a time. A cause that is found meanwhile is found again afterwards, if it still stands.
"""

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from gateway.core.errors import InvalidTransition, UnknownRun
from gateway.core.retraining.terms import Trigger

MOST_KEPT = 50
"""So many runs stay in the control document; the timeline keeps every one."""
LONGEST_SAID = 200
"""Characters that are kept of what a target said."""


class RunPhase(StrEnum):
    """Where a run stands."""

    WAITING = "waiting"
    """Written down; its target is to be called, or to be called again."""
    CALLED = "called"
    """Its target is being called. A command runs."""
    ACCEPTED = "accepted"
    """Its target took it and says later how it ended."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RunSignal(StrEnum):
    """What can become of a run."""

    CALL = "call"
    ACCEPT = "accept"
    AGAIN = "again"
    """The target failed, or whoever called it is gone: it is called once more."""
    SUCCEED = "succeed"
    FAIL = "fail"


TRANSITIONS: dict[tuple[RunPhase, RunSignal], RunPhase] = {
    (RunPhase.WAITING, RunSignal.CALL): RunPhase.CALLED,
    (RunPhase.WAITING, RunSignal.FAIL): RunPhase.FAILED,
    (RunPhase.CALLED, RunSignal.ACCEPT): RunPhase.ACCEPTED,
    (RunPhase.CALLED, RunSignal.AGAIN): RunPhase.WAITING,
    (RunPhase.CALLED, RunSignal.SUCCEED): RunPhase.SUCCEEDED,
    (RunPhase.CALLED, RunSignal.FAIL): RunPhase.FAILED,
    (RunPhase.ACCEPTED, RunSignal.SUCCEED): RunPhase.SUCCEEDED,
    (RunPhase.ACCEPTED, RunSignal.FAIL): RunPhase.FAILED,
}
ALIVE = frozenset({RunPhase.WAITING, RunPhase.CALLED, RunPhase.ACCEPTED})


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a model is to be trained again. ``key`` tells two causes of one trigger apart, ``sentence`` is for people."""

    trigger: Trigger
    key: str
    sentence: str
    evidence: dict[str, Any] = field(default_factory=dict)

    def run_id(self, deployment: str) -> str:
        """The id of the run that this cause asks for: the same cause, the same id.

        >>> cause = Cause(Trigger.SCHEDULE, "1372636800", "a week has gone by")
        >>> cause.run_id("flights")
        'schedule-b4b72ccd44ec884b'
        """
        said = "\0".join((deployment, self.trigger.value, self.key))
        return f"{self.trigger.value}-{hashlib.sha256(said.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Run:
    """One time that a model is trained again. ``at`` is data time; ``asked_at`` and ``ended_at`` are wall seconds.

    ``attempt`` counts calls of the target. ``runner`` names the process that called it last. ``joined`` is how many
    outcomes the log had joined when it was asked for. ``said`` is what the target said last, ``link`` where it shows
    the run.
    """

    id: str
    trigger: Trigger
    cause: str
    at: float
    asked_at: float
    actor: str
    joined: int = 0
    phase: RunPhase = RunPhase.WAITING
    attempt: int = 0
    runner: str = ""
    said: str = ""
    link: str = ""
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class Retraining:
    """What a control document keeps of training again: its runs, the latest first.

    Since data time ``since`` causes are looked for (None: not yet), when the log had joined ``joined`` outcomes.
    """

    runs: tuple[Run, ...] = ()
    since: float | None = None
    joined: int = 0

    @property
    def alive(self) -> Run | None:
        """The run that has not ended."""
        return next((run for run in self.runs if run.phase in ALIVE), None)

    @property
    def last(self) -> Run | None:
        """The run that was asked for last, however it ended."""
        return self.runs[0] if self.runs else None

    def find(self, run_id: str) -> Run | None:
        """The run of that id."""
        return next((run for run in self.runs if run.id == run_id), None)


def asked(kept: Retraining, run: Run) -> Retraining:
    """Write down a run that was asked for."""
    return replace(kept, runs=(run, *kept.runs)[:MOST_KEPT])


def sent(kept: Retraining, run_id: str, signal: RunSignal, **changes: Any) -> Retraining:  # noqa: ANN401 - a run's fields
    """Send a signal to a run and note ``changes`` of it. Raises UnknownRun, InvalidTransition."""
    run = kept.find(run_id)
    if run is None:
        raise UnknownRun
    phase = TRANSITIONS.get((run.phase, signal))
    if phase is None:
        raise InvalidTransition(run.phase.value, signal.value, f"A run that is {run.phase} cannot {signal}.")
    moved = replace(run, phase=phase, **changes)
    return replace(kept, runs=tuple(moved if one.id == run_id else one for one in kept.runs))


def cut(said: str) -> str:
    """Keep the beginning of a long sentence.

    >>> cut("x" * 300)[-3:], len(cut("x" * 300))
    ('xx…', 200)
    """
    return said if len(said) <= LONGEST_SAID else said[: LONGEST_SAID - 1] + "…"
