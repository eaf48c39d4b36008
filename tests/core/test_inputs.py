"""Inputs: what fits, where it does not, and the row a model gets."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.deployments import Field, Inputs, OnInvalid, ServingRules, Type
from gateway.core.errors import InvalidBody
from gateway.core.features import FeatureVector
from gateway.core.inputs import LARGEST, Instance, fault, lay_out, read_body, row_of
from gateway.core.outcomes import read_outcomes, seconds
from gateway.core.routing import RoutingTable
from tests.data_house import BODY, CANARY, DISTANCE, FLIGHT, STABLE, canary, card, seats_plan, table

HOUR = Field("hour", Type.INTEGER, required=False, default=12, minimum=0, maximum=23)
CARRIER = Field("carrier", Type.STRING)
WET = Field("wet", Type.BOOLEAN, required=False)
PUSHBACK = Field("pushback", Type.NUMBER)
SEATS = Field("seats", Type.INTEGER)
NOTHING = FeatureVector({}, {}, {}, ())
ANY = table(inputs=Inputs((FLIGHT, CARRIER), (DISTANCE, HOUR, WET)))


def places(body: object, of: RoutingTable = ANY) -> dict[str, str]:
    """Where ``body`` does not fit, and what is said of it."""
    try:
        read_body(lay_out(of), body)
    except InvalidBody as error:
        return {place.pointer: place.detail for place in error.problems}
    return {}


def body(**features: Any) -> dict[str, Any]:
    return {"entities": {"flight": 7, "carrier": "UA"}, "features": {"distance": 1.5} | features}


# What fits.


def test_a_body_that_fits_becomes_an_instance_and_what_was_left_out_is_absent() -> None:
    [instance] = read_body(lay_out(ANY), body(hour=None, wet=False))
    assert instance == Instance({"flight": 7, "carrier": "UA"}, {"distance": 1.5, "wet": False})


def test_a_number_takes_an_integer_and_nothing_else_is_coerced() -> None:
    assert places(body(distance=1400)) == {}
    wrong: Any
    for wrong in ("1400", True, [1], {}):
        assert places(body(distance=wrong)) == {"/features/distance": "Must be a number."}
    for wrong in (7.0, "7", True):
        assert places(body() | {"entities": {"flight": wrong, "carrier": "UA"}}) == {
            "/entities/flight": "Must be an integer."
        }
    assert places(body(wet=1)) == {"/features/wet": "Must be true or false."}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (math.nan, "finite"),
        (math.inf, "finite"),
        (-math.inf, "finite"),
        (2**63, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        (10**400, "64 bits"),
        (1e308, "at most 10000"),
        (-0.5, "at least 0"),
    ],
)
def test_a_number_is_finite_and_within_its_range(value: float, says: str) -> None:
    assert says in places(body(distance=value))["/features/distance"]


def test_a_number_without_a_declared_range_keeps_to_float32() -> None:
    free = Field("x", Type.NUMBER)
    assert fault(free, 1e308) is not None
    assert fault(free, LARGEST) is None
    assert fault(Field("x", Type.NUMBER, minimum=-1e300, maximum=1e309), 1e299) is None


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "a\udfffb", "x" * 1025, 7, None])
def test_a_text_is_whole_and_short(text: object) -> None:
    assert "/entities/carrier" in places(body() | {"entities": {"flight": 7, "carrier": text}})


def test_a_text_may_be_in_any_script_and_empty() -> None:
    for text in ("", "x" * 1024, "日本航空", "\U0001f6eb"):
        assert places(body() | {"entities": {"flight": 7, "carrier": text}}) == {}


# Where it does not fit.


def test_what_is_missing_is_named_by_its_pointer() -> None:
    missing = dict.fromkeys(["/entities/flight", "/entities/carrier", "/features/distance"], "Is missing.")
    assert places({}) == missing
    assert places({"entities": None, "features": {"distance": None}}) == missing


def test_unknown_names_are_counted_and_never_quoted() -> None:
    said = places(body(distanze=1, secret=2))["/features"]
    assert said == "Unknown names: 2. This deployment takes here: distance, hour, wet. Did you mean: distance?"
    assert "/entities" in places(body() | {"entities": {"flight": 7, "carrier": "UA", "x": 1}})
    assert places(body() | {"x": 1}) == {"": "Takes these members: entities, features, request_id, routing_key."}


def test_a_name_in_the_wrong_place_is_told_where_it_belongs() -> None:
    assert "send it in entities" in places(body(flight=7))["/features/flight"]
    wrong = body() | {"entities": {"flight": 7, "carrier": "UA", "hour": 3}}
    assert "send it in features" in places(wrong)["/entities/hour"]


def test_a_feature_the_store_serves_cannot_be_sent() -> None:
    stable = replace(STABLE, model=card("v1", FLIGHT, SEATS, service="planes"))
    served = table(stable=stable, features=seats_plan(), inputs=Inputs((FLIGHT,), ()))
    sent = {"entities": {"flight": 7}, "features": {"seats": 3}}
    assert places(sent, served) == {"/features/seats": "Is read from the feature store and cannot be sent."}
    assert places({"entities": {"flight": 7}}, served) == {}


def test_a_feature_that_any_variant_or_warm_model_knows_is_accepted_and_only_stables_is_demanded() -> None:
    part = replace(CANARY, model=card("v2", FLIGHT, PUSHBACK))
    both = table(canary(0.1, part), warm=(card("v0", Field("old", Type.STRING)),))
    assert places(BODY, both) == {}
    assert places(BODY | {"features": {"distance": 1, "pushback": 2.5, "old": "x"}}, both) == {}
    promoted = table(stable=replace(part, name="stable"), inputs=Inputs((FLIGHT,), ()))
    assert places({"entities": {"flight": 7}}, promoted) == {"/features/pushback": "Is missing."}


def test_pointers_escape_what_rfc_6901_says() -> None:
    odd = table(inputs=Inputs((FLIGHT,), (DISTANCE, Field("a/b~c", Type.STRING))))
    assert "/features/a~1b~0c" in places({"entities": {"flight": 7}, "features": {"distance": 1}}, odd)


# Batches, request ids, routing keys.


def test_a_batch_is_checked_whole_and_each_place_named() -> None:
    instances = [body() for _ in range(5)]
    instances[3] = body(hour=24)
    instances[4] = []  # type: ignore[call-overload]
    assert places({"instances": instances}) == {
        "/instances/3/features/hour": "Must be at most 23.",
        "/instances/4": "Must be an object.",
    }
    assert len(read_body(lay_out(ANY), {"instances": instances[:3]})) == 3


def test_a_batch_holds_1_to_1000_instances_and_lists_at_most_32_places() -> None:
    wrong: Any
    for wrong in ([], None, {}, [body()] * 1_001):
        assert "/instances" in places({"instances": wrong})
    assert len(places({"instances": [{}] * 1_000})) == 32


def test_beside_instances_nothing_belongs() -> None:
    one = {"instances": [body()]}
    assert set(places(one | {"request_id": "r", "routing_key": "k"})) == {"/request_id", "/routing_key"}
    assert set(places(one | {"x": 1})) == {""}


@pytest.mark.parametrize("wrong", ["", "x" * 129, "é", "a\nb", "\x7f", 7, True, [], "\ud800"])
def test_a_request_id_is_1_to_128_printable_ascii_characters(wrong: object) -> None:
    assert "/request_id" in places(body() | {"request_id": wrong})
    assert places(body() | {"request_id": "order 7/a"}) == {}


def test_a_routing_key_is_for_sticky_deployments_that_declare_none() -> None:
    assert places(body() | {"routing_key": "u"}) == {"/routing_key": "Is not taken by this deployment."}
    sticky = replace(ANY, rules=ServingRules(sticky=True))
    assert "/routing_key" in places(body(), sticky)
    assert "/routing_key" in places(body() | {"routing_key": ""}, sticky)
    [instance] = read_body(lay_out(sticky), body() | {"routing_key": "u"})
    assert instance.routing_key == "u"


def test_a_deployment_may_draw_by_an_entity() -> None:
    layout = lay_out(replace(ANY, rules=ServingRules(sticky=True, routing_key="entities.flight")))
    [instance] = read_body(layout, body())
    assert instance.routing_key == "7"
    with pytest.raises(InvalidBody):
        read_body(layout, body() | {"routing_key": "u"})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    )
)
def test_any_json_at_all_fits_or_says_where_it_does_not(anything: object) -> None:
    for shape in (anything, {"instances": anything}, {"entities": anything, "features": anything}, body(hour=anything)):
        for pointer in places(shape):
            assert pointer == "" or pointer.startswith("/")


# Rows.


def test_a_row_takes_entities_stored_features_and_request_features_in_the_models_order() -> None:
    model = card("v2", HOUR, SEATS, CARRIER, DISTANCE, WET, service="planes")
    part = replace(CANARY, model=model)
    layout = lay_out(replace(ANY, candidates=(canary(0.1, part),), features=seats_plan()))
    [instance] = read_body(layout, body())
    vector = FeatureVector({"seats": 180}, {}, {}, ())
    assert row_of(layout, model, instance, vector) == (12, 180, "UA", 1.5, None)


def test_a_name_the_store_delivers_to_another_model_is_the_requests_for_this_one() -> None:
    first, second = card("v1", SEATS), card("v2", SEATS, service="planes")
    both = table(
        canary(0.1, replace(CANARY, model=second)),
        stable=replace(STABLE, model=first),
        features=seats_plan(),
        inputs=Inputs((), (SEATS,)),
    )
    layout = lay_out(both)
    [instance] = read_body(layout, {"features": {"seats": 3}})
    vector = FeatureVector({"seats": 180}, {}, {}, ())
    assert [row_of(layout, model, instance, vector) for model in (first, second)] == [(3,), (180,)]


def test_a_default_declared_by_the_owner_wins_over_the_models() -> None:
    model = card("v1", replace(HOUR, default=6), Field("extra", Type.NUMBER, required=False, default=0.5))
    layout = lay_out(table(stable=replace(STABLE, model=model), inputs=Inputs((), (HOUR,))))
    assert row_of(layout, model, Instance({}, {}), NOTHING) == (12, 0.5)


# Outcomes.


def told(**members: Any) -> dict[str, Any]:
    return {"prediction_id": "x", "outcome": 1} | members


@pytest.mark.parametrize("value", [True, 0, 1, "late", 12.5, -(2**63), ""])
def test_an_outcome_is_a_label_or_a_finite_number(value: object) -> None:
    [outcome] = read_outcomes(told(outcome=value))
    assert (outcome.value, outcome.metric, outcome.observed_at) == (value, "label", None)


@pytest.mark.parametrize("value", [None, [], {}, math.nan, math.inf, 1e308, 2**63, "a\x00", "\udc00", "x" * 1025])
def test_anything_else_is_no_outcome(value: object) -> None:
    with pytest.raises(InvalidBody) as caught:
        read_outcomes(told(outcome=value))
    assert [place.pointer for place in caught.value.problems] == ["/outcome"]


@pytest.mark.parametrize(
    ("member", "value"),
    [("metric", "1st"), ("metric", "a b"), ("metric", 5), ("source", "x" * 257), ("observed_at", 5), ("extra", 1)],
)
def test_an_outcomes_other_members_have_their_shape_too(member: str, value: object) -> None:
    with pytest.raises(InvalidBody):
        read_outcomes(told(**{member: value}))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2013-03-01T10:00:00Z", 1_362_132_000.0),
        ("2013-03-01t10:00:00.5z", 1_362_132_000.5),
        ("2013-03-01 10:00:00-05:00", 1_362_150_000.0),
        ("2013-03-01T10:00:00", None),
        ("2013-02-30T10:00:00Z", None),
        ("2013-03-01T25:00:00Z", None),
        ("2013-03-01T10:00:00+25:00", None),
        ("2013-W09-5T10:00:00Z", None),
        ("٢٠١٣-03-01T10:00:00Z", None),
        ("", None),
    ],
)
def test_a_time_is_rfc_3339_with_its_zone(text: str, at: float | None) -> None:
    assert seconds(text) == at


# Values that are replaced.

GATE = Field("gate", Type.STRING, required=False, default="A1", categories=("A1", "B2"), on_invalid=OnInvalid.DEFAULT)
LENIENT = replace(HOUR, on_invalid=OnInvalid.DEFAULT)
FORGIVING = table(inputs=Inputs((FLIGHT, CARRIER), (DISTANCE, LENIENT, GATE)))


@pytest.mark.parametrize(("name", "value"), [("hour", 24), ("hour", "noon"), ("hour", math.nan), ("gate", "Z9")])
def test_a_value_that_may_be_replaced_is_left_out_and_named(name: str, value: Any) -> None:
    [instance] = read_body(lay_out(FORGIVING), body(**{name: value}))
    assert name not in instance.features
    assert instance.invalid == (name,)


def test_a_category_that_is_not_declared_is_refused_where_nothing_may_be_replaced() -> None:
    strict = table(inputs=Inputs((FLIGHT, CARRIER), (DISTANCE, replace(GATE, on_invalid=OnInvalid.REFUSE))))
    assert places(body(gate="Z9"), strict) == {"/features/gate": "Must be one of the declared categories."}
    assert places(body(gate="B2"), strict) == {}
