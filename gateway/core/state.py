"""The control document of one deployment, and what each decision makes of it.

Pure: a change takes the document and returns the next one, or raises the error that says why it cannot be made.
Who may ask, when, and where the document is kept are :mod:`gateway.control`'s business, and so are revisions.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from gateway.core.deployments import DeploymentSpec
from gateway.core.errors import (
    CandidateLatched,
    CandidateRunning,
    InvalidBody,
    InvalidTransition,
    Problem,
    UnknownVariant,
)
from gateway.core.outbox import WriteBack
from gateway.core.quarantine import Stay, sent_out
from gateway.core.retraining.runs import Retraining
from gateway.core.rollout import ENDED, OVER, Phase, Rollout, Signal, renew, send, watched
from gateway.core.routing import STABLE, Part, Shadow

FORMER = "former"
"""What a former stable that watches its successor is called."""
_WHOLE = 1.0 + 1e-9  # shares are sums of floats


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """The control document of one deployment: what is, and (in ``spec``) what its owner declared.

    ``rollouts`` holds the latest rollout of each candidate name, ended ones too: the latch lives there.
    ``previous`` are former stables, the latest first. ``outbox`` is what the registry has not been told yet, ``stays``
    which digests have to stay out, and for how long, ``retraining`` the runs that train the model again. ``trials``
    hold what a shadow, by its name, is judged by.
    """

    deployment: str
    revision: int
    spec: DeploymentSpec
    stable: Part
    previous: tuple[Part, ...] = ()
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    shadows: dict[str, Shadow] = field(default_factory=dict)
    schema: int = 1
    outbox: tuple[WriteBack, ...] = ()
    stays: dict[str, Stay] = field(default_factory=dict)
    trials: dict[str, Rollout] = field(default_factory=dict)
    retraining: Retraining = Retraining()


def judged_as(state: DeploymentState, name: str) -> Rollout:
    """What a candidate or a shadow is judged by: its latest rollout, or its trial. Raises UnknownVariant."""
    return state.trials.get(name) or rollout_of(state, name)


def rollout_of(state: DeploymentState, name: str) -> Rollout:
    """The latest rollout of a candidate name. Raises UnknownVariant."""
    if name not in state.rollouts:
        raise UnknownVariant((STABLE, *state.rollouts, *state.shadows))
    return state.rollouts[name]


def fits(state: DeploymentState, name: str, weight: float) -> bool:
    """Whether the other candidates leave room for a share of ``weight``."""
    return weight + sum(rollout.weight for rollout in state.rollouts.values() if rollout.name != name) <= _WHOLE


def started(state: DeploymentState, rollout: Rollout) -> DeploymentState:
    """Take in a new candidate. Raises CandidateRunning while one of its name lives, InvalidBody for another's name."""
    before = state.rollouts.get(rollout.name)
    if before is not None and before.phase not in ENDED:
        raise CandidateRunning(rollout.name, before.phase.value)
    _refuse_taken(rollout.name, state.shadows)
    return _with(state, rollout)


def signalled(
    state: DeploymentState, name: str, signal: Signal, at: float, reason: str, seen: int, token: Callable[[], str]
) -> DeploymentState:
    """Send ``signal`` to a candidate at data time ``at``; a promotion also makes it stable. Raises InvalidTransition.

    A promotion by a plan with a watch period leaves the former stable behind as a shadow; a demotion from under watch
    brings it back. ``seen`` counts its observations judged so far. ``token`` makes a random id for whatever begins
    new: the former stable's watch, the evidence of each other candidate.
    """
    rollout = rollout_of(state, name)
    moved = send(rollout, signal, at, reason, seen)
    if moved.weight > rollout.weight and not fits(state, name, moved.weight):
        because = f"All candidates together would exceed 1, so {name} cannot be told to {signal.value}."
        raise InvalidTransition(rollout.phase.value, signal.value, because)
    after = _with(state, moved)
    if rollout.phase is Phase.WATCHED:
        return _returned(after, moved, at, token) if moved.phase is Phase.DEMOTED else _unwatched(after, moved)
    if moved.phase is not Phase.PROMOTED:
        return after
    previous = (state.stable, *state.previous)[: state.spec.keep_previous]
    crowned = _crowned(replace(after, previous=previous), Part(STABLE, moved.generation, moved.model), at, token)
    return _watching(crowned, moved, state.stable, at, token) if moved.plan.watch_s > 0.0 else crowned


