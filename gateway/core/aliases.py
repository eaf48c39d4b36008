"""What a registry's aliases ask of a deployment, and what its decisions ask of the registry. Pure.

``challenger`` is a wish: the version it names is to be tried. ``champion`` is an answer: the gateway moves it, and
never acts on it. All of it is worked out from where things stand, never from what has just changed, so a restart, a
missed poll or a registry that was away costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.core.deployments import ModelCard
from gateway.core.errors import CandidateRunning, Postponed
from gateway.core.events import Decision
from gateway.core.outbox import MOST_WAITING, Ending, WriteBack
from gateway.core.rollout import ENDED, OVER, Phase, Rollout, Signal, send
from gateway.core.state import DeploymentState

CHAMPION = "champion"
CHALLENGER = "challenger"
"""The two aliases; a candidate that the latter asked for is called by its name too."""
REFUSE = "refuse"
"""The action of a decision that keeps a version from being tried; its evidence names ``model`` and ``version``."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the alias asks for: try ``version``, or (None) try nothing any longer."""

    version: str | None


def wish(state: DeploymentState, aliases: Mapping[str, str]) -> Wish | None:
    """What the ``challenger`` alias asks for that is not so already, or None.

    Nothing is asked for by an alias that an entry of the outbox is about to clear: it is only late.
    """
    wanted, alive = aliases.get(CHALLENGER), followed(state)
    if wanted is None:
        return Wish(None) if alive is not None else None
    if _lives(state, wanted) or any(entry.version == wanted for entry in state.outbox):
        return None
    return Wish(wanted)


def followed(state: DeploymentState) -> Rollout | None:
    """The rollout that the alias asked for, while it is a candidate."""
    rollout = state.rollouts.get(CHALLENGER)
    return rollout if rollout is not None and rollout.alias and rollout.phase not in OVER else None


def hold_for_watch(state: DeploymentState) -> None:
    """Raise Postponed while what the alias asked for before is stable and under watch: what it showed is in doubt."""
    before = state.rollouts.get(CHALLENGER)
    if before is not None and before.phase is Phase.WATCHED:
        raise Postponed(
            f"Version {before.model.version} was promoted and is under watch; the next one starts when that is over "
            f"(promote {CHALLENGER} ends it at once)."
        )


def made_way(state: DeploymentState, model: ModelCard, at: float) -> DeploymentState:
    """Let what the alias asked for before make way for ``model``.

    Raises CandidateRunning where that runs already, Postponed where it is stable and under watch.
    """
    hold_for_watch(state)
    alive = followed(state)
    if alive is not None and alive.model.digest == model.digest and alive.model.version == model.version:
        raise CandidateRunning(alive.name, alive.phase.value)
    return withdrawn(state, at, f"{CHALLENGER} moved on to version {model.version}")


def withdrawn(state: DeploymentState, at: float, reason: str) -> DeploymentState:
    """End the candidate that the alias no longer asks for. It has done nothing wrong, so it may come back at once."""
    alive = followed(state)
    if alive is None:
        return state
    return replace(state, rollouts=state.rollouts | {alive.name: send(alive, Signal.DEMOTE, at, reason)})


def _lives(state: DeploymentState, version: str) -> bool:
    """Whether a version of the registered model is stable, or a candidate that has not ended."""
    cards = [state.stable.model, *(one.model for one in state.rollouts.values() if one.phase not in OVER)]
    return (state.spec.model, version) in {(card.name, card.version) for card in cards}


def with_write_backs(before: DeploymentState, after: DeploymentState, decision: Decision) -> DeploymentState:
    """Put what the registry has to be told about a change into the outbox of the document it leaves."""
    if not after.spec.follow_aliases:
        return after
    told = [*_endings(before, after, decision), *_crowning(before, after, decision)]
    if decision.action == REFUSE:
        told.append((Ending.REFUSED, str(decision.evidence["model"]), str(decision.evidence["version"])))
    ours = [(ending, version) for ending, model, version in told if model == after.spec.model]
    entries = tuple(
        WriteBack(
            id=f"{decision.revision}.{number}",
            ending=ending,
            model=after.spec.model,
            version=version,
            at=decision.machine_at,
            data_at=decision.data_at,
            revision=decision.revision,
            rule=_rule(before, decision),
            reason=decision.reason,
            evidence=_in_short(decision.evidence),
        )
        for number, (ending, version) in enumerate(ours, 1)
    )
    return replace(after, outbox=(*after.outbox, *entries)[-MOST_WAITING:])


def acknowledged(state: DeploymentState, ids: frozenset[str]) -> DeploymentState:
    """Take entries that were carried out off the outbox."""
    return replace(state, outbox=tuple(entry for entry in state.outbox if entry.id not in ids))


def _endings(before: DeploymentState, after: DeploymentState, decision: Decision) -> list[tuple[Ending, str, str]]:
    """Versions whose life ended by this change: as a candidate, or under watch after it.

    A life is known by its salt: generations change within one. That one was promoted is the crowning's to say.
    """
    found = []
    for name, was in before.rollouts.items():
        now = after.rollouts.get(name)
        same = now is not None and now.salt == was.salt
        if was.phase in ENDED or (same and now is not None and now.phase is not Phase.DEMOTED):
            continue
        replaced = not same or decision.action == "withdraw"
        ending = Ending.REPLACED if replaced else Ending.DEMOTED
        found.append((ending, was.model.name, was.model.version))
    return found


def _crowning(before: DeploymentState, after: DeploymentState, decision: Decision) -> list[tuple[Ending, str, str]]:
    if before.stable == after.stable:
        return []
    ending = Ending.RESTORED if decision.action == "rollback" else Ending.PROMOTED
    return [(ending, after.stable.model.name, after.stable.model.version)]


def _rule(before: DeploymentState, decision: Decision) -> str:
    rollout = before.rollouts.get(decision.candidate or "")
    return f"{decision.actor}, plan {rollout.plan.name}" if rollout is not None else decision.actor


def _in_short(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """What of the evidence fits into a tag; the whole of it is in the timeline, under the same revision."""
    short = {name: evidence[name] for name in ("judge_version", "step", "n_candidate", "n_pairs") if name in evidence}
    verdict = evidence.get("verdict")
    if isinstance(verdict, Mapping):
        short["finding"] = str(verdict.get("finding"))
        short["metrics"] = {
            str(one["metric"]): [str(one["finding"]), one.get("stable"), one.get("candidate")]
            for one in verdict.get("findings", ())
        }
    if "failed" in evidence:
        short["failed"] = list(evidence["failed"])
    return short
