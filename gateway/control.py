"""The story of a look, and of what operators ask for: *collect, decide, store, tell*, one after the other.

A look collects the evidence since the last one, lets the pure rules decide (``core.judging``, ``core.pace``), stores
the new control document together with the decision that explains it, and only then tells people. Nothing here knows
which store, which transport or which hour it is. Everything may block: the agent calls it from its store thread.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from gateway.core import judging
from gateway.core.aliases import REFUSE, made_way, with_write_backs
from gateway.core.deployments import DeploymentSpec, Guardrail, ModelCard, Plan, Step
from gateway.core.errors import (
    CandidateRunning,
    InvalidBody,
    InvalidTransition,
    Problem,
    RevisionConflict,
    UnknownDeployment,
)
from gateway.core.events import Decision
from gateway.core.features import FeaturePlan
from gateway.core.judging import JUDGE_VERSION, JudgeState, Verdict
from gateway.core.pace import Move, next_signal, observed, only_reported, said
from gateway.core.quarantine import hold_back, hold_out
from gateway.core.rollout import ENDED, JUDGED, Phase, Rollout, Signal, Terms, begin
from gateway.core.routing import STABLE, Part, Shadow
from gateway.core.state import (
    DeploymentState,
    fits,
    reported,
    rolled_back,
    rollout_of,
    sent_away,
    signalled,
    started,
    with_shadow,
    with_traffic,
    without_shadow,
)
from gateway.core.tables import accept, in_order
from gateway.ports import AlertSink, Clock, ControlState, EventLog, Window

CANDIDATE = "canary"
"""What a candidate is called whom nobody named."""
MOST_DEGRADED = 0.20
"""Share of requests without evidence, because features were degraded, above which a rollout does not move up."""
OUT_OF_ORDER_S = 3_600.0
"""By how much data time of a candidate's first requests may lie before its start (replays are not quite in order)."""

Change = Callable[[DeploymentState], DeploymentState]


class JudgeCodec(Protocol):
    """Turns what the judge remembers into bytes for the store, and back, exactly."""

    def encode(self, case: JudgeState) -> bytes:
        """Write it down."""

    def decode(self, raw: bytes) -> JudgeState:
        """Read what :meth:`encode` wrote."""