def sent_away(state: DeploymentState, name: str, at: float) -> DeploymentState:
    """Keep a candidate's model out for a while, since evidence spoke against it at data time ``at``."""
    digest = rollout_of(state, name).model.digest
    return replace(state, stays=sent_out(state.stays, digest, state.spec.starts, at))


def reported(state: DeploymentState, name: str, signal: Signal) -> DeploymentState:
    """Remember that a dry run has said what it would do."""
    return _with(state, replace(rollout_of(state, name), reported=signal.value))


def rolled_back(
    state: DeploymentState, at: float, reason: str, token: Callable[[], str], to: str | None = None
) -> DeploymentState:
    """Return to a former stable, the latest or the one of version ``to``; the one that was stable leaves.

    Former stables in between stay where they are, to go back to. Raises InvalidTransition where there is none at all,
    InvalidBody where none has that version.
    """
    for name, rollout in state.rollouts.items():
        watch = rollout.watch if rollout.phase is Phase.WATCHED else None
        if watch is not None and to in (None, watch.former.model.version):
            return signalled(state, name, Signal.DEMOTE, at, reason, rollout.seen, token)
    if not state.previous:
        raise InvalidTransition("none", "rollback", "There is no previous stable to return to.")
    chosen = next((part for part in state.previous if to in (None, part.model.version)), None)
    if chosen is None:
        versions = ", ".join(part.model.version for part in state.previous)
        raise InvalidBody(Problem("/to", f"Must be the version of a former stable: {versions}."))
    previous = tuple(part for part in state.previous if part is not chosen)
    return _crowned(replace(state, previous=previous), chosen, at, token)


def with_traffic(
    state: DeploymentState, weights: Mapping[str, float], shadows: Mapping[str, float], at: float, reason: str
) -> DeploymentState:
    """Put the whole split in force: what is not named gets nothing, and a shadow that gets nothing stops.

    Plans that were running are paused by it. Raises InvalidBody when the weights exceed 1, UnknownVariant for a name
    that is not here, CandidateLatched or InvalidTransition for traffic to a candidate that cannot take it.
    """
    known = (*state.rollouts, *state.shadows)
    if weights.keys() - state.rollouts.keys() or shadows.keys() - set(known):
        raise UnknownVariant(known)
    if sum(weights.values()) > _WHOLE:
        raise InvalidBody(Problem("/weights", "The weights of all candidates together exceed 1."))
    rollouts = {
        name: _shared(rollout, weights.get(name, 0.0), shadows.get(name, 0.0), at, reason)
        for name, rollout in state.rollouts.items()
    }
    watching = {name: state.shadows[name] for name, rate in shadows.items() if name in state.shadows and rate > 0.0}
    rated = {name: replace(shadow, rate=shadows[name]) for name, shadow in watching.items()}
    trials = {name: replace(one, shadow=shadows[name]) for name, one in state.trials.items() if name in rated}
    return replace(state, rollouts=rollouts, shadows=rated, trials=trials)


def leaned(state: DeploymentState, weights: Mapping[str, float], at: float) -> DeploymentState:
    """Put a bandit's weights in force at data time ``at``. Plans go on as they were."""
    moved = {name: replace(state.rollouts[name], weight=weight, leaned_at=at) for name, weight in weights.items()}
    return replace(state, rollouts=state.rollouts | moved)


def with_shadow(state: DeploymentState, shadow: Shadow, trial: Rollout | None = None) -> DeploymentState:
    """Let another model watch, judged by ``trial`` if there is one. Raises InvalidBody when its name is in use."""
    name = shadow.part.name
    _refuse_taken(name, (*state.shadows, *state.rollouts))
    trials = state.trials if trial is None else state.trials | {name: trial}
    return replace(state, shadows=state.shadows | {name: shadow}, trials=trials)


def without_shadow(state: DeploymentState, name: str) -> DeploymentState:
    """Let a shadow go. Raises UnknownVariant."""
    if name not in state.shadows:
        raise UnknownVariant(tuple(state.shadows))
    shadows = {other: shadow for other, shadow in state.shadows.items() if other != name}
    return replace(state, shadows=shadows, trials={other: one for other, one in state.trials.items() if other != name})


def _refuse_taken(name: str, taken: Container[str]) -> None:
    if name == STABLE or name in taken:
        raise InvalidBody(Problem("/name", "Is the name of another variant here; choose another one."))


def _with(state: DeploymentState, rollout: Rollout) -> DeploymentState:
    return replace(state, rollouts=state.rollouts | {rollout.name: rollout})


