"""The life of a rollout, as a table.

Rule 1: everything that changes a rollout's phase is in ``TRANSITIONS``.
Rule 2: this file does not know *why* a signal was sent. ``pace`` (for the judge) and operators do.
Rule 3: demoted is a latch. No signal leaves it; only a new generation takes traffic again.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.core.deployments import DeploymentSpec, Guardrail, ModelCard, Plan, Step
from gateway.core.errors import InvalidBody, InvalidTransition, Problem
from gateway.core.routing import Part


class Phase(StrEnum):
    """Where a candidate's life stands."""

    PREPARING = "preparing"
    """Fetched, checked and loaded, but not on every worker yet."""
    RUNNING = "running"
    """On a step of its plan: watching as a shadow, or taking its share."""
    WAITING = "waiting"
    """Its step is done and an operator has to approve the next one (``resume``). Keeps its weight."""
    PAUSED = "paused"
    """Keeps its weight; nothing advances it but ``resume``. The judge goes on."""
    PROMOTED = "promoted"
    WATCHED = "watched"
    """Stable now; the former stable scores the same requests, and their labels may still bring it back."""
    DEMOTED = "demoted"


class Signal(StrEnum):
    """What a rollout can be told."""

    READY = "ready"
    """Every live worker has the model loaded and warm."""
    ADVANCE = "advance"
    """On to the plan's next step."""
    AWAIT = "await"
    """The step is done; the next one needs an operator's approval."""
    PAUSE = "pause"
    RESUME = "resume"
    """Back to its step or, where it waited for approval, on to the next one."""
    RENEW = "renew"
    """Stable has changed, so all evidence against it is closed: the same step again, as a new generation."""
    PROMOTE = "promote"
    """It becomes stable, or stays so when its watch period is over."""
    WATCH = "watch"
    """Promoted by a plan with a watch period: the former stable stays as a shadow."""
    DEMOTE = "demote"
    """It takes no more traffic; from under watch, the former stable returns."""


TRANSITIONS: dict[tuple[Phase, Signal], Phase] = {
    (Phase.PREPARING, Signal.READY): Phase.RUNNING,
    (Phase.PREPARING, Signal.RENEW): Phase.PREPARING,
    (Phase.PREPARING, Signal.DEMOTE): Phase.DEMOTED,
    (Phase.RUNNING, Signal.ADVANCE): Phase.RUNNING,
    (Phase.RUNNING, Signal.AWAIT): Phase.WAITING,
    (Phase.RUNNING, Signal.PAUSE): Phase.PAUSED,
    (Phase.RUNNING, Signal.RENEW): Phase.RUNNING,
    (Phase.RUNNING, Signal.PROMOTE): Phase.PROMOTED,
    (Phase.RUNNING, Signal.DEMOTE): Phase.DEMOTED,
    (Phase.WAITING, Signal.RESUME): Phase.RUNNING,
    (Phase.WAITING, Signal.PAUSE): Phase.PAUSED,
    (Phase.WAITING, Signal.RENEW): Phase.RUNNING,
    (Phase.WAITING, Signal.PROMOTE): Phase.PROMOTED,
    (Phase.WAITING, Signal.DEMOTE): Phase.DEMOTED,
    (Phase.PAUSED, Signal.RESUME): Phase.RUNNING,
    (Phase.PAUSED, Signal.RENEW): Phase.PAUSED,
    (Phase.PAUSED, Signal.PROMOTE): Phase.PROMOTED,
    (Phase.PAUSED, Signal.DEMOTE): Phase.DEMOTED,
    (Phase.PROMOTED, Signal.WATCH): Phase.WATCHED,
    (Phase.WATCHED, Signal.PROMOTE): Phase.PROMOTED,
    (Phase.WATCHED, Signal.DEMOTE): Phase.DEMOTED,
}