@dataclass(frozen=True, slots=True)
class Note:
    """Who does what and why: the line that a change leaves in the timeline."""

    action: str
    actor: str
    reason: str
    candidate: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


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
    ) -> None:
        """``token`` makes short random names: generations and salts."""
        self._state = state
        self._log = log
        self._clock = clock
        self._codec = codec
        self._token = token
        self._alerts = tuple(alerts)

    def read(self, deployment: str) -> DeploymentState:
        """The control document as it stands. Raises UnknownDeployment."""
        state = self._state.read(deployment)
        if state is None:
            raise UnknownDeployment
        return state

    def look(self, deployment: str, watermark: float, visible: Mapping[str, int]) -> list[Decision]:
        """Judge every candidate on what was drained up to ``watermark`` (data time, seconds) and do what follows.

        ``visible`` says, by spool, up to which offset records could be seen. Returns the decisions that were made.
        """
        alive = [rollout.name for rollout in in_order(self.read(deployment)) if rollout.phase in JUDGED]
        made = [self._look_at(deployment, name, watermark, visible) for name in alive]
        return [decision for decision in made if decision is not None]

    def _look_at(self, deployment: str, name: str, watermark: float, visible: Mapping[str, int]) -> Decision | None:
        """Look at one candidate. Whoever changes the document in between is heard: then the look is made again.

        So an abort wins over everything but another abort: a demotion is written again until it holds.
        """
        while True:
            state = self.read(deployment)
            rollout = state.rollouts.get(name)
            if rollout is None or rollout.phase not in JUDGED:
                return None
            case = self._judged(state, rollout, watermark, visible)
            verdict = judging.verdict(case, watermark)
            move = next_signal(_since_opened(rollout, case), verdict, watermark, observed(rollout.current, case))
            if move is None or not self._may(state, rollout, move, watermark):
                return None
            note = Note(said(rollout, move), "judge", move.reason, name, _evidence(rollout, case, verdict))
            if only_reported(rollout, move):
                after = reported(state, name, move.signal)
            else:
                seen = _seen_by_then(rollout, case)
                after = signalled(state, name, move.signal, watermark, move.reason, seen, self._token)
                after = sent_away(after, name, watermark) if move.signal is Signal.DEMOTE else after
            try:
                return self._write(state, after, note)
            except RevisionConflict:
                continue

    def _judged(
        self, state: DeploymentState, rollout: Rollout, watermark: float, visible: Mapping[str, int]
    ) -> JudgeState:
        """What the judge makes of everything up to the watermark, remembered. Every record is handed in once.

        It is saved before any decision: a crash in between costs nothing, since the next look finds the same verdict.
        """
        case = self.case(rollout, state.deployment, watermark)
        health, mature = _windows(rollout, case, watermark, visible)
        if health.until <= health.after:
            return case
        log, deployment, generation = self._log, state.deployment, rollout.generation
        ripe = mature.until > mature.after
        looked = judging.look(
            case,
            health=log.evidence(deployment, generation, health),
            mature=log.evidence(deployment, generation, mature) if ripe else (),
            pairs=log.pairs(deployment, generation, state.stable.generation, mature) if ripe else (),
            at=watermark,
        )
        matured = mature.until if ripe else mature.after
        judged = replace(
            looked, judged_until=watermark, matured_until=matured, paired_until=matured, cursor=dict(visible)
        )
        self._state.save_judge_state(deployment, generation, self._codec.encode(judged))
        return judged

    def _may(self, state: DeploymentState, rollout: Rollout, move: Move, watermark: float) -> bool:
        """Whether a candidate may move up: not on a remnant of its evidence, in a freeze, or without room for it."""
        if move.signal not in (Signal.ADVANCE, Signal.PROMOTE):
            return True
        if state.spec.starts.frozen(watermark) is not None:
            return False
        if self.degraded(state, rollout, watermark) > MOST_DEGRADED:
            return False
        if move.signal is Signal.PROMOTE:
            return True
        return fits(state, rollout.name, rollout.plan.steps[rollout.step + 1].weight)

    def case(self, rollout: Rollout, deployment: str, at: float = 0.0) -> JudgeState:
        """What the judge remembers of a candidate's generation: its last look, or a case just opened.

        A candidate started when a replay had not shown any time yet is opened at data time ``at``.
        """
        raw = self._state.judge_state(deployment, rollout.generation)
        return _open(rollout, rollout.opened_at or at) if raw is None else self._codec.decode(raw)

    def verdict(self, deployment: str, candidate: str | None = None) -> tuple[Rollout, Verdict]:
        """A candidate (None: the one there is) and what its evidence so far says. Raises UnknownVariant."""
        state = self.read(deployment)
        rollout = rollout_of(state, _named(state, candidate))
        case = self.case(rollout, deployment)
        return rollout, judging.verdict(case, case.looked_at)

    def degraded(self, state: DeploymentState, rollout: Rollout, until: float) -> float:
        """Share of the requests since a candidate's step began that are no evidence, since features were degraded."""
        both = {rollout.generation, state.stable.generation}
        rows = self._log.performance(state.deployment, rollout.since, until)
        counted = [row for row in rows if row.generation in both]
        total = sum(row.n for row in counted)
        return sum(row.degraded for row in counted) / total if total else 0.0

    def ready(self, deployment: str, generation: str) -> Decision | None:
        """Every live worker has this generation's model: it begins its plan. None if it is not waiting for that."""
        found = [one for one in self.read(deployment).rollouts.values() if one.generation == generation]
        if not found or found[0].phase is not Phase.PREPARING:
            return None
        note = Note(Signal.READY.value, "agent", "every live worker has the model loaded and warm", found[0].name)
        try:
            return self._signal(deployment, Signal.READY, note)
        except InvalidTransition:  # another host said so first, or the others leave no room for its share yet
            return None

    def found(self, spec: DeploymentSpec, stable: ModelCard, actor: str) -> DeploymentState:
        """Write a deployment's first document; where there is one, it wins and is returned as it stands."""
        standing = self._state.read(spec.name)
        if standing is not None:
            return standing
        _open_case(Terms(spec.guardrails), stable, [])
        state = DeploymentState(spec.name, 0, spec, Part(STABLE, self._token(), stable))
        with suppress(RevisionConflict):  # another host was first
            self._write(state, state, Note("found", actor, "first start"))
        return self.read(spec.name)

    def apply(self, spec: DeploymentSpec, *, actor: str, reason: str, expected: int | None = None) -> Decision:
        """Let a changed spec hold. Guardrails and maturity hold for the next candidate; the others at once."""
        _open_case(Terms(spec.guardrails), self.read(spec.name).stable.model, [])
        return self.change(spec.name, lambda state: replace(state, spec=spec), Note("apply", actor, reason), expected)

    def may_start(
        self, deployment: str, name: str, plan: str | None, *, override: bool = False, replaces: bool = False
    ) -> Plan:
        """The plan that a candidate of this name would follow. Raises CandidateRunning, InvalidBody, Postponed."""
        state = self.read(deployment)
        chosen = _plan(state.spec, plan)
        if not override:
            hold_back(state.stays, state.spec.starts, self.now(deployment))
        standing = state.rollouts.get(name)
        if standing is not None and standing.phase not in ENDED and not replaces:
            raise CandidateRunning(name, standing.phase.value)
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
        Raises CandidateRunning, Unmeasurable, ModelUnusable, InvalidBody (no such plan), Quarantined, Postponed.
        """
        state, at = self.read(deployment), self.now(deployment)
        chosen, spec = _plan(state.spec, plan), state.spec
        terms = Terms(guardrails or spec.guardrails, spec.alpha, spec.alpha_promote, spec.maturity_s)
        rollout = replace(begin(name, self._token(), model, chosen, self._token(), terms, at), alias=alias)
        _open(rollout, rollout.opened_at)

        def change(state: DeploymentState) -> DeploymentState:
            if not override:
                hold_back(state.stays, state.spec.starts, at)
                hold_out(state.stays, model.digest, at)
            accept(state.spec, state.stable.model, model, features)
            free = state if alias is None else made_way(state, model, at)
            return started(free, rollout)

        said = reason or f"{model.name} {model.version} follows the plan {chosen.name}"
        return self.change(deployment, change, Note("start", actor, said, name, dict(evidence or {})))

    def refuse(
        self, deployment: str, model: str, version: str, reason: str, *, actor: str, evidence: Mapping[str, Any]
    ) -> Decision:
        """Write down that a version of a registered model is not tried, and why."""
        about = {"model": model, "version": version, **evidence}
        return self.change(deployment, lambda state: state, Note(REFUSE, actor, reason, evidence=about))

    def send(
        self, deployment: str, signal: Signal, *, actor: str, reason: str, candidate: str | None = None
    ) -> Decision:
        """Pass on an operator's signal: promote, demote, pause, resume. Raises InvalidTransition, UnknownVariant."""
        state = self.read(deployment)
        name = _named(state, candidate)
        if candidate is None and name not in state.rollouts and not in_order(state):
            raise InvalidTransition("none", signal.value, f"There is no candidate to tell to {signal.value}.")
        return self._signal(deployment, signal, Note(signal.value, actor, reason, name))

    def rollback(self, deployment: str, *, actor: str, reason: str) -> Decision:
        """Return to the previous stable. Raises InvalidTransition when there is none."""
        at = self.now(deployment)
        return self.change(deployment, lambda s: rolled_back(s, at, self._token), Note("rollback", actor, reason))

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

    def add_shadow(
        self,
        deployment: str,
        model: ModelCard,
        features: FeaturePlan,
        *,
        name: str,
        rate: float,
        actor: str,
        reason: str,
    ) -> Decision:
        """Let a prepared model watch a share ``rate`` of requests. Raises ModelUnusable, InvalidBody (name in use)."""
        shadow = Shadow(Part(name, self._token(), model), self._token(), rate)

        def change(state: DeploymentState) -> DeploymentState:
            accept(state.spec, state.stable.model, model, features)
            return with_shadow(state, shadow)

        return self.change(deployment, change, Note("shadow", actor, reason, name))

    def remove_shadow(self, deployment: str, name: str, *, actor: str, reason: str) -> Decision:
        """Let a shadow go. Raises UnknownVariant."""
        return self.change(deployment, lambda s: without_shadow(s, name), Note("unshadow", actor, reason, name))

    def _signal(self, deployment: str, signal: Signal, note: Note) -> Decision:
        at, name = self.now(deployment), note.candidate or CANDIDATE

        def change(state: DeploymentState) -> DeploymentState:
            rollout = rollout_of(state, name)
            seen = _seen_by_then(rollout, self.case(rollout, deployment))
            return signalled(state, name, signal, at, note.reason, seen, self._token)

        return self.change(deployment, change, note)

    def change(self, deployment: str, change: Change, note: Note, expected: int | None = None) -> Decision:
        """Make a change of the document as it stands; without ``expected`` again and again until it holds.

        Every conflict means that somebody else's change held, so this ends. Raises RevisionConflict for ``expected``.
        """
        while True:
            state = self.read(deployment)
            if expected is not None and state.revision != expected:
                raise RevisionConflict(expected, state.revision)
            try:
                return self._write(state, change(state), note)
            except RevisionConflict:
                if expected is not None:
                    raise

    def now(self, deployment: str) -> float:
        """Data time now; never before the last decision (a replay's clock has seen nothing after a restart)."""
        last = self._state.timeline(deployment, 1)
        return max(self._clock.data(), last[0].data_at if last else 0.0)

    def _write(self, before: DeploymentState, after: DeploymentState, note: Note) -> Decision:
        """Store the next revision with the decision that explains it, in one transaction, then tell people."""
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


