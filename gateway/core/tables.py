"""The routing table that a control document asks for, and what applications may send by it. Pure.

A candidate cannot hurt stable: only stable's inputs can be demanded of a request. What else a variant, or a model in
the rollback window, knows is accepted and optional; a candidate that could not live with that is refused at the door.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.core.deployments import DeploymentSpec, Field, Inputs, ModelCard, Scalar, Task, Type
from gateway.core.errors import ModelUnusable
from gateway.core.features import FeaturePlan
from gateway.core.ids import tag_of
from gateway.core.rollout import JUDGED, OVER, Phase, Rollout
from gateway.core.routing import CANDIDATE, Candidate, Part, RoutingTable, Shadow
from gateway.core.state import DeploymentState

_NUMBERS = frozenset({Type.INTEGER, Type.NUMBER})


def table_of(state: DeploymentState, plan: FeaturePlan) -> RoutingTable:
    """Draw the routing table of a document; ``plan`` is the compiled union of :func:`services_of` it.

    Candidates stand in the order they were started; one that is still being prepared stands there with weight 0, so
    that workers load it. A candidate on a shadow step is among the shadows too, drawn by a salt of its own.
    """
    rollouts = in_order(state)
    return RoutingTable(
        deployment=state.deployment,
        tag=tag_of(state.deployment),
        revision=state.revision,
        stable=state.stable,
        candidates=tuple(Candidate(part_of(r), r.salt, r.weight if r.phase in JUDGED else 0.0) for r in rollouts),
        shadows=(*_watching(rollouts), *(state.shadows[name] for name in sorted(state.shadows))),
        warm=tuple(part.model for part in state.previous),
        rules=state.spec.rules,
        inputs=inputs_of(state.spec, cards_of(state), plan),
        features=plan,
        policies=dict(state.spec.features),
        labels=state.spec.label_values,
    )


def in_order(state: DeploymentState) -> list[Rollout]:
    """Candidates that are alive, in the order they were started: the order in which they draw."""
    alive = [rollout for rollout in state.rollouts.values() if rollout.phase not in OVER]
    return sorted(alive, key=lambda rollout: (rollout.started_at, rollout.name))


def looked_at(state: DeploymentState) -> list[Rollout]:
    """Everybody the judge looks at: candidates in the order of their draw, who is under watch, shadows on trial."""
    judged = [rollout for rollout in in_order(state) if rollout.phase in JUDGED]
    return [*judged, *_watched(state), *state.trials.values()]


def candidate_meant(state: DeploymentState, name: str | None) -> str:
    """The candidate meant: the one named, or the only one alive, or the one that has the usual name."""
    if name is not None:
        return name
    alive = in_order(state) or _watched(state)
    return alive[0].name if len(alive) == 1 else CANDIDATE


def part_of(rollout: Rollout) -> Part:
    """The part that a rollout's candidate plays."""
    return Part(rollout.name, rollout.generation, rollout.model)


def cards_of(state: DeploymentState) -> tuple[ModelCard, ...]:
    """Every model that the document needs, stable first, each digest once."""
    cards = [state.stable.model, *(rollout.model for rollout in in_order(state))]
    cards += [shadow.part.model for shadow in state.shadows.values()]
    cards += [part.model for part in state.previous]
    return tuple({card.digest: card for card in cards}.values())


def services_of(state: DeploymentState) -> tuple[str, ...]:
    """Every feature service that the document's models read, each once: what the feature plan is compiled from."""
    return tuple(dict.fromkeys(card.feature_service for card in cards_of(state) if card.feature_service))


def inputs_of(spec: DeploymentSpec, cards: Sequence[ModelCard], plan: FeaturePlan) -> Inputs:
    """Work out what an application sends; the first card is stable's.

    Entity keys are those declared and those the plan reads by. Request features are the models' inputs that are no
    entity keys and that the model's own feature service does not deliver. Declared fields win over what a model says.
    """
    stable = cards[0]
    entities = dict(spec.entities) | {
        key.request: spec.entities.get(key.request) or Field(key.request, key.type) for key in plan.join_keys()
    }
    needed = _keys_of(stable, plan) | {known.name for known in stable.inputs}
    fields: dict[str, Field] = {}
    for card in cards:
        for known in request_features(card, entities, plan):
            fields.setdefault(known.name, spec.inputs.get(known.name, known))
    demanded = {known.name for known in request_features(stable, entities, plan)}
    return Inputs(_ask(entities.values(), needed), _ask(fields.values(), demanded))


