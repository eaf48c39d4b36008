"""One look at one candidate: which records it takes, and what the judge makes of them.

The control story makes looks, :mod:`gateway.replay` makes them again: both through this, so that they cannot differ.
Nothing is stored here and nothing is decided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.core import judging
from gateway.core.admission import check_bandits, check_outputs
from gateway.core.deployments import DeploymentSpec, Guardrail, ModelCard, Plan, Role, Step, Task
from gateway.core.errors import InvalidBody, Problem, Unmeasurable
from gateway.core.events import EvidenceRow, PairRow
from gateway.core.judging import JUDGE_VERSION, JudgeState
from gateway.core.looks import Opening
from gateway.core.metrics import known
from gateway.core.rollout import Phase, Rollout, Terms, terms_of
from gateway.core.words import span
from gateway.ports import EventLog, Window

OUT_OF_ORDER_S = 3_600.0
"""By how much data time of a candidate's first requests may lie before its start (replays are not quite in order)."""

_SIDES = tuple(name.removeprefix("stable_") for name in PairRow._fields if name.startswith("stable_"))


def opening_of(deployment: str, rollout: Rollout, stable: str, at: float) -> Opening:
    """Say what a candidate's evidence begins with; ``stable`` is the generation that stands.

    A candidate started when a replay had not shown any time yet is opened at data time ``at``. A promoted one that is
    under watch is judged on pairs alone, against the former stable, which scores the same requests as a shadow.
    """
    watch = rollout.watch
    if rollout.phase is Phase.WATCHED and watch is not None:
        terms = replace(rollout.terms, guardrails=watchable(rollout.terms.guardrails), on_pairs=True)
        judged = replace(rollout, opened_at=watch.since, terms=terms)
        return Opening(deployment, watch.generation, stable, watch.since, JUDGE_VERSION, judged, swapped=True)
    return Opening(deployment, rollout.generation, stable, rollout.opened_at or at, JUDGE_VERSION, rollout)


def generation_of(rollout: Rollout) -> str:
    """Name the generation whose evidence a rollout is judged by: under watch it is the watch's."""
    watching = rollout.phase is Phase.WATCHED and rollout.watch is not None
    return rollout.watch.generation if watching and rollout.watch else rollout.generation


def open_case(opening: Opening) -> JudgeState:
    """Open the case that an opening describes. Raises Unmeasurable."""
    rollout = opening.rollout
    return _open(rollout.terms, [rollout.model], opening.opened_at, pairs=_on_pairs(opening), version=opening.version)


def check_terms(terms: Terms, models: Sequence[ModelCard], steps: Sequence[Step]) -> None:
    """Raise Unmeasurable for a guardrail that cannot be judged on all of these models, along these steps."""
    _open(terms, models, 0.0, pairs=any(step.shadow > 0.0 for step in steps))
    check_bandits(terms.guardrails, steps)
    for model in models:
        if model.task is Task.MULTIOUTPUT:
            check_outputs(terms.guardrails, model.outputs)


def check_spec(spec: DeploymentSpec, model: ModelCard) -> None:
    """Raise Unmeasurable for a guardrail of the spec that cannot be judged on such a model, whatever the plan."""
    check_terms(terms_of(spec), [model], [step for plan in spec.plans.values() for step in plan.steps])


def check_plan(plan: Plan, terms: Terms, models: Sequence[ModelCard]) -> None:
    """Raise Unmeasurable for what this plan never lets anybody see, InvalidBody for an idle watch period.

    InvalidBody, too, where no guardrail acts: with none, nothing could send the candidate back.
    """
    check_terms(terms, models, plan.steps)
    for one in terms.guardrails:
        if known(one.metric).labelled and terms.maturity_s >= plan.max_age_s:
            because = f"labels count at the age of {span(terms.maturity_s)}, the plan gives up after"
            raise Unmeasurable(one.metric, f"{because} {span(plan.max_age_s)}.")
    if plan.watch_s > 0.0 and not watchable(terms.guardrails):
        raise InvalidBody(Problem("/plan", "Its watch period needs a guardrail that is judged by labels, on pairs."))
    if not any(one.role is Role.GUARDRAIL and not one.dry_run for one in terms.guardrails):
        raise InvalidBody(Problem("/guardrails", "Must name one that acts, or nothing could send the candidate back."))


