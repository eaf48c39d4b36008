"""From the control document to the routing table, and what applications may send by it."""

from dataclasses import replace

import pytest

from gateway.core.deployments import DeploymentSpec, FeaturePolicy, Field, ModelCard, Plan, Step, Task, Type
from gateway.core.errors import ModelUnusable
from gateway.core.features import NO_FEATURES, FeaturePlan, JoinKey, PlannedFeature, PlannedView
from gateway.core.inputs import lay_out, read_body
from gateway.core.rollout import Rollout, Signal, Terms, begin, send
from gateway.core.routing import STABLE, Part, RoutingTable, Shadow
from gateway.core.state import DeploymentState
from gateway.core.tables import accept, example_body, inputs_of, services_of, table_of

HOUR = Field("hour", Type.INTEGER, minimum=0, maximum=23)
CARRIER = Field("carrier", Type.STRING)
SPEED = Field("plane_speed", Type.NUMBER)


def card(version: str, *inputs: Field, service: str | None = None, task: Task = Task.BINARY) -> ModelCard:
    return ModelCard(
        "flights", version, f"models:/flights/{version}", f"d{version}", "joblib", "m", inputs, task, (0, 1), service
    )


PLANE = PlannedView(
    "plane",
    "plane",
    (JoinKey("tailnum", "tailnum", Type.STRING, "STRING"),),
    (PlannedFeature("speed", "plane_speed", Type.NUMBER, "DOUBLE"),),
)
PLAN = FeaturePlan("p1", "memory", "test", "flights", "", (PLANE,), {"v2": ("plane_speed",)})
V1 = card("1", HOUR, CARRIER)
V2 = card("2", HOUR, CARRIER, SPEED, service="v2")
SPEC = DeploymentSpec("flights", "flights", "models:/flights/1")


def names(fields: tuple[Field, ...]) -> dict[str, bool]:
    """Which fields there are, and whether each is required."""
    return {field.name: field.required for field in fields}


def test_request_features_are_what_no_store_delivers_and_no_entity_key_holds() -> None:
    inputs = inputs_of(SPEC, [V2], PLAN)
    assert names(inputs.features) == {"hour": True, "carrier": True}
    assert names(inputs.entities) == {"tailnum": True}


def test_only_stables_inputs_can_be_demanded() -> None:
    gate = Field("gate", Type.STRING, required=False)
    inputs = inputs_of(SPEC, [V1, card("2", HOUR, SPEED, gate, service="v2")], PLAN)
    assert names(inputs.features) == {"hour": True, "carrier": True, "gate": False}
    assert names(inputs.entities) == {"tailnum": False}


def test_a_former_stable_keeps_its_features_known_and_optional() -> None:
    inputs = inputs_of(SPEC, [card("3", HOUR), V1], NO_FEATURES)
    assert names(inputs.features) == {"hour": True, "carrier": False}


def test_a_declared_entity_is_known_before_any_model_reads_by_it_and_fills_a_models_input_of_its_name() -> None:
    spec = replace(SPEC, entities={"carrier": CARRIER, "tailnum": Field("tailnum", Type.STRING)})
    inputs = inputs_of(spec, [V1], NO_FEATURES)
    assert names(inputs.entities) == {"carrier": True, "tailnum": False}
    assert names(inputs.features) == {"hour": True}


def test_what_the_owner_declares_wins_over_what_the_model_says() -> None:
    declared = Field("hour", Type.INTEGER, required=False, default=12, minimum=5, maximum=22, example=17)
    [hour, _] = inputs_of(replace(SPEC, inputs={"hour": declared}), [V1], NO_FEATURES).features
    assert hour == declared


@pytest.mark.parametrize("plan", [NO_FEATURES, PLAN])
def test_the_example_is_a_body_that_predict_accepts(plan: FeaturePlan) -> None:
    extra = (Field("night", Type.BOOLEAN), Field("altitude", Type.NUMBER, minimum=-50.0, maximum=-10.0))
    models = card("1", HOUR, CARRIER, SPEED, *extra, service="v2" if plan is PLAN else None)
    table = table_of(DeploymentState("flights", 1, SPEC, Part(STABLE, "g", models)), plan)
    [instance] = read_body(lay_out(table), example_body(table.inputs))
    assert set(instance.features) >= {"hour", "carrier", "night", "altitude"}