def _windows(rollout: Rollout, case: JudgeState, watermark: float, visible: Mapping[str, int]) -> tuple[Window, Window]:
    """The records that health metrics have not seen, and those whose labels have come of age since the last look."""
    start = rollout.opened_at - OUT_OF_ORDER_S
    judged = start if case.judged_until is None else case.judged_until
    matured = start if case.matured_until is None else case.matured_until
    return Window(judged, watermark, visible), Window(matured, watermark - rollout.terms.maturity_s, visible)


def _seen_by_then(rollout: Rollout, case: JudgeState) -> int:
    """What the next step, if there is one, has to count its events from."""
    following = rollout.plan.steps[min(rollout.step + 1, len(rollout.plan.steps) - 1)]
    return observed(following, case)


def _since_opened(rollout: Rollout, case: JudgeState) -> Rollout:
    """The rollout with no time counted from before its case was opened."""
    since, patient_since = max(rollout.since, case.opened_at), max(rollout.patient_since, case.opened_at)
    return replace(rollout, since=since, patient_since=patient_since)


def _open(rollout: Rollout, at: float) -> JudgeState:
    return _open_case(rollout.terms, rollout.model, rollout.plan.steps, at)


def _open_case(terms: Terms, model: ModelCard, steps: Sequence[Step], at: float = 0.0) -> JudgeState:
    """Open a case. Raises Unmeasurable for a guardrail that cannot be judged on such a model."""
    return judging.open_case(
        terms.guardrails,
        alpha=terms.alpha,
        alpha_promote=terms.alpha_promote,
        task=model.task,
        at=at,
        pairs=any(step.shadow > 0.0 for step in steps),
    )


def _evidence(rollout: Rollout, case: JudgeState, verdict: Verdict) -> dict[str, Any]:
    """Enough to compute the decision again from the log: what was judged, up to where, by which rules."""
    return {
        "judge_version": JUDGE_VERSION,
        "step": rollout.step,
        "n_candidate": case.n_candidate,
        "n_pairs": case.n_pairs,
        "window": {"opened_at": rollout.opened_at, "until": case.judged_until, "matured_until": case.matured_until},
        "visible": dict(case.cursor),
        "verdict": asdict(verdict),
    }


def _named(state: DeploymentState, candidate: str | None) -> str:
    """The candidate meant: the one named, or the only one alive, or the one that has the usual name."""
    if candidate is not None:
        return candidate
    alive = in_order(state)
    return alive[0].name if len(alive) == 1 else CANDIDATE


def _plan(spec: DeploymentSpec, name: str | None) -> Plan:
    """The plan named, or the only one there is. Raises InvalidBody."""
    if name is None and len(spec.plans) == 1:
        return next(iter(spec.plans.values()))
    if name is None or name not in spec.plans:
        raise InvalidBody(Problem("/plan", f"Must name a plan of this deployment: {', '.join(sorted(spec.plans))}."))
    return spec.plans[name]