def watchable(guardrails: Sequence[Guardrail]) -> tuple[Guardrail, ...]:
    """The guardrails that can bring the former stable back: those that the truth decides, on the same requests."""
    acting = [one for one in guardrails if one.role is Role.GUARDRAIL and not one.dry_run]
    return tuple(one for one in acting if judging.on_pairs(known(one.metric)))


def has_news(opening: Opening, case: JudgeState, watermark: float) -> bool:
    """Whether data time has come further than the last look; without that, a look is not made."""
    health, _ = _windows(opening.rollout, case, watermark, {})
    return health.until > health.after


def look(log: EventLog, opening: Opening, case: JudgeState, watermark: float, visible: Mapping[str, int]) -> JudgeState:
    """Return what the judge knows after a look up to ``watermark`` (data time, seconds). Every record comes once.

    ``visible`` says, by spool, up to which offset records could be seen.
    """
    health, mature = _windows(opening.rollout, case, watermark, visible)
    ripe = mature.until > mature.after
    new = _rows(log, opening, health)
    looked = judging.look(
        case,
        health=new,
        mature=new if mature == health else _rows(log, opening, mature) if ripe else (),
        pairs=_pairs(log, opening, mature) if ripe else (),
        at=watermark,
    )
    until = mature.until if ripe else mature.after
    return replace(looked, judged_until=watermark, matured_until=until, paired_until=until, cursor=dict(visible))


def _rows(log: EventLog, opening: Opening, window: Window) -> Sequence[EvidenceRow]:
    return (
        ()
        if opening.swapped or opening.rollout.terms.on_pairs
        else log.evidence(opening.deployment, opening.generation, window)
    )


def _pairs(log: EventLog, opening: Opening, window: Window) -> Sequence[PairRow]:
    if not _on_pairs(opening):
        return ()
    rows = log.pairs(opening.deployment, opening.generation, opening.stable, window)
    return [_swapped(row) for row in rows] if opening.swapped else rows


def _on_pairs(opening: Opening) -> bool:
    """Whether a shadow ever watches in this generation; without one nothing is judged on pairs."""
    return opening.swapped or any(step.shadow > 0.0 for step in opening.rollout.plan.steps)


def _swapped(row: PairRow) -> PairRow:
    """The same pair seen from the other side. A former stable that failed has no answer, which is never right."""
    sides: dict[str, Any] = {f"shadow_{side}": getattr(row, f"stable_{side}") for side in _SIDES}
    for side in _SIDES:
        sides[f"stable_{side}"] = None if row.shadow_failed else getattr(row, f"shadow_{side}")
    return row._replace(**sides, shadow_failed=False)


def _windows(rollout: Rollout, case: JudgeState, watermark: float, visible: Mapping[str, int]) -> tuple[Window, Window]:
    """The records that health metrics have not seen, and those whose labels have come of age since the last look."""
    start = rollout.opened_at - OUT_OF_ORDER_S
    judged = start if case.judged_until is None else case.judged_until
    matured = start if case.matured_until is None else case.matured_until
    return Window(judged, watermark, visible), Window(matured, watermark - rollout.terms.maturity_s, visible)


def _open(
    terms: Terms, models: Sequence[ModelCard], at: float, *, pairs: bool, version: str = JUDGE_VERSION
) -> JudgeState:
    last = models[-1]
    return judging.open_case(
        terms.guardrails,
        alpha=terms.alpha,
        alpha_promote=terms.alpha_promote,
        task=last.task,
        at=at,
        pairs=pairs,
        classes=last.classes,
        scored=all(model.scored for model in models),
        own=not terms.on_pairs,
        version=version,
    )
