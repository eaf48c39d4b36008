"""The life of a rollout, as a table.

Rule 1: everything that changes a rollout's phase is in ``TRANSITIONS``.
Rule 2: this file does not know *why* a signal was sent. ``judging`` and operators do.
Rule 3: demoted is a latch. No signal leaves it; only a new generation takes traffic again.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.core.deployments import ModelCard, Plan, Step
from gateway.core.errors import InvalidTransition


class Phase(StrEnum):
    """Where a candidate's life stands."""

    PREPARING = "preparing"
    """Fetched, checked and loaded, but not on every worker yet."""
    RUNNING = "running"
    """On a step of its plan: watching as a shadow, or taking its share."""
    PAUSED = "paused"
    """Keeps its weight; nothing advances it but ``resume``. The judge goes on."""
    PROMOTED = "promoted"
    DEMOTED = "demoted"


class Signal(StrEnum):
    """What a rollout can be told."""

    READY = "ready"
    """Every live worker has the model loaded and warm."""
    ADVANCE = "advance"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    DEMOTE = "demote"


TRANSITIONS: dict[tuple[Phase, Signal], Phase] = {
    (Phase.PREPARING, Signal.READY): Phase.RUNNING,
    (Phase.PREPARING, Signal.DEMOTE): Phase.DEMOTED,
    (Phase.RUNNING, Signal.ADVANCE): Phase.RUNNING,
    (Phase.RUNNING, Signal.PAUSE): Phase.PAUSED,
    (Phase.RUNNING, Signal.PROMOTE): Phase.PROMOTED,
    (Phase.RUNNING, Signal.DEMOTE): Phase.DEMOTED,
    (Phase.PAUSED, Signal.RESUME): Phase.RUNNING,
    (Phase.PAUSED, Signal.PROMOTE): Phase.PROMOTED,
    (Phase.PAUSED, Signal.DEMOTE): Phase.DEMOTED,
}

ENDED = frozenset({Phase.PROMOTED, Phase.DEMOTED})


@dataclass(frozen=True, slots=True)
class Rollout:
    """One candidate's life: a generation. ``since`` is the data time (seconds) at which its step began.

    ``weight`` and ``shadow`` are what is in force, which an operator may have set apart from the plan's step.
    """

    name: str
    generation: str
    model: ModelCard
    plan: Plan
    salt: str
    started_at: float
    since: float
    phase: Phase = Phase.PREPARING
    step: int = 0
    weight: float = 0.0
    shadow: float = 0.0
    reason: str = ""

    @property
    def current(self) -> Step:
        """The step of the plan it stands on."""
        return self.plan.steps[self.step]

    @property
    def on_last_step(self) -> bool:
        """Whether nothing but promotion comes after this step."""
        return self.step == len(self.plan.steps) - 1


def send(rollout: Rollout, signal: Signal, at: float, reason: str = "") -> Rollout:
    """Return the rollout as ``signal`` leaves it at data time ``at``. Raises InvalidTransition.

    Entering or resuming a step puts the plan's weight and shadow rate in force; ending takes both away.
    """
    phase = TRANSITIONS.get((rollout.phase, signal))
    if phase is None or (signal is Signal.ADVANCE and rollout.on_last_step):
        raise InvalidTransition(rollout.phase.value, signal.value)
    moved = replace(rollout, phase=phase, reason=reason or rollout.reason)
    if phase in ENDED:
        return replace(moved, weight=0.0, shadow=0.0, since=at)
    if signal is Signal.ADVANCE:
        moved = replace(moved, step=rollout.step + 1, since=at)
    if signal is Signal.READY:
        moved = replace(moved, since=at)
    if phase is Phase.RUNNING:
        moved = replace(moved, weight=moved.current.weight, shadow=moved.current.shadow)
    return moved