def test_a_candidate_that_reads_only_what_stable_reads_is_accepted() -> None:
    accept(SPEC, V1, V2, PLAN)


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (card("3", HOUR, Field("gate", Type.STRING)), "declare a default"),
        (card("3", replace(HOUR, type=Type.STRING)), "takes hour as string, stable as integer"),
        (card("3", HOUR, task=Task.REGRESSION), "regression"),
    ],
)
def test_a_candidate_that_could_not_answer_stables_requests_is_refused(candidate: ModelCard, reason: str) -> None:
    with pytest.raises(ModelUnusable, match=reason):
        accept(SPEC, V1, candidate, PLAN)


def test_a_declared_default_lets_a_candidates_extra_feature_in() -> None:
    spec = replace(SPEC, inputs={"gate": Field("gate", Type.STRING, required=False, default="A1")})
    accept(spec, V1, card("3", HOUR, Field("gate", Type.STRING)), PLAN)


def rollout(name: str, model: ModelCard, at: float, *signals: Signal, step: Step | None = None) -> Rollout:
    plan = Plan("p", (step or Step(weight=0.1), Step(weight=0.5)))
    made = begin(name, f"g-{name}", model, plan, f"salt-{name}", Terms(), at)
    for signal in signals:
        made = send(made, signal, at)
    return made


def document(*rollouts: Rollout, **fields: object) -> DeploymentState:
    by_name = {one.name: one for one in rollouts}
    state = DeploymentState("flights", 7, SPEC, Part(STABLE, "g1", V1), rollouts=by_name)
    return replace(state, **fields)  # type: ignore[arg-type]


def table(*rollouts: Rollout, **fields: object) -> RoutingTable:
    return table_of(document(*rollouts, **fields), PLAN)


def test_candidates_stand_in_the_order_they_were_started() -> None:
    drawn = table(rollout("a", V2, 20.0, Signal.READY), rollout("b", card("3", HOUR), 10.0, Signal.READY))
    assert [candidate.part.name for candidate in drawn.candidates] == ["b", "a"]
    assert drawn.revision == 7


def test_a_candidate_in_preparation_is_there_to_be_loaded_without_a_share() -> None:
    [candidate] = table(rollout("a", V2, 20.0)).candidates
    assert candidate.weight == 0.0


def test_ended_rollouts_leave_the_table() -> None:
    drawn = table(rollout("a", V2, 20.0, Signal.READY, Signal.DEMOTE))
    assert drawn.candidates == ()
    assert [model.version for model in drawn.models()] == ["1"]


def test_a_shadow_step_makes_the_candidate_watch_by_a_salt_of_its_own() -> None:
    drawn = table(rollout("a", V2, 20.0, Signal.READY, step=Step(shadow=0.5)))
    [shadow], [candidate] = drawn.shadows, drawn.candidates
    assert (shadow.part, shadow.rate) == (candidate.part, 0.5)
    assert candidate.weight == 0.0
    assert shadow.salt != candidate.salt


def test_a_paused_candidate_keeps_its_share() -> None:
    [candidate] = table(rollout("a", V2, 20.0, Signal.READY, Signal.PAUSE)).candidates
    assert candidate.weight == 0.1


def test_explicit_shadows_warm_models_and_policies_are_carried_over() -> None:
    shadow = Shadow(Part("v9", "g9", card("9", HOUR)), "s9", 0.25)
    spec = replace(SPEC, features={"plane_speed": FeaturePolicy(default=800.0)})
    drawn = table(shadows={"v9": shadow}, previous=(Part(STABLE, "g0", card("0", HOUR)),), spec=spec)
    assert drawn.shadows == (shadow,)
    assert [model.version for model in drawn.warm] == ["0"]
    assert drawn.policies["plane_speed"].default == 800.0
    assert drawn.features is PLAN


def test_the_plan_is_compiled_from_the_services_of_every_model_that_may_answer() -> None:
    state = document(rollout("a", V2, 20.0), previous=(Part(STABLE, "g0", card("0", HOUR, service="v0")),))
    assert services_of(state) == ("v2", "v0")
