"""Features: what a value's age and absence mean for a request, decided by data time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.deployments import FeaturePolicy, OnUnavailable, Type
from gateway.core.errors import FeaturesUnavailable
from gateway.core.features import (
    NO_FEATURES,
    FeatureBatch,
    FeaturePlan,
    FeatureVector,
    JoinKey,
    PlannedFeature,
    PlannedView,
    Status,
    freshness,
    resolve,
    resolve_fresh,
    unavailable,
)

NOW = 10_000.0
TAIL = JoinKey("tailnum", "tailnum", Type.STRING, "STRING")
ORIGIN = JoinKey("origin", "origin", Type.STRING, "STRING")


def number(name: str) -> PlannedFeature:
    return PlannedFeature(name, name, Type.NUMBER, "DOUBLE")


PLAN = FeaturePlan(
    "p1",
    "memory",
    "by hand",
    "",
    "",
    (
        PlannedView("plane", "plane", (TAIL,), (number("delay"), number("seats")), ttl_s=100.0),
        PlannedView("airport", "airport", (ORIGIN, TAIL), (number("wind"),)),
    ),
    {"v2": ("delay", "seats"), "v3": ("wind",)},
)
ALL = frozenset(PLAN.names())


def seen(
    statuses: tuple[Status, ...] = (Status.PRESENT,) * 3, times: tuple[float | None, ...] = (NOW - 50, NOW - 9_000)
) -> FeatureBatch:
    values = tuple(float(n) if status is Status.PRESENT else None for n, status in enumerate(statuses, start=1))
    return FeatureBatch([values], [bytes(statuses)], [times])


def at(
    batch: FeatureBatch, now: float = NOW, required: frozenset[str] = ALL, **policies: FeaturePolicy
) -> FeatureVector:
    return resolve(PLAN, batch, 0, now, policies, required)


def test_a_plan_names_its_features_in_order_and_its_keys_once() -> None:
    assert PLAN.names() == ("delay", "seats", "wind")
    assert PLAN.join_keys() == (TAIL, ORIGIN)
    assert (NO_FEATURES.names(), NO_FEATURES.join_keys()) == ((), ())


def test_what_is_there_and_fresh_is_served_with_its_age() -> None:
    vector = at(seen())
    assert vector.values == {"delay": 1.0, "seats": 2.0, "wind": 3.0}
    assert vector.ages == {"delay": 50.0, "seats": 50.0, "wind": 9_000.0}
    assert set(vector.statuses.values()) == {Status.PRESENT}
    assert vector.degraded == ()


def test_what_is_older_than_its_views_ttl_is_stale_and_served_by_its_default() -> None:
    vector = at(seen(), now=NOW + 51, delay=FeaturePolicy(default=-1.0))
    assert (vector.values["delay"], vector.statuses["delay"]) == (-1.0, Status.STALE)
    assert vector.values["seats"] is None, "without a declared default"
    assert vector.degraded == ("delay", "seats")


def test_exactly_the_ttl_is_not_older_than_it() -> None:
    assert at(seen(), now=NOW + 50).degraded == ()


def test_without_a_ttl_nothing_grows_stale_unless_a_policy_says_so() -> None:
    assert at(seen()).statuses["wind"] is Status.PRESENT
    assert at(seen(), wind=FeaturePolicy(max_age_s=60.0)).statuses["wind"] is Status.STALE


def test_a_policys_own_age_limit_wins_over_the_ttl() -> None:
    assert at(seen(), now=NOW + 500, delay=FeaturePolicy(max_age_s=1_000.0)).degraded == ("seats",)


def test_a_value_without_an_event_time_has_no_age_and_is_not_stale() -> None:
    vector = at(seen(times=(None, None)))
    assert (dict(vector.ages), vector.degraded) == ({}, ())


def test_a_value_from_the_future_has_a_negative_age_and_is_served() -> None:
    vector = at(seen(times=(NOW + 5, NOW)))
    assert (vector.ages["delay"], vector.degraded) == (-5.0, ())


@pytest.mark.parametrize("status", [Status.NULL, Status.MISSING, Status.UNAVAILABLE])
def test_whatever_is_not_present_is_degraded_whatever_its_age(status: Status) -> None:
    vector = at(seen((status, Status.PRESENT, Status.PRESENT)), delay=FeaturePolicy(default=0.5))
    assert (vector.values["delay"], vector.statuses["delay"], vector.degraded) == (0.5, status, ("delay",))


@pytest.mark.parametrize(
    ("status", "policy"),
    [
        (Status.MISSING, FeaturePolicy(on_missing=OnUnavailable.ERROR)),
        (Status.NULL, FeaturePolicy(on_missing=OnUnavailable.ERROR)),
        (Status.UNAVAILABLE, FeaturePolicy(on_unavailable=OnUnavailable.ERROR)),
    ],
)
def test_a_required_feature_whose_policy_says_error_refuses_the_request(status: Status, policy: FeaturePolicy) -> None:
    batch = seen((status, Status.PRESENT, Status.PRESENT))
    with pytest.raises(FeaturesUnavailable, match=f"delay is required and is {status.name.lower()}"):
        at(batch, delay=policy)
    assert at(batch, required=frozenset({"wind"}), delay=policy).degraded == ("delay",), "a candidate's may not"


def test_a_stale_required_feature_refuses_only_where_staleness_does() -> None:
    with pytest.raises(FeaturesUnavailable, match="stale"):
        at(seen(), now=NOW + 500, delay=FeaturePolicy(on_stale=OnUnavailable.ERROR))
    assert at(seen(), now=NOW + 500, delay=FeaturePolicy(on_missing=OnUnavailable.ERROR)).degraded


def test_each_reason_has_its_own_policy() -> None:
    lost = seen((Status.UNAVAILABLE, Status.PRESENT, Status.PRESENT))
    assert at(lost, delay=FeaturePolicy(on_missing=OnUnavailable.ERROR, on_stale=OnUnavailable.ERROR)).degraded


def test_a_read_that_did_not_come_back_is_unavailable_in_every_row() -> None:
    batch = unavailable(PLAN, 3)
    assert [len(rows) for rows in (batch.values, batch.statuses, batch.event_times)] == [3, 3, 3]
    assert at(batch).degraded == PLAN.names()


@given(
    st.lists(
        st.sampled_from([Status.PRESENT, Status.NULL, Status.MISSING, Status.UNAVAILABLE]), min_size=3, max_size=3
    ),
    st.floats(0, 1e6),
)
def test_every_feature_is_delivered_once_and_degraded_means_not_present(statuses: list[Status], age: float) -> None:
    vector = at(seen(tuple(statuses), (NOW - age, NOW - age)))
    assert tuple(vector.values) == tuple(vector.statuses) == PLAN.names()
    assert set(vector.degraded) == {name for name, status in vector.statuses.items() if status is not Status.PRESENT}


# Values that are there and cannot be right


def test_a_value_outside_its_declared_range_is_served_by_its_fallback_and_listed() -> None:
    vector = at(seen(), delay=FeaturePolicy(default=0.0, minimum=2.0))
    assert (vector.values["delay"], vector.statuses["delay"]) == (0.0, Status.INVALID)
    assert vector.degraded == ("delay",)


def test_a_value_of_no_declared_category_is_served_by_its_fallback() -> None:
    assert at(seen(), seats=FeaturePolicy(default=7.0, categories=(1.0, 3.0))).values["seats"] == 7.0


def test_a_feature_that_changes_its_format_degrades_and_crashes_nothing() -> None:
    batch = FeatureBatch([("12 min", 2.0, 3.0)], [bytes(3)], [(NOW, NOW)])
    vector = at(batch, delay=FeaturePolicy(default=0.0))
    assert (vector.values["delay"], vector.degraded) == (0.0, ("delay",))
    assert resolve_fresh(freshness(PLAN, {}), batch, 0, NOW) is None


def test_the_short_way_takes_no_value_that_is_invalid() -> None:
    declared = {"wind": FeaturePolicy(maximum=2.0)}
    assert resolve_fresh(freshness(PLAN, {}), seen(times=(NOW, NOW)), 0, NOW) is not None
    assert resolve_fresh(freshness(PLAN, declared), seen(times=(NOW, NOW)), 0, NOW) is None


def test_an_invalid_value_that_is_required_refuses_the_request() -> None:
    with pytest.raises(FeaturesUnavailable, match=r"delay is required and is invalid"):
        at(seen(), delay=FeaturePolicy(minimum=2.0, on_invalid=OnUnavailable.ERROR))
