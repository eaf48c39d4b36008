"""The control documents as the stories write them: by compare-and-set, each with the decision that explains it.

Whoever wants to know is told once a decision is stored, never before. What a change means is its author's business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.core.aliases import with_write_backs
from gateway.core.errors import RevisionConflict, UnknownDeployment
from gateway.core.events import Decision
from gateway.core.state import DeploymentState
from gateway.ports import AlertSink, Clock, ControlState

Change = Callable[[DeploymentState], DeploymentState]


@dataclass(frozen=True, slots=True)
class Note:
    """Who does what and why: the line that a change leaves in the timeline."""

    action: str
    actor: str
    reason: str
    candidate: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


class Documents:
    """Reads and changes the documents of all deployments. Everything may block, as the store does."""

    def __init__(self, state: ControlState, clock: Clock, alerts: Sequence[AlertSink] = ()) -> None:
        self._state = state
        self._clock = clock
        self._alerts = tuple(alerts)

    def read(self, deployment: str) -> DeploymentState:
        """The control document as it stands. Raises UnknownDeployment."""
        state = self._state.read(deployment)
        if state is None:
            raise UnknownDeployment
        return state

    def now(self, deployment: str) -> float:
        """Data time now; never before the last decision (a replay's clock has seen nothing after a restart)."""
        last = self._state.timeline(deployment, 1)
        return max(self._clock.data(), last[0].data_at if last else 0.0)

    def change(self, deployment: str, change: Change, note: Note, expected: int | None = None) -> Decision:
        """Make a change of the document as it stands; without ``expected`` again and again until it holds.

        Every conflict means that somebody else's change held, so this ends. Raises RevisionConflict for ``expected``.
        """
        while True:
            state = self.read(deployment)
            if expected is not None and state.revision != expected:
                raise RevisionConflict(expected, state.revision)
            try:
                return self.write(state, change(state), note)
            except RevisionConflict:
                if expected is not None:
                    raise

    def write(self, before: DeploymentState, after: DeploymentState, note: Note) -> Decision:
        """Store the next revision with the decision that explains it, in one transaction, then tell people.

        Raises RevisionConflict when ``before`` has gone by.
        """
        revised = replace(after, revision=before.revision + 1)
        rollout = revised.rollouts.get(note.candidate or "")
        decision = Decision(
            deployment=revised.deployment,
            revision=revised.revision,
            action=note.action,
            actor=note.actor,
            reason=note.reason,
            data_at=self.now(revised.deployment),
            machine_at=self._clock.wall(),
            candidate=note.candidate,
            generation=rollout.generation if rollout else None,
            evidence=note.evidence,
        )
        self._state.write(with_write_backs(before, revised, decision), before.revision, [decision])
        for sink in self._alerts:
            sink.tell(decision)
        return decision