def _crowned(state: DeploymentState, stable: Part, at: float, token: Callable[[], str]) -> DeploymentState:
    """Put ``stable`` in place. Whoever was judged against the old one begins again, as a new generation.

    Evidence against the old stable says nothing about the new one, and wealth may not be carried from one question
    to another; so the candidate keeps its step and its share, and its evidence is closed.
    """
    for rollout in state.rollouts.values():
        if rollout.phase is Phase.WATCHED:  # what it was watched as is not stable any more
            settled = send(rollout, Signal.PROMOTE, at)
            state = _unwatched(_with(state, settled), settled)
    rollouts = {
        name: rollout if rollout.phase in ENDED else renew(rollout, token(), at)
        for name, rollout in state.rollouts.items()
    }
    return _tried_anew(replace(state, stable=stable, rollouts=rollouts), state.trials, at, token)


def begun_again(state: DeploymentState, name: str, at: float, token: Callable[[], str]) -> DeploymentState:
    """Close the evidence by which a name is judged, and begin it again as a new generation at data time ``at``.

    A candidate keeps its step and its share, a trial its rate, a watch as much time as it had. Raises UnknownVariant.
    """
    if name in state.trials:
        return _tried_anew(state, [name], at, token)
    rollout = rollout_of(state, name)
    watch = rollout.watch
    if rollout.phase is not Phase.WATCHED or watch is None:
        return _with(state, renew(rollout, token(), at))
    again = replace(watch, generation=token(), since=at, over_at=at + watch.over_at - watch.since)
    watching = {watch.name} & state.shadows.keys()
    shadows = {one: _as_generation(state.shadows[one], again.generation) for one in watching}
    return replace(_with(state, replace(rollout, watch=again)), shadows=state.shadows | shadows)


def _tried_anew(state: DeploymentState, names: Iterable[str], at: float, token: Callable[[], str]) -> DeploymentState:
    """Close the evidence of shadows on trial, and begin it again as new generations."""
    trials = {name: renew(state.trials[name], token(), at) for name in names}
    shadows = {name: _as_generation(state.shadows[name], one.generation) for name, one in trials.items()}
    return replace(state, shadows=state.shadows | shadows, trials=state.trials | trials)


def _as_generation(shadow: Shadow, generation: str) -> Shadow:
    return replace(shadow, part=replace(shadow.part, generation=generation))


def _watching(
    state: DeploymentState, promoted: Rollout, former: Part, at: float, token: Callable[[], str]
) -> DeploymentState:
    """Let the former stable score what its successor answers, as a shadow with evidence of its own."""
    taken = {*state.rollouts, *state.shadows}
    generation = token()
    name = FORMER if FORMER not in taken else f"{FORMER}-{generation}"
    shadow = Shadow(Part(name, generation, former.model), token(), promoted.plan.watch_rate)
    return replace(
        _with(state, watched(promoted, former, name, generation, at)), shadows=state.shadows | {name: shadow}
    )


def _unwatched(state: DeploymentState, rollout: Rollout) -> DeploymentState:
    """Let the former stable go that watched ``rollout``, if it is still there."""
    watch = rollout.watch
    shadow = state.shadows.get(watch.name) if watch else None
    if watch is None or shadow is None or shadow.part.generation != watch.generation:
        return state
    return without_shadow(state, watch.name)


def _returned(state: DeploymentState, rollout: Rollout, at: float, token: Callable[[], str]) -> DeploymentState:
    """Bring back the former stable that watched ``rollout``."""
    if rollout.watch is None:
        raise InvalidTransition(rollout.phase.value, "return to a former stable")
    former = rollout.watch.former
    previous = tuple(part for part in state.previous if part.generation != former.generation)
    return _crowned(replace(_unwatched(state, rollout), previous=previous), former, at, token)


def _shared(rollout: Rollout, weight: float, shadow: float, at: float, reason: str) -> Rollout:
    """Give a candidate a share by hand; its plan, if it runs, is paused by it."""
    if rollout.phase in OVER or rollout.phase is Phase.PREPARING:
        if weight > 0.0 or shadow > 0.0:
            if rollout.phase is Phase.DEMOTED:
                raise CandidateLatched(rollout.name)
            raise InvalidTransition(rollout.phase.value, "take traffic")
        return rollout
    paused = rollout if rollout.phase is Phase.PAUSED else send(rollout, Signal.PAUSE, at, reason)
    return replace(paused, weight=weight, shadow=shadow)
