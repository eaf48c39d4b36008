"""The story of a run that trains a model again: *written down, its target called, its answer written down*.

Everything goes through the control documents, so each step is compare-and-set and leaves a line in the timeline. A run
stands there before anybody is called: a crash, another leader or a second finder of the same cause finds it, and asks
for none of its own. Nothing here knows HTTP, a process or an hour. Everything may block.
"""

from dataclasses import replace
from typing import Any, Final

from gateway.core.actors import RETRAINING
from gateway.core.errors import InvalidTransition, NoTarget, RunUnderWay, UnknownRun
from gateway.core.retraining.runs import Cause, Retraining, Run, RunPhase, RunSignal, asked, cut, sent
from gateway.core.retraining.terms import RetrainingTerms, TargetKind, Trigger
from gateway.core.state import DeploymentState
from gateway.documents import Documents, Note
from gateway.ports import Clock, EventLog

ASK: Final = "retrain"
ACTIONS: Final = {
    RunSignal.CALL: "retraining_called",
    RunSignal.ACCEPT: "retraining_accepted",
    RunSignal.AGAIN: "retraining_again",
    RunSignal.SUCCEED: "retrained",
    RunSignal.FAIL: "retraining_failed",
}
"""What each step of a run is called in the timeline; the first one is ``ASK``."""

STEPS: Final = {
    ASK: "asked",
    "retraining_called": "called",
    "retraining_accepted": "accepted",
    "retraining_again": "again",
    "retrained": "succeeded",
    "retraining_failed": "failed",
}
"""The same, as a counter has it."""


class _Known(Exception):
    """The cause has its run already."""


class Runs:
    """The runs of every deployment."""

    def __init__(self, documents: Documents, log: EventLog, clock: Clock) -> None:
        self._documents, self._log, self._clock = documents, log, clock

    def read(self, deployment: str) -> tuple[RetrainingTerms, Retraining]:
        """What is declared, and the runs there are. Raises UnknownDeployment."""
        state = self._documents.read(deployment)
        return state.spec.retraining, state.retraining

    def run(self, deployment: str, run_id: str) -> Run:
        """One run. Raises UnknownDeployment, UnknownRun."""
        found = self._documents.read(deployment).retraining.find(run_id)
        if found is None:
            raise UnknownRun
        return found

    def joined(self, deployment: str) -> int:
        """How many outcomes the log has joined so far."""
        return self._log.books(deployment).outcomes["joined"]

    def ask(self, deployment: str, key: str, *, actor: str, reason: str) -> tuple[Run, bool]:
        """Ask for a run by hand, and say whether it is new: ``key`` names the wish, twice the same asks once.

        Cool-downs do not count. Raises UnknownDeployment, NoTarget, RunUnderWay.
        """
        return self.write_down(deployment, Cause(Trigger.ASKED, key, reason), actor, self._documents.now(deployment))

    def write_down(self, deployment: str, cause: Cause, actor: str, at: float) -> tuple[Run, bool]:
        """Write down the run of a cause at data time ``at``, unless it stands there already, and say whether it is new.

        Raises UnknownDeployment, NoTarget, RunUnderWay.
        """
        run_id, known = cause.run_id(deployment), self.joined(deployment)
        run = Run(run_id, cause.trigger, cause.sentence, at, self._clock.wall(), actor, known)

        def change(state: DeploymentState) -> DeploymentState:
            kept = state.retraining
            if kept.find(run_id) is not None:
                raise _Known
            if state.spec.retraining.target is None:
                raise NoTarget
            if kept.alive is not None:
                raise RunUnderWay(kept.alive.id, kept.alive.phase.value)
            return replace(state, retraining=asked(kept, run))

        try:
            self._documents.change(
                deployment, change, Note(ASK, actor, cause.sentence, None, _about(run, cause.evidence))
            )
        except _Known:
            return self.run(deployment, run_id), False
        return run, True

    def call(self, deployment: str, run_id: str, runner: str) -> Run:
        """Note that ``runner`` is about to call the target. Raises InvalidTransition where somebody was faster."""
        attempt = self.run(deployment, run_id).attempt + 1
        said = f"the target is called (attempt {attempt})"
        return self._send(deployment, run_id, RunSignal.CALL, RETRAINING, said, attempt=attempt, runner=runner)

    def accepted(self, deployment: str, run_id: str, said: str, link: str) -> Run:
        """Note that a server took the run, and says later how it ended."""
        return self._send(deployment, run_id, RunSignal.ACCEPT, RETRAINING, said, link=link)

    def failed_once(self, deployment: str, run_id: str, said: str) -> Run:
        """Note that a call failed. The target is called again; once it has been often enough, the run has failed."""
        target, run = self.read(deployment)[0].target, self.run(deployment, run_id)
        if target is not None and run.attempt < target.attempts:
            return self._send(deployment, run_id, RunSignal.AGAIN, RETRAINING, said)
        return self.ended(deployment, run_id, actor=RETRAINING, succeeded=False, said=said)

    def told(self, deployment: str, run_id: str, *, actor: str, succeeded: bool, said: str = "", link: str = "") -> Run:
        """Note what a server says of how a run ended. Raises UnknownRun, InvalidTransition; of a command's always."""
        target = self.read(deployment)[0].target
        if target is not None and target.kind is TargetKind.COMMAND:
            phase, why = self.run(deployment, run_id).phase, "A command says by its exit code how its run ended."
            raise InvalidTransition(phase.value, RunSignal.SUCCEED.value if succeeded else RunSignal.FAIL.value, why)
        return self.ended(deployment, run_id, actor=actor, succeeded=succeeded, said=said, link=link)

    def ended(
        self, deployment: str, run_id: str, *, actor: str, succeeded: bool, said: str = "", link: str = ""
    ) -> Run:
        """Note how a run ended; what is said twice is noted once. Raises UnknownRun, InvalidTransition."""
        run = self.run(deployment, run_id)
        signal, ending = (RunSignal.SUCCEED, RunPhase.SUCCEEDED) if succeeded else (RunSignal.FAIL, RunPhase.FAILED)
        if run.phase is ending:
            return run
        why = said or f"{actor} says that it {ending.value}"
        about = {"link": link or run.link, "ended_at": self._clock.wall()}
        return self._send(deployment, run_id, signal, actor, why, **about)

    def _send(
        self,
        deployment: str,
        run_id: str,
        signal: RunSignal,
        actor: str,
        said: str,
        **changes: Any,  # noqa: ANN401 - fields of a run
    ) -> Run:
        def change(state: DeploymentState) -> DeploymentState:
            return replace(state, retraining=sent(state.retraining, run_id, signal, said=cut(said), **changes))

        run = replace(self.run(deployment, run_id), **changes)
        about = _about(run, {"link": run.link} if run.link else {})
        reason = cut(said) if signal is RunSignal.CALL else f"{_STEPS[signal]}: {cut(said)}"
        self._documents.change(deployment, change, Note(ACTIONS[signal], actor, reason, None, about))
        return self.run(deployment, run_id)


_STEPS: Final = {
    RunSignal.ACCEPT: "the target took the run",
    RunSignal.AGAIN: "the target failed and is called again",
    RunSignal.SUCCEED: "the model was trained again",
    RunSignal.FAIL: "the model was not trained again",
}


def _about(run: Run, evidence: dict[str, Any]) -> dict[str, Any]:
    """What a line of the timeline says of a run."""
    return {"run": run.id, "trigger": run.trigger.value, "attempt": run.attempt, "cause": run.cause, **evidence}
