"""Asks the policy before a rollout or a promotion, and writes down what it was asked and what it said.

It knows which facts a policy is told; it does not know what a policy is for, nor how one is evaluated. Everything here
may block as the store does, but never for another server: an answer that is not there yet is
:class:`~gateway.core.errors.PolicyPending`.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.core.actors import JUDGE, REGISTRY
from gateway.core.deployments import ModelCard
from gateway.core.errors import PolicyDenied
from gateway.core.events import Decision
from gateway.core.policy import digest_of, population_shift
from gateway.core.rollout import Rollout, Signal
from gateway.core.state import DeploymentState
from gateway.ports import Clock, ControlState, EventLog, PolicyGate

APPROVE, DENY, START = "approve", "deny", "start"
_TIRELESS = frozenset({JUDGE, REGISTRY})
"""Who asks again and again until it is granted: one line says it."""
_LINES = 1_000
_ROWS = 2_000
_PATIENCE_S = 10.0
_RECENT_S = 3_600.0
"""So much data time, up to the newest request, says how many requests there are and how many are degraded."""
_FIGURE = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants: to ``start`` or ``promote`` a model under a candidate's ``name``."""

    action: str
    actor: str
    name: str
    model: ModelCard
    plan: str
    features: Sequence[str] = ()
    generation: str | None = None
    evidence: Mapping[str, Any] | None = None


def promotion(rollout: Rollout, actor: str, evidence: Mapping[str, Any]) -> Wish:
    """The wish to make a candidate stable, with as much of its evidence as a policy is told."""
    about = {name: evidence[name] for name in ("verdict", "n_candidate", "window") if name in evidence}
    model, plan, generation = rollout.model, rollout.plan.name, rollout.generation
    return Wish(Signal.PROMOTE.value, actor, rollout.name, model, plan, (), generation, about)


class Governance:
    """Puts the question to the policy, where there is one; either way the facts go into the audit trail."""

    def __init__(self, gate: PolicyGate | None, state: ControlState, log: EventLog, clock: Clock) -> None:
        self._gate, self._state, self._log, self._clock = gate, state, log, clock
        self._waiting: dict[str, tuple[int, float, tuple[str, ...]]] = {}

    def permit(
        self, state: DeploymentState, wish: Wish, deny: Callable[[str, dict[str, Any]], object]
    ) -> dict[str, Any]:
        """What the trail shall say of a wish that is granted.

        Raises PolicyDenied, after ``deny`` has written that down unless the same is written already, and PolicyPending
        or OutboundRefused while the policy does not answer.
        """
        self._spare(state, wish)
        timeline = self._state.timeline(state.deployment, _LINES)
        question = self._question(state, wish, timeline)
        said = {name: question[name] for name in ("model", "data", "drift", "approvals", "requested_by", "at")}
        if self._gate is None:
            return said | {"policy": None}
        ruling = self._gate.rule(question)
        said |= {"policy": ruling.by, "question": digest_of(question)}
        if ruling.allowed:
            return said
        if not _said_already(timeline, wish, ruling.reasons):
            deny("; ".join(ruling.reasons), {"governance": said | {"reasons": list(ruling.reasons)}})
        elif wish.generation is not None:
            self._waiting[state.deployment] = (state.revision, self._clock.machine(), ruling.reasons)
        raise PolicyDenied(wish.action, ruling.reasons)

    def _spare(self, state: DeploymentState, wish: Wish) -> None:
        """Let a judge who is told no look after look ask again in a while, or once somebody has decided something."""
        revision, at, reasons = self._waiting.get(state.deployment, (0, 0.0, ()))
        if wish.actor == JUDGE and revision == state.revision and self._clock.machine() - at < _PATIENCE_S:
            raise PolicyDenied(wish.action, reasons)

    def _question(self, state: DeploymentState, wish: Wish, timeline: Sequence[Decision]) -> dict[str, Any]:
        served = self._log.served(state.deployment, _ROWS)
        return {
            "action": wish.action,
            "deployment": state.deployment,
            "candidate": wish.name,
            "actor": wish.actor,
            "requested_by": _requested_by(timeline, wish),
            "at": self._clock.wall(),
            "plan": wish.plan,
            "model": _model(wish.model),
            "stable": _model(state.stable.model),
            "features": {"names": sorted({*(each.name for each in wish.model.inputs), *wish.features})},
            "data": self._data(state),
            "drift": {"score": _drift([each.row.score for each in served if each.row.score is not None])},
            "approvals": _approvals(timeline, wish.model.digest),
            "evidence": dict(wish.evidence or {}),
        }

    def _data(self, state: DeploymentState) -> dict[str, Any]:
        """Which data is known now, by digest; how old the newest is, in seconds of data time; how much was degraded.

        Nothing here reads the whole log: it may be years long, and somebody waits.
        """
        latest, now = self._log.latest(state.deployment), self._clock.data()
        generations = {state.stable.generation, *(one.generation for one in state.rollouts.values())}
        since = math.inf if latest is None else latest - _RECENT_S
        asked, degraded = self._log.degraded(state.deployment, generations, since, now)
        known = {"cursors": dict(self._log.cursors()), "latest": latest, "requests": asked}
        age_s = None if latest is None else max(0.0, now - latest)
        return {
            "digest": digest_of(known),
            "age_s": age_s,
            "requests": asked,
            "degraded": degraded / asked if asked else 0.0,
        }


def _drift(scores: Sequence[float]) -> float | None:
    """How far the answers of the newest half moved from those of the half before it (PSI)."""
    half = len(scores) // 2
    return population_shift(scores[:half], scores[half:])


def _model(card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "version": card.version,
        "digest": card.digest,
        "uri": card.uri,
        "flavour": card.flavour,
        "feature_service": card.feature_service,
    }


def _approvals(timeline: Sequence[Decision], digest: str) -> list[dict[str, Any]]:
    """Who has approved these very bytes, each once, with the latest word."""
    said = {
        decision.actor: {"by": decision.actor, "at": decision.machine_at, "reason": decision.reason}
        for decision in reversed(timeline)
        if decision.action == APPROVE and decision.evidence["model"]["digest"] == digest
    }
    return [said[name] for name in sorted(said)]


def _requested_by(timeline: Sequence[Decision], wish: Wish) -> str:
    """Who started it; of a start, whoever asks."""
    for decision in timeline:
        if wish.generation is not None and decision.action == START and decision.candidate == wish.name:
            return decision.actor
    return wish.actor


def _gist(reason: str) -> str:
    """A reason without its figures, which move all the time.

    >>> _gist("the newest data is 61.5 s old")
    'the newest data is # s old'
    """
    return _FIGURE.sub("#", reason)


def _said_already(timeline: Sequence[Decision], wish: Wish, reasons: Sequence[str]) -> bool:
    """Whether the last word on this candidate was the same: a rise that waits needs no line per look."""
    if wish.actor not in _TIRELESS:
        return False
    for decision in timeline:
        if decision.candidate == wish.name and decision.action != APPROVE:
            governance = decision.evidence.get("governance", {})
            return decision.action == DENY and list(map(_gist, governance.get("reasons", ()))) == list(
                map(_gist, reasons)
            )
    return False