def request_features(card: ModelCard, entities: Iterable[str], plan: FeaturePlan) -> list[Field]:
    """The part of a model's row that only the request can fill, in the model's order."""
    elsewhere = {*entities, *plan.services.get(card.feature_service or "", ())}
    return [known for known in card.inputs if known.name not in elsewhere]


def accept(spec: DeploymentSpec, stable: ModelCard, candidate: ModelCard, plan: FeaturePlan) -> None:
    """Raise ModelUnusable if ``candidate`` could not answer the requests that stable is sent.

    ``plan`` covers both models' feature services. A request feature that stable does not have needs a declared
    default; one that both have must be of one type; both must give the same kind of answer, and the candidate every
    output of stable's.
    """
    if candidate.task is not stable.task:
        raise ModelUnusable(f"It answers as {candidate.task.value}, stable as {stable.task.value}.")
    if stable.task is Task.BINARY and candidate.classes and stable.classes and candidate.classes != stable.classes:
        raise ModelUnusable(f"Its classes are {list(candidate.classes)}, stable's {list(stable.classes)}.")
    if not set(stable.outputs) <= set(candidate.outputs):
        raise ModelUnusable(f"It answers {', '.join(candidate.outputs)}, stable {', '.join(stable.outputs)}.")
    entities = {*spec.entities, *(key.request for key in plan.join_keys())}
    known = {field.name: field for field in request_features(stable, entities, plan)}
    for field in request_features(candidate, entities, plan):
        ours = known.get(field.name)
        if ours is None and _required(spec.inputs.get(field.name, field)):
            raise ModelUnusable(f"It needs the request feature {field.name}: declare a default for it under inputs.")
        if ours is not None and field.type is not ours.type and {field.type, ours.type} != _NUMBERS:
            raise ModelUnusable(f"It takes {field.name} as {field.type.value}, stable as {ours.type.value}.")


def example_body(inputs: Inputs) -> dict[str, dict[str, Scalar]]:
    """A body that ``POST /predict`` accepts."""
    body = {
        "entities": {field.name: example_of(field) for field in inputs.entities},
        "features": {field.name: example_of(field) for field in inputs.features},
    }
    return {member: values for member, values in body.items() if values}


def example_of(field: Field) -> Scalar:
    """A value the field takes: its example, its default, or the plainest value of its type and range.

    >>> example_of(Field("hour", Type.INTEGER, minimum=5))
    5
    """
    if field.example is not None:
        return field.example
    if field.default is not None:
        return field.default
    if field.categories:
        return field.categories[0]
    if field.type is Type.STRING:
        return "text"
    if field.type is Type.BOOLEAN:
        return True
    low = 0.0 if field.minimum is None else field.minimum
    value = max(low, 0.0) if field.maximum is None else min(max(low, 0.0), field.maximum)
    return int(value) if field.type is Type.INTEGER else value


def _ask(fields: Iterable[Field], demanded: Iterable[str]) -> tuple[Field, ...]:
    """Leave only those fields required that are demanded and have nothing to stand in for them."""
    wanted = set(demanded)
    return tuple(replace(field, required=field.name in wanted and _required(field)) for field in fields)


def _required(field: Field) -> bool:
    return field.required and field.default is None


def _keys_of(card: ModelCard, plan: FeaturePlan) -> set[str]:
    """Entity keys of the views that deliver something to ``card``."""
    own = set(plan.services.get(card.feature_service or "", ()))
    views = [view for view in plan.views if own & {feature.name for feature in view.features}]
    return {key.request for view in views for key in view.keys}


def _watching(rollouts: Sequence[Rollout]) -> tuple[Shadow, ...]:
    on = [rollout for rollout in rollouts if rollout.phase in JUDGED and rollout.shadow > 0.0]
    return tuple(Shadow(part_of(rollout), f"{rollout.salt}/shadow", rollout.shadow) for rollout in on)


def _watched(state: DeploymentState) -> list[Rollout]:
    return [rollout for rollout in state.rollouts.values() if rollout.phase is Phase.WATCHED]
