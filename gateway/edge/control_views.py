"""How the core's values look to an operator. Pure translation; nothing is decided and nothing is read here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from gateway.core.deployments import Inputs
from gateway.core.events import Decision, PredictionRecord
from gateway.core.features import FeaturePlan, Status
from gateway.core.forecast import Outlook
from gateway.core.judging import Verdict
from gateway.core.rollout import OVER, Rollout
from gateway.core.routing import STABLE, Part, Shadow
from gateway.core.state import DeploymentState
from gateway.core.tables import cards_of, example_body, inputs_of
from gateway.edge.control_schemas import (
    AnswerView,
    ArmView,
    DecisionView,
    DeploymentView,
    FeatureView,
    FieldView,
    GuardrailView,
    InputsView,
    ModelView,
    OutcomeView,
    PerformanceLine,
    PlanView,
    PredictionView,
    SpreadView,
    StepView,
    StillNeededView,
    VariantView,
    VerdictLine,
    VerdictView,
)
from gateway.ports import StoredPrediction, VariantPerformance


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a candidate: its verdict, what that still needs, and observations since its step began."""

    verdict: Verdict
    still: Outlook | None
    seen: int


def deployment_view(
    state: DeploymentState,
    plan: FeaturePlan,
    standings: Mapping[str, Standing],
    *,
    drift: bool,
    preparing: Sequence[str] = (),
) -> DeploymentView:
    """Show a deployment; ``standings`` by the name of a candidate, or of a shadow on trial."""
    taken = sum(rollout.weight for rollout in state.rollouts.values())
    stable = _variant(state.stable, "stable", weight=max(0.0, 1.0 - taken))
    candidates = [_candidate(rollout, standings.get(name)) for name, rollout in state.rollouts.items()]
    shadows = [_shadow(shadow, standings.get(name)) for name, shadow in state.shadows.items()]
    return DeploymentView(
        deployment=state.deployment,
        revision=state.revision,
        default=state.spec.rules.default,
        config_drift=drift,
        preparing=tuple(preparing),
        variants=(stable, *candidates, *shadows),
        previous=tuple(_model(part) for part in state.previous),
        plans=tuple(sorted(state.spec.plans)),
        guardrails=tuple(guardrail.metric for guardrail in state.spec.guardrails),
        labels_independent=state.spec.labels_independent,
        inputs=_inputs(inputs_of(state.spec, cards_of(state), plan)),
    )


def verdict_view(
    deployment: str, rollout: Rollout, verdict: Verdict, still: Outlook | None, degraded: float
) -> VerdictView:
    """Show a verdict with each of its guardrails."""
    return VerdictView(
        deployment=deployment,
        candidate=rollout.name,
        generation=rollout.generation,
        model_version=rollout.model.version,
        phase=rollout.phase.value,
        finding=verdict.finding.value,
        sentence=verdict.sentence,
        at=verdict.at,
        judge_version=verdict.version,
        degraded_share=degraded,
        paused_by=verdict.paused_by,
        still_needed=None if still is None else StillNeededView.model_validate(still),
        guardrails=tuple(GuardrailView.model_validate(finding) for finding in verdict.findings),
    )


def decision_view(decision: Decision) -> DecisionView:
    """Show a line of the timeline."""
    return DecisionView.model_validate(decision)


def versions_of(state: DeploymentState) -> dict[str, str]:
    """Model versions by digest, of every model the document still knows."""
    parts = [state.stable, *state.previous, *(shadow.part for shadow in state.shadows.values())]
    cards = [*(rollout.model for rollout in state.rollouts.values()), *(part.model for part in parts)]
    return {card.digest: card.version for card in cards}


def performance_lines(rows: Sequence[VariantPerformance], versions: Mapping[str, str]) -> tuple[PerformanceLine, ...]:
    """Show what each variant's answers came to, as rates."""
    return tuple(
        PerformanceLine(
            variant=row.name,
            generation=row.generation,
            model_version=versions.get(row.digest),
            predictions=row.n,
            failed=row.failed,
            error_rate=_rate(row.failed, row.n),
            degraded=row.degraded,
            labelled=row.labelled,
            accuracy=_rate(row.correct, row.labelled),
            brier=_rate(row.brier_sum, row.scored),
            latency_s=row.latency_s and SpreadView.model_validate(row.latency_s),
            label_delay_s=row.label_delay_s and SpreadView.model_validate(row.label_delay_s),
        )
        for row in rows
    )


