import math
from datetime import date
from itertools import pairwise, takewhile
from typing import Any

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from models.flights import data
from models.flights.feed import SLOT_S, VIEWS, Key, Publication, Values, publications
from models.flights.layout import Layout

DAY = data.instant(date(2013, 2, 20))
NO_WEATHER = pd.DataFrame(columns=["origin", "observed_at", "wind_mph", "precip_in", "visibility_mi"])


def flight(sched: float, **changed: Any) -> dict[str, Any]:
    usual = {"carrier": "UA", "tailnum": "N1", "origin": "EWR", "dest": "IAH", "sched_block_min": 200}
    times = {"departed_at": sched + 300, "landed_at": sched + 12_600, "dep_delay_min": 5.0, "arr_delay_min": 10.0}
    return usual | times | {"sched_dep_at": int(sched)} | changed


def told(*flights: dict[str, Any]) -> list[Publication]:
    return list(publications(pd.DataFrame(list(flights)), NO_WEATHER))


def known(story: list[Publication], view: str, key: Key, at: float) -> Values | None:
    rows = [
        publication.rows[view][key]
        for publication in story
        if publication.at <= at and key in publication.rows.get(view, {})
    ]
    return rows[-1] if rows else None


def a_day(layout: Layout) -> tuple[pd.DataFrame, pd.DataFrame]:
    flights, weather = pd.read_parquet(layout.flights), pd.read_parquet(layout.weather)
    window = (DAY, DAY + 86_400)
    return (
        flights[flights["sched_dep_at"].between(*window, inclusive="left")].reset_index(drop=True),
        weather[weather["observed_at"].between(*window, inclusive="left")].reset_index(drop=True),
    )


def test_what_happens_in_a_slot_is_known_at_its_end_and_not_before() -> None:
    story = told(flight(0.0))
    assert known(story, "plane_history", ("N1",), SLOT_S - 1) is None
    assert known(story, "plane_history", ("N1",), SLOT_S) is not None


def test_an_early_departure_is_not_known_at_its_own_schedule() -> None:
    story = told(flight(1800.0, departed_at=600.0, dep_delay_min=-20.0))
    assert known(story, "plane_history", ("N1",), 1800.0) is None


def test_a_plane_is_ready_when_it_could_have_flown_straight_back() -> None:
    story = told(flight(0.0))
    airborne, landed = (known(story, "plane_history", ("N1",), at) or () for at in (600.0, 12_600.0 + SLOT_S))
    assert airborne[:2] == (5.0, 300 + 2 * 200 * 60)
    assert landed[:2] == (10.0, 12_600 + 200 * 60)


def test_a_flight_that_does_not_leave_is_overdue_after_a_quarter_of_an_hour_and_given_up_after_three_hours() -> None:
    never = {"departed_at": math.nan, "landed_at": math.nan, "dep_delay_min": math.nan, "arr_delay_min": math.nan}
    story = told(flight(0.0, **never), flight(20_000.0))
    overdue = {at: (known(story, "origin_state", ("EWR",), at) or ())[2] for at in (600.0, 1200.0, 10_800.0, 11_400.0)}
    assert overdue == {600.0: 0, 1200.0: 1, 10_800.0: 1, 11_400.0: 0}


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_a_share_of_late_flights_stays_a_share_and_late_flights_raise_it(lateness: list[bool]) -> None:
    flights = [
        flight(at * 7200.0, arr_delay_min=60.0 if late else 0.0, landed_at=at * 7200.0 + 9000)
        for at, late in enumerate(lateness)
    ]
    story = told(*flights)
    shares = [
        publication.rows["carrier_history"][("UA",)][0]
        for publication in story
        if "carrier_history" in publication.rows
    ]
    assert all(0.0 < share < 1.0 for share in shares)
    if all(lateness) or not any(lateness):
        assert (shares[-1] > 0.23) is lateness[-1]


def test_nothing_is_known_that_has_not_happened_yet(histories: Layout) -> None:
    flights, weather = a_day(histories)
    now = DAY + 15 * 3600
    past = flights.copy()
    past.loc[past["departed_at"] > now, ["departed_at", "dep_delay_min"]] = math.nan
    past.loc[past["landed_at"].isna() | (past["landed_at"] > now), ["landed_at", "arr_delay_min"]] = math.nan
    past = past[past["sched_dep_at"] <= now]

    def until_now(story: Any) -> list[Publication]:
        return list(takewhile(lambda publication: publication.at <= now, story))

    assert until_now(publications(flights, weather)) == until_now(
        publications(past, weather[weather["observed_at"] <= now])
    )


def test_a_flights_own_fate_is_in_none_of_its_features(histories: Layout) -> None:
    flights, weather = a_day(histories)
    story = list(publications(flights, weather))
    for index in flights.sample(12, random_state=1).index:
        asked = flights.loc[index]
        without = flights.copy()
        without.loc[index, ["departed_at", "dep_delay_min", "landed_at", "arr_delay_min"]] = math.nan
        other = list(publications(without, weather))
        for view, shape in VIEWS.items():
            key = tuple(asked[name] for name in shape.keys)
            at = float(asked["sched_dep_at"])
            assert known(story, view, key, at) == known(other, view, key, at)


def test_the_story_has_no_gap_and_every_airport_a_state_in_each_slot(histories: Layout) -> None:
    story = list(publications(*a_day(histories)))
    assert {later.at - earlier.at for earlier, later in pairwise(story)} == {SLOT_S}
    assert all(set(publication.rows["origin_state"]) == {("EWR",), ("JFK",), ("LGA",)} for publication in story[60:])