ENDED = frozenset({Phase.PROMOTED, Phase.DEMOTED})
OVER = ENDED | {Phase.WATCHED}
"""Phases in which it is no candidate any more: it is stable, or it is out."""
JUDGED = frozenset({Phase.RUNNING, Phase.WAITING, Phase.PAUSED})
"""Phases in which requests reach the candidate, and the judge looks at what came of them."""
LOOKED_AT = JUDGED | {Phase.WATCHED}
"""Phases in which the judge has something to look at."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a candidate is held to, as the spec said when it was started; a changed spec holds for the next one."""

    guardrails: tuple[Guardrail, ...] = ()
    alpha: float = 0.05
    alpha_promote: float = 0.05
    maturity_s: float = 0.0
    labels_independent: bool = False
    on_pairs: bool = False
    """Judged on shadow pairs alone: it has no traffic of its own to be judged on."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The former stable's stay after a promotion. ``name`` and ``generation`` are those of the shadow it now is.

    Data time in seconds: it lasts for the plan's ``watch_s``, and until the labels of that time have come of age.
    """

    former: Part
    name: str
    generation: str
    since: float
    over_at: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """One candidate's life. All times are data time in seconds.

    ``weight`` and ``shadow`` are what is in force, which an operator may have set apart from the plan's step.
    ``since`` is when its step began, and ``seen`` how many observations of it had been judged by then.
    ``generation`` names the evidence: it begins at ``opened_at`` and none of it is ever used for another one.
    ``patient_since`` is when the plan's ``max_age_s`` began to run: the start, or an operator's last ``resume``.
    ``alias`` is the registry's alias that asked for it, if one did; ``reported`` what a dry run last said it would do.
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
    seen: int = 0
    opened_at: float = 0.0
    patient_since: float = 0.0
    terms: Terms = Terms()
    watch: Watch | None = None
    alias: str | None = None
    reported: str = ""
    leaned_at: float = 0.0
    """When a bandit last set its weight."""

    @property
    def current(self) -> Step:
        """The step of the plan it stands on."""
        return self.plan.steps[self.step]

    @property
    def on_last_step(self) -> bool:
        """Whether nothing but promotion comes after this step."""
        return self.step == len(self.plan.steps) - 1


def terms_of(spec: DeploymentSpec, guardrails: tuple[Guardrail, ...] | None = None) -> Terms:
    """What a candidate started now is held to; ``guardrails`` stand in for the spec's own."""
    return Terms(
        guardrails or spec.guardrails, spec.alpha, spec.alpha_promote, spec.maturity_s, spec.labels_independent
    )


def chosen_plan(spec: DeploymentSpec, name: str | None) -> Plan:
    """The plan named, or the only one there is. Raises InvalidBody."""
    if name is None and len(spec.plans) == 1:
        return next(iter(spec.plans.values()))
    if name is None or name not in spec.plans:
        raise InvalidBody(Problem("/plan", f"Must name a plan of this deployment: {', '.join(sorted(spec.plans))}."))
    return spec.plans[name]


def begin(name: str, generation: str, model: ModelCard, plan: Plan, salt: str, terms: Terms, at: float) -> Rollout:
    """Start a candidate's life at data time ``at``: preparing, without traffic."""
    return Rollout(
        name, generation, model, plan, salt, started_at=at, since=at, opened_at=at, patient_since=at, terms=terms
    )


def send(rollout: Rollout, signal: Signal, at: float, reason: str = "", seen: int = 0) -> Rollout:
    """Return the rollout as ``signal`` leaves it at data time ``at``. Raises InvalidTransition.

    Entering or resuming a step puts the plan's weight and shadow rate in force; ending takes both away. ``seen`` is
    the number of its observations judged so far: a step that begins counts its events from there.
    """
    phase = TRANSITIONS.get((rollout.phase, signal))
    onward = signal is Signal.ADVANCE or (rollout.phase is Phase.WAITING and signal is Signal.RESUME)
    if phase is None or (onward and rollout.on_last_step):
        raise InvalidTransition(rollout.phase.value, signal.value)
    moved = replace(rollout, phase=phase, reason=reason or rollout.reason)
    if phase in OVER:
        return replace(moved, weight=0.0, shadow=0.0, since=at)
    if onward:
        moved = replace(moved, step=rollout.step + 1, since=at, seen=seen)
    if signal in (Signal.READY, Signal.RESUME):
        moved = replace(moved, patient_since=at)
    if signal is Signal.READY:
        moved = replace(moved, since=at)
    if phase is Phase.RUNNING and signal is not Signal.RENEW:
        moved = replace(moved, weight=moved.current.weight, shadow=moved.current.shadow)
    return moved


def renew(rollout: Rollout, generation: str, at: float) -> Rollout:
    """Close the candidate's evidence and let it begin again as ``generation``, on the same step with the same share.

    Its salt and its place in the order of start stay, so that no key moves. Raises InvalidTransition once ended.
    """
    renewed = send(rollout, Signal.RENEW, at)
    return replace(renewed, generation=generation, opened_at=at, since=at, patient_since=at, seen=0)


def watched(rollout: Rollout, former: Part, name: str, generation: str, at: float) -> Rollout:
    """Begin the watch period of a rollout just promoted: ``former`` stays as the shadow ``name``, ``generation``."""
    over_at = at + rollout.plan.watch_s + rollout.terms.maturity_s
    return replace(send(rollout, Signal.WATCH, at), watch=Watch(former, name, generation, at, over_at))


def diagram() -> str:
    """Draw ``TRANSITIONS`` as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.PREPARING.value}: start"]
    lines += [
        f"    {source.value} --> {target.value}: {signal.value}" for (source, signal), target in TRANSITIONS.items()
    ]
    lines += [f"    {phase.value} --> [*]" for phase in Phase if phase in ENDED]
    return "\n".join(lines) + "\n"
