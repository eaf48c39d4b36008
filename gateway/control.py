"""The story of a look, and of what operators ask for: *collect, decide, store, tell*, one after the other.

A look collects the evidence since the last one, lets the pure rules decide (``core.judging``, ``core.pace``), stores
the new control document together with the decision that explains it, and only then tells people. Nothing here knows
which store, which transport or which hour it is. Everything may block: the agent calls it from its store thread.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from gateway import looking
from gateway.cases import Cases, JudgeCodec, evidence_of
from gateway.core import judging
from gateway.core.actors import AGENT, BANDIT, JUDGE
from gateway.core.aliases import REFUSE, made_way
from gateway.core.bandit import lean
from gateway.core.deployments import DeploymentSpec, Guardrail, ModelCard, Plan
from gateway.core.errors import (
    CandidateRunning,
    EvidenceUnreadable,
    InvalidTransition,
    OutboundRefused,
    PolicyDenied,
    PolicyPending,
    RevisionConflict,
)
from gateway.core.events import Decision
from gateway.core.features import FeaturePlan
from gateway.core.forecast import Outlook, outlook
from gateway.core.judging import JudgeState, Verdict
from gateway.core.pace import Move, action_of, next_signal, observed, only_reported, said, seen_by_then, since_opened
from gateway.core.quarantine import hold_back, hold_out
from gateway.core.rollout import ENDED, JUDGED, LOOKED_AT, Phase, Rollout, Signal, begin, chosen_plan, terms_of
from gateway.core.routing import CANDIDATE, STABLE, Part
from gateway.core.state import (
    DeploymentState,
    begun_again,
    fits,
    judged_as,
    leaned,
    reported,
    rolled_back,
    rollout_of,
    sent_away,
    signalled,
    started,
    with_traffic,
)
from gateway.core.tables import accept, candidate_meant, in_order, looked_at
from gateway.courses import Courses, Seen
from gateway.documents import Change, Documents, Note
from gateway.governance import APPROVE, DENY, START, Governance, Wish, promotion
from gateway.ports import AlertSink, Clock, ControlState, EventLog
from gateway.trials import Trials

MOST_DEGRADED = 0.20
"""Share of requests without evidence, because features were degraded, above which a rollout does not move up."""


class Control:
    """Looks at rollouts and carries out what operators ask for. One deployment's changes never mix with another's."""

    def __init__(
        self,
        state: ControlState,
        log: EventLog,
        clock: Clock,
        codec: JudgeCodec,
        *,
        token: Callable[[], str],
        alerts: Sequence[AlertSink] = (),
        governance: Governance | None = None,
    ) -> None:
        """``token`` makes short random names: generations and salts. ``governance`` is asked before a rise."""
        self._state = state
        self._log = log
        self._token = token
        self._documents = Documents(state, clock, alerts)
        self._cases = Cases(state, log, codec)
        self._courses = Courses(state)
        self._governance = governance
        self.trials = Trials(self._documents, self._cases, self._permitted, token)
        """What becomes of shadows that operators add."""

    def read(self, deployment: str) -> DeploymentState:
        """The control document as it stands. Raises UnknownDeployment."""
        return self._documents.read(deployment)

    def look(self, deployment: str, watermark: float, visible: Mapping[str, int]) -> list[Decision]:
        """Judge every candidate on what was drained up to ``watermark`` (data time, seconds) and do what follows.

        ``visible`` says, by spool, up to which offset records could be seen. Returns the decisions that were made.
        """
        return self.look_at_all([deployment], watermark, visible)

    def look_at_all(self, deployments: Sequence[str], watermark: float, visible: Mapping[str, int]) -> list[Decision]:
        """Look at several deployments. What the judge knows after it is saved in one transaction for all of them.

        Then each decision that is due is made in a transaction of its own, from what was saved: a crash in between
        costs nothing, since the next look finds the same verdict.
        """
        due: list[tuple[str, str]] = []
        leaning: list[str] = []
        unreadable: list[tuple[str, str]] = []
        looks: list[Seen] = []
        with self._state.together():
            for deployment in deployments:
                state = self.read(deployment)
                leaning += [deployment] if any(one.current.bandit for one in in_order(state)) else []
                for one in looked_at(state):
                    try:
                        seen, move = self._asked(state, one, watermark, visible, bare=True)
                    except EvidenceUnreadable:  # the others are looked at all the same
                        unreadable.append((deployment, one.name))
                        continue
                    looks.append(seen)
                    due += [] if move is None else [(deployment, one.name)]
            self._courses.note(looks)
        again = [self._begin_again(deployment, name, watermark) for deployment, name in unreadable]
        made = [self._decide(deployment, name, watermark, visible) for deployment, name in due]
        made += [self._lean(deployment, watermark) for deployment in leaning]
        return again + [decision for decision in made if decision is not None]

    def _lean(self, deployment: str, watermark: float) -> Decision | None:
        """Let bandits set the weights of their steps; whoever changes the document in between is left alone."""
        state = self.read(deployment)
        steps = {one.name: one for one in in_order(state) if one.phase is Phase.RUNNING and one.current.bandit}
        found = lean(state, {name: self.case(one, deployment) for name, one in steps.items()}, watermark)
        if found is None:
            return None
        note = Note("lean", BANDIT, found.sentence(), evidence={"split": {"weights": dict(found.weights)}})
        try:
            return self._documents.write(state, leaned(state, found.weights, watermark), note)
        except RevisionConflict:  # by the next look the bandit knows more
            return None

    def _begin_again(self, deployment: str, name: str, watermark: float) -> Decision:
        """Close evidence that cannot be read: wealth is neither guessed nor lost in silence, and no traffic moves."""
        note = Note(Signal.RENEW.value, "judge", "its evidence could not be read, so it begins again", name)
        return self.change(deployment, lambda state: begun_again(state, name, watermark, self._token), note)

    def _decide(self, deployment: str, name: str, watermark: float, visible: Mapping[str, int]) -> Decision | None:
        """Do what is due. Whoever changes the document in between is heard: then it is asked for again.

        So an abort wins over everything but another abort: a demotion is written again until it holds.
        """
        while True:
            state = self.read(deployment)
            rollout = state.rollouts.get(name)
            if rollout is None or rollout.phase not in LOOKED_AT:
                return None
            (_, case, verdict), move = self._asked(state, rollout, watermark, visible)
            if move is None or not self._may(state, rollout, move, watermark):
                return None
            action = said(rollout, move)
            evidence = evidence_of(since_opened(rollout, case), case, verdict)
            after = self._after(state, rollout, move, watermark, seen_by_then(rollout, case))
            try:
                if action == Signal.PROMOTE.value:
                    evidence |= self._permitted(state, promotion(rollout, JUDGE, evidence))
                return self._documents.write(state, after, Note(action, JUDGE, move.reason, name, evidence))
            except (PolicyDenied, PolicyPending, OutboundRefused):  # it stays where it is, and the next look asks again
                return None
            except RevisionConflict:
                continue

    def _after(
        self, state: DeploymentState, rollout: Rollout, move: Move, watermark: float, seen: int
    ) -> DeploymentState:
        """The document that a move leaves: a dry run's is only remembered, a model that is demoted has to stay out."""
        if only_reported(rollout, move):
            return reported(state, rollout.name, move.signal)
        after = signalled(state, rollout.name, move.signal, watermark, move.reason, seen, self._token)
        return sent_away(after, rollout.name, watermark) if move.signal is Signal.DEMOTE else after

    def _asked(
        self,
        state: DeploymentState,
        rollout: Rollout,
        watermark: float,
        visible: Mapping[str, int],
        *,
        bare: bool = False,
    ) -> tuple[Seen, Move | None]:
        """What is known of a candidate up to the watermark, what that says, and what the rules ask for."""
        opening = looking.opening_of(state.deployment, rollout, state.stable.generation, watermark)
        case = self._cases.judged(opening, watermark, visible)
        verdict, n = judging.verdict(case, watermark, bare=bare), observed(rollout.current, case)
        return Seen(opening, case, verdict), next_signal(since_opened(rollout, case), verdict, watermark, n)

    def _may(self, state: DeploymentState, rollout: Rollout, move: Move, watermark: float) -> bool:
        """Whether a candidate may move up: not on a remnant of its evidence, in a freeze, or without room for it."""
        if rollout.phase is Phase.WATCHED or move.signal not in (Signal.ADVANCE, Signal.PROMOTE):
            return True
        if state.spec.starts.frozen(watermark) is not None:
            return False
        if self.degraded(state, rollout, watermark) > MOST_DEGRADED:
            return False
        if move.signal is Signal.PROMOTE:
            return True
        return fits(state, rollout.name, rollout.plan.steps[rollout.step + 1].weight)

    def case(self, rollout: Rollout, deployment: str, at: float = 0.0) -> JudgeState:
        """What the judge remembers of a candidate: its last look, or a case just opened (at ``at``, if need be)."""
        return self._cases.of(deployment, rollout, at)

    def verdict(self, deployment: str, candidate: str | None = None) -> tuple[Rollout, Verdict, Outlook | None]:
        """A candidate (None: the one there is) or a shadow, what its evidence so far says, and what that still needs.

        The last is None where it cannot be said. Raises UnknownVariant.
        """
        state = self.read(deployment)
        rollout = judged_as(state, candidate_meant(state, candidate))
        case = self.case(rollout, deployment)
        verdict = judging.verdict(case, case.looked_at)
        alive = rollout.phase in JUDGED
        return rollout, verdict, outlook(rollout, case, verdict, observed(rollout.current, case)) if alive else None

    def seen(self, deployment: str, rollout: Rollout) -> int:
        """How many observations of the candidate have been judged since its step began."""
        return observed(rollout.current, self.case(rollout, deployment)) - rollout.seen

    def degraded(self, state: DeploymentState, rollout: Rollout, until: float) -> float:
        """Share of the requests since a candidate's step began that are no evidence, since features were degraded."""
        both = {rollout.generation, state.stable.generation}
        total, degraded = self._log.degraded(state.deployment, both, rollout.since, until)
        return degraded / total if total else 0.0

    def ready(self, deployment: str, generation: str) -> Decision | None:
        """Every live worker has this generation's model: it begins its plan. None if it is not waiting for that."""
        found = [one for one in self.read(deployment).rollouts.values() if one.generation == generation]
        if not found or found[0].phase is not Phase.PREPARING:
            return None
        note = Note(Signal.READY.value, AGENT, "every live worker has the model loaded and warm", found[0].name)
        try:
            return self._signal(deployment, Signal.READY, note)
        except InvalidTransition:  # another host said so first, or the others leave no room for its share yet
            return None

    def found(self, spec: DeploymentSpec, stable: ModelCard, actor: str) -> DeploymentState:
        """Write a deployment's first document; where there is one, it wins and is returned as it stands."""
        standing = self._state.read(spec.name)
        if standing is not None:
            return standing
        looking.check_spec(spec, stable)
        state = DeploymentState(spec.name, 0, spec, Part(STABLE, self._token(), stable))
        with suppress(RevisionConflict):  # another host was first
            self._documents.write(state, state, Note("found", actor, "first start"))
        return self.read(spec.name)

    def apply(self, spec: DeploymentSpec, *, actor: str, reason: str, expected: int | None = None) -> Decision:
        """Let a changed spec hold. Guardrails and maturity hold for the next candidate; the others at once."""
        looking.check_spec(spec, self.read(spec.name).stable.model)
        return self.change(spec.name, lambda state: replace(state, spec=spec), Note("apply", actor, reason), expected)

    def may_start(
        self,
        deployment: str,
        name: str,
        plan: str | None,
        guardrails: tuple[Guardrail, ...] | None = None,
        *,
        override: bool = False,
        replaces: bool = False,
    ) -> Plan:
        """The plan that a candidate of this name would follow.

        Whatever it turns out to be, the model must do what stable does; so guardrails are checked on stable's.
        ``override`` and ``replaces`` say that a cool-down or freeze, or a candidate of that name, is no reason against.
        Raises CandidateRunning, InvalidBody, Postponed, Unmeasurable.
        """
        state = self.read(deployment)
        chosen = chosen_plan(state.spec, plan)
        if not override:
            hold_back(state.stays, state.spec.starts, self.now(deployment))
        standing = state.rollouts.get(name)
        if standing is not None and standing.phase not in ENDED and not replaces:
            raise CandidateRunning(name, standing.phase.value)
        looking.check_plan(chosen, terms_of(state.spec, guardrails), [state.stable.model])
        return chosen

    def start_canary(
        self,
        deployment: str,
        model: ModelCard,
        features: FeaturePlan,
        *,
        actor: str,
        reason: str = "",
        plan: str | None = None,
        name: str = CANDIDATE,
        guardrails: tuple[Guardrail, ...] | None = None,
        alias: str | None = None,
        override: bool = False,
        evidence: Mapping[str, Any] | None = None,
    ) -> Decision:
        """Start a rollout of a prepared model; ``features`` is the compiled plan that covers it and stable.

        ``alias`` is the registry's alias that asks for it: what it asked for before makes way. ``override`` starts
        in spite of quarantine, cool-down and freeze. ``evidence`` (of the gate) goes into the timeline.
        Raises CandidateRunning, Unmeasurable, ModelUnusable, Quarantined, Postponed, InvalidBody (no such plan, or an
        idle watch period).
        """
        state, at = self.read(deployment), self.now(deployment)
        chosen, spec = chosen_plan(state.spec, plan), state.spec
        terms = terms_of(spec, guardrails)
        looking.check_plan(chosen, terms, [state.stable.model, model])
        rollout = replace(begin(name, self._token(), model, chosen, self._token(), terms, at), alias=alias)

        def change(state: DeploymentState) -> DeploymentState:
            if not override:
                hold_back(state.stays, state.spec.starts, at)
                hold_out(state.stays, model.digest, at)
            accept(state.spec, state.stable.model, model, features)
            free = state if alias is None else made_way(state, model, at)
            return started(free, rollout)

        why = reason or f"{model.name} {model.version} follows the plan {chosen.name}"
        known = dict(evidence or {}) | self._permitted(
            state, Wish(START, actor, name, model, chosen.name, features.names())
        )
        return self.change(deployment, change, Note(START, actor, why, name, known))

    def refuse(
        self, deployment: str, model: str, version: str, reason: str, *, actor: str, evidence: Mapping[str, Any]
    ) -> Decision:
        """Write down that a version of a registered model is not tried, and why."""
        about = {"model": model, "version": version, **evidence}
        return self.change(deployment, lambda state: state, Note(REFUSE, actor, reason, evidence=about))

    def send(
        self,
        deployment: str,
        signal: Signal,
        *,
        actor: str,
        reason: str,
        candidate: str | None = None,
        expected: int | None = None,
    ) -> Decision:
        """Pass on an operator's signal: promote, demote, pause, resume. Raises InvalidTransition, UnknownVariant.

        With ``expected``, RevisionConflict when that revision has gone by.
        """
        state = self.read(deployment)
        name = candidate_meant(state, candidate)
        if candidate is None and name not in state.rollouts and not in_order(state):
            raise InvalidTransition("none", signal.value, f"There is no candidate to tell to {signal.value}.")
        rollout = state.rollouts.get(name)
        action = action_of(rollout.phase if rollout else Phase.PREPARING, signal)
        asked = rollout if action == Signal.PROMOTE.value else None
        evidence = self._permitted(state, promotion(asked, actor, {})) if asked else {}
        return self._signal(deployment, signal, Note(action, actor, reason, name, evidence), expected)

    def approve(
        self, deployment: str, *, actor: str, reason: str, candidate: str | None = None, model: ModelCard | None = None
    ) -> Decision:
        """Note that somebody approves of a candidate's model, or of one to be started. Raises UnknownVariant."""
        state = self.read(deployment)
        name = candidate_meant(state, candidate)
        card = model or rollout_of(state, name).model
        about = {"model": {"name": card.name, "version": card.version, "digest": card.digest}}
        return self.change(deployment, lambda s: s, Note(APPROVE, actor, reason, name, about))

    def _permitted(self, state: DeploymentState, wish: Wish) -> dict[str, Any]:
        """What the trail says of a wish that governance grants. Raises PolicyDenied, PolicyPending, OutboundRefused."""
        if self._governance is None:
            return {}

        def deny(why: str, evidence: dict[str, Any]) -> None:
            self._documents.write(state, state, Note(DENY, wish.actor, why, wish.name, evidence))

        return {"governance": self._governance.permit(state, wish, deny)}

    def rollback(
        self, deployment: str, *, actor: str, reason: str, to: str | None = None, expected: int | None = None
    ) -> Decision:
        """Return to a former stable, the latest or that of version ``to``.

        Raises InvalidTransition where there is none, InvalidBody where none has that version, RevisionConflict as
        ``send``.
        """
        at, note = self.now(deployment), Note("rollback", actor, reason)
        return self.change(deployment, lambda s: rolled_back(s, at, reason, self._token, to), note, expected)

    def set_traffic(
        self,
        deployment: str,
        weights: Mapping[str, float],
        shadows: Mapping[str, float],
        *,
        expected: int,
        actor: str,
        reason: str,
    ) -> Decision:
        """Put a whole split in force, made for revision ``expected``: RevisionConflict when that has gone by."""
        at = self.now(deployment)
        split = {"weights": dict(weights), "shadows": dict(shadows)}
        note = Note("traffic", actor, reason, evidence={"split": split})
        return self.change(deployment, lambda s: with_traffic(s, weights, shadows, at, reason), note, expected)

    def _signal(self, deployment: str, signal: Signal, note: Note, expected: int | None = None) -> Decision:
        at, name = self.now(deployment), note.candidate or CANDIDATE

        def change(state: DeploymentState) -> DeploymentState:
            rollout = rollout_of(state, name)
            seen = seen_by_then(rollout, self.case(rollout, deployment))
            return signalled(state, name, signal, at, note.reason, seen, self._token)

        return self.change(deployment, change, note, expected)

    def change(self, deployment: str, change: Change, note: Note, expected: int | None = None) -> Decision:
        """Make another story's change of the document: see :meth:`gateway.documents.Documents.change`."""
        return self._documents.change(deployment, change, note, expected)

    def now(self, deployment: str) -> float:
        """Data time now; never before the last decision."""
        return self._documents.now(deployment)
