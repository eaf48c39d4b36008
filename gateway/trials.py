"""The story of a shadow that an operator adds: it watches, is judged on pairs, and rises on that evidence or leaves.

What a trial is and when it may end in a promotion is in :mod:`gateway.core.trials`. Everything may block, as the store
does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway import looking
from gateway.cases import Cases, evidence_of
from gateway.core import judging
from gateway.core.deployments import ModelCard
from gateway.core.errors import ModelUnusable, RevisionConflict, UnknownVariant
from gateway.core.events import Decision
from gateway.core.features import FeaturePlan
from gateway.core.judging import Verdict
from gateway.core.quarantine import hold_back, hold_out
from gateway.core.rollout import Rollout, Signal, begin, chosen_plan, send, terms_of
from gateway.core.routing import CANDIDATE, Part, Shadow
from gateway.core.state import DeploymentState, signalled, started, with_shadow, without_shadow
from gateway.core.tables import accept
from gateway.core.trials import check_same, check_shown, first_taking, trial_of
from gateway.documents import Documents, Note
from gateway.governance import START, Wish, promotion

Permit = Callable[[DeploymentState, Wish], dict[str, Any]]
"""What the trail says of a wish that governance grants. Raises PolicyDenied, PolicyPending, OutboundRefused."""


@dataclass(frozen=True, slots=True)
class Rise:
    """What a shadow is to become: stable at once, or a candidate called ``name``, by a plan (None: the only one)."""

    stable: bool = False
    plan: str | None = None
    name: str = CANDIDATE


class Trials:
    """Adds shadows, and lets them rise or go. Looks at them are :class:`gateway.control.Control`'s."""

    def __init__(self, documents: Documents, cases: Cases, permit: Permit, token: Callable[[], str]) -> None:
        """``token`` makes short random names: generations and salts."""
        self._documents = documents
        self._cases = cases
        self._permit = permit
        self._token = token

    def add(
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
        at = self._documents.now(deployment)

        def change(state: DeploymentState) -> DeploymentState:
            accept(state.spec, state.stable.model, model, features)
            trial = trial_of(shadow, terms_of(state.spec), at)
            if trial is not None:
                looking.check_terms(trial.terms, [state.stable.model, model], trial.plan.steps)
            return with_shadow(state, shadow, trial)

        return self._documents.change(deployment, change, Note("shadow", actor, reason, name))

    def remove(self, deployment: str, name: str, *, actor: str, reason: str) -> Decision:
        """Let a shadow go. Raises UnknownVariant."""
        note = Note("unshadow", actor, reason, name)
        return self._documents.change(deployment, lambda state: without_shadow(state, name), note)

    def shown(self, deployment: str, name: str, expected: int | None = None) -> Rollout:
        """A shadow's trial, if pairs show the shadow to be safe. Raises InvalidTransition, UnknownVariant.

        With ``expected``, RevisionConflict when that revision has gone by.
        """
        state = self._documents.read(deployment)
        if expected is not None and state.revision != expected:
            raise RevisionConflict(expected, state.revision)
        return self._shown(state, name)[0]

    def promote(
        self,
        deployment: str,
        name: str,
        rise: Rise,
        model: ModelCard,
        features: FeaturePlan,
        *,
        actor: str,
        reason: str,
        evidence: Mapping[str, Any] | None = None,
        expected: int | None = None,
    ) -> Decision:
        """Let a shadow rise on what pairs have shown. ``model`` is its model, prepared and vetted once more.

        With ``expected``, RevisionConflict when that revision has gone by. Raises InvalidTransition where pairs do not
        show it to be safe, or may not stand for it, UnknownVariant for a name that is no shadow on trial,
        ModelUnusable for another model than the one that watched, and what starting a candidate raises.
        """
        state, at = self._documents.read(deployment), self._documents.now(deployment)
        trial, verdict, shown = self._shown(state, name)
        if model.digest != trial.model.digest:
            raise ModelUnusable(f"{model.uri} is not the model any more that has watched as {name}.")
        known = dict(evidence or {}) | shown
        note = Note(Signal.PROMOTE.value if rise.stable else START, actor, reason or verdict.sentence, None, known)
        risen = self._risen(state, trial, rise, at)
        wish = promotion(risen, actor, known) if rise.stable else _start(risen, actor, features)
        granted = self._permit(state, wish)

        def change(state: DeploymentState) -> DeploymentState:
            check_same(trial, _on_trial(state, name))
            hold_back(state.stays, state.spec.starts, at)
            hold_out(state.stays, model.digest, at)
            accept(state.spec, state.stable.model, model, features)
            after = started(without_shadow(state, name), risen)
            if not rise.stable:
                return after
            return signalled(after, risen.name, Signal.PROMOTE, at, note.reason, 0, self._token)

        told = replace(note, candidate=risen.name, evidence=known | granted)
        return self._documents.change(deployment, change, told, expected)

    def _shown(self, state: DeploymentState, name: str) -> tuple[Rollout, Verdict, dict[str, Any]]:
        """A shadow's trial, the verdict that lets it rise, and what that rests on."""
        trial = _on_trial(state, name)
        case = self._cases.of(state.deployment, trial)
        verdict = judging.verdict(case, case.looked_at)
        check_shown(trial, verdict)
        return trial, verdict, evidence_of(trial, case, verdict)

    def _risen(self, state: DeploymentState, trial: Rollout, rise: Rise, at: float) -> Rollout:
        """The candidate that a shadow becomes: on the plan's first step with traffic, or running until it is crowned.

        Straight to stable it keeps its name and generation, for its evidence is what it is promoted on.
        """
        plan, terms = chosen_plan(state.spec, rise.plan), terms_of(state.spec)
        looking.check_plan(plan, terms, [state.stable.model, trial.model])
        if rise.stable:
            begun = begin(trial.name, trial.generation, trial.model, plan, self._token(), terms, at)
            return replace(send(begun, Signal.READY, at), weight=0.0, shadow=0.0)
        begun = begin(rise.name, self._token(), trial.model, plan, self._token(), terms, at)
        return replace(begun, step=first_taking(plan))


def _on_trial(state: DeploymentState, name: str) -> Rollout:
    if name not in state.trials:
        raise UnknownVariant(tuple(state.trials))
    return state.trials[name]


def _start(risen: Rollout, actor: str, features: FeaturePlan) -> Wish:
    return Wish(START, actor, risen.name, risen.model, risen.plan.name, features.names())