def prediction_view(prediction_id: str, stored: StoredPrediction) -> PredictionView:
    """Show one prediction with its features, shadows and outcomes."""
    record = stored.record
    return PredictionView(
        prediction_id=prediction_id,
        deployment=record.deployment,
        revision=record.revision,
        at=record.at,
        assigned=record.assigned,
        served=record.served,
        status=record.status,
        error=record.error,
        randomised=record.randomised,
        degraded=record.degraded,
        prediction=record.label,
        score=record.score,
        scores=record.scores,
        attempts=stored.attempts,
        arms=tuple(ArmView.model_validate(arm) for arm in record.arms),
        features=_features(record),
        latency_s=record.latency,
        shadows=tuple(
            AnswerView(
                name=shadow.name,
                generation=shadow.generation,
                prediction=shadow.label,
                score=shadow.score,
                error=shadow.error,
                dropped=shadow.dropped,
            )
            for shadow in stored.shadows
        ),
        outcomes=tuple(OutcomeView.model_validate(outcome) for outcome in stored.outcomes),
    )


def _candidate(rollout: Rollout, standing: Standing | None) -> VariantView:
    line = _line(standing.verdict, standing.still) if standing else None
    seen = standing.seen if standing else 0
    part = Part(rollout.name, rollout.generation, rollout.model)
    shown = _variant(part, "candidate", weight=rollout.weight, shadow=rollout.shadow)
    step = None if rollout.phase in OVER else _step(rollout, seen)
    plan = PlanView.model_validate(rollout.plan)
    return shown.model_copy(
        update={"phase": rollout.phase.value, "plan": plan, "step": step, "verdict": line, "reason": rollout.reason}
    )


def _shadow(shadow: Shadow, standing: Standing | None) -> VariantView:
    line = _line(standing.verdict, standing.still) if standing else None
    return _variant(shadow.part, "shadow", shadow=shadow.rate).model_copy(update={"verdict": line})


def _line(verdict: Verdict, still: Outlook | None) -> VerdictLine:
    needed = None if still is None else still.sentence
    return VerdictLine(finding=verdict.finding.value, sentence=verdict.sentence, at=verdict.at, still_needed=needed)


def _variant(part: Part, role: str, *, weight: float = 0.0, shadow: float = 0.0) -> VariantView:
    return VariantView(
        name=STABLE if role == STABLE else part.name,
        role=role,
        generation=part.generation,
        model=part.model.name,
        model_version=part.model.version,
        digest=part.model.digest,
        weight=weight,
        shadow=shadow,
    )


def _step(rollout: Rollout, seen: int) -> StepView:
    step = rollout.current
    return StepView(
        plan=rollout.plan.name,
        number=rollout.step + 1,
        of=len(rollout.plan.steps),
        weight=step.weight,
        shadow=step.shadow,
        since=rollout.since,
        at_least_s=step.at_least_s,
        events=step.events,
        approval=step.approval,
        seen=seen,
    )


def _model(part: Part) -> ModelView:
    return ModelView(model=part.model.name, model_version=part.model.version, digest=part.model.digest)


def _inputs(inputs: Inputs) -> InputsView:
    return InputsView(
        entities=tuple(FieldView.model_validate(field) for field in inputs.entities),
        features=tuple(FieldView.model_validate(field) for field in inputs.features),
        example=example_body(inputs),
    )


def _features(record: PredictionRecord) -> dict[str, FeatureView]:
    columns = zip_longest(record.values, record.statuses, record.event_times)
    return {
        name: FeatureView(value=value, status=Status(status or 0).name.lower(), event_time=event_time)
        for name, (value, status, event_time) in zip(record.names, columns, strict=False)
    }


def _rate(count: float, of: int) -> float | None:
    return count / of if of else None
