"""A shadow's trial: what an operator's shadow is judged by, as a candidate's life without traffic of its own.

Pure. No rule acts on a trial: its verdict is told, and an operator promotes the shadow or lets it go. Stable and the
shadow answer the same requests, so evidence is theirs together, and closes when either of them changes.
"""

from dataclasses import replace

from gateway.core.deployments import Guardrail, Plan, Step
from gateway.core.errors import InvalidBody, InvalidTransition, Problem
from gateway.core.judging import Finding, Verdict, on_pairs
from gateway.core.metrics import Kind, known
from gateway.core.rollout import Rollout, Signal, Terms, begin, send
from gateway.core.routing import Shadow

PLAN = "shadow"
"""The name of the plan that a trial follows: to watch."""
_WATCHING = "watching"


def pairable(guardrail: Guardrail) -> bool:
    """Whether a guardrail can be judged on what stable and a shadow answered to the same request."""
    metric = known(guardrail.metric)
    return metric.kind is Kind.AGREEMENT or on_pairs(metric)


def trial_of(shadow: Shadow, terms: Terms, at: float) -> Rollout | None:
    """The trial that a shadow begins at data time ``at``; None where no guardrail can be judged on pairs.

    >>> from gateway.core.deployments import ModelCard, Task
    >>> from gateway.core.routing import Part
    >>> card = ModelCard("m", "9", "models:/m/9", "d", "joblib", "m", (), Task.BINARY)
    >>> held = trial_of(Shadow(Part("v9", "g1", card), "salt", 0.5), Terms((Guardrail("accuracy"),)), 0.0)
    >>> held.phase.value, held.weight, held.shadow, trial_of(held, Terms((Guardrail("latency"),)), 0.0)
    ('running', 0.0, 0.5, None)
    """
    guardrails = tuple(filter(pairable, terms.guardrails))
    if not guardrails:
        return None
    plan = Plan(PLAN, (Step(shadow=shadow.rate),), auto_promote=False)
    held = replace(terms, guardrails=guardrails, on_pairs=True)
    begun = begin(shadow.part.name, shadow.part.generation, shadow.part.model, plan, shadow.salt, held, at)
    return send(begun, Signal.READY, at)


def check_shown(trial: Rollout, verdict: Verdict) -> None:
    """Raise InvalidTransition unless pairs may stand for a shadow, and show it to be safe."""
    signal = Signal.PROMOTE.value
    if not trial.terms.labels_independent:
        because = "labels_independent is not declared, so labels may follow from what stable answered"
        raise InvalidTransition(
            _WATCHING, signal, f"{trial.name} cannot be promoted on pairs: {because}. Start it as a canary instead."
        )
    if verdict.finding is not Finding.PASS:
        raise InvalidTransition(
            _WATCHING, signal, f"{trial.name} is not shown to be safe on pairs ({verdict.finding}): {verdict.sentence}"
        )


def check_same(shown: Rollout, now: Rollout) -> None:
    """Raise InvalidTransition where stable, or the shadow, is another one by now than the evidence is about."""
    if now.generation != shown.generation:
        because = f"{now.name}'s evidence is closed and begins again: stable, or it, has changed meanwhile."
        raise InvalidTransition(_WATCHING, Signal.PROMOTE.value, because)


def first_taking(plan: Plan) -> int:
    """The first step of a plan that takes traffic: where one begins that has watched already. Raises InvalidBody."""
    for number, step in enumerate(plan.steps):
        if step.weight > 0.0:
            return number
    raise InvalidBody(Problem("/plan", "Has no step that takes traffic, and the shadow has watched already."))
