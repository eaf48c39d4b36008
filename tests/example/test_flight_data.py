from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from models.flights import data


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    return data.load_flights().set_index("flight_id")


def utc(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]  # year, month, day, hour, minute


def test_a_winter_departure_is_five_hours_behind_utc_and_a_summer_one_four(flights: pd.DataFrame) -> None:
    assert flights.loc["UA1545EWR-2013-01-01", "sched_dep_at"] == utc(2013, 1, 1, 10, 15)
    assert flights.loc["UA1545EWR-2013-03-11", "sched_dep_at"] == utc(2013, 3, 11, 9, 15)


def test_the_landing_is_the_destinations_clock_plus_the_delay(flights: pd.DataFrame) -> None:
    houston = flights.loc["UA1545EWR-2013-01-01"]  # scheduled 08:19 in Houston (UTC-6), 11 minutes late
    assert houston["landed_at"] == utc(2013, 1, 1, 14, 30)
    assert houston["sched_block_min"] == 244


def test_a_flight_past_midnight_lands_on_the_next_day(flights: pd.DataFrame) -> None:
    night = flights[(flights["sched_dep_hour"] == 23) & (flights["dest"] == "SJU")].iloc[0]
    left, landed = (
        datetime.fromtimestamp(night[name], ZoneInfo("America/Puerto_Rico")) for name in ("departed_at", "landed_at")
    )
    assert landed.hour < 6
    assert (landed - left).total_seconds() < 6 * 3600


def test_every_time_table_is_plausible(flights: pd.DataFrame) -> None:
    assert flights["sched_block_min"].between(50, 700).all()
    known = flights.dropna(subset=["landed_at"])
    assert ((known["landed_at"] - known["departed_at"]) / 60).between(25, 760).all()


def test_the_day_of_the_week_and_the_hour_are_new_yorks(flights: pd.DataFrame) -> None:
    late_evening = flights[flights["sched_dep_hour"] == 22].iloc[0]
    local = datetime.fromtimestamp(late_evening["sched_dep_at"], data.NEW_YORK)
    assert (local.hour, local.isoweekday()) == (22, late_evening["day_of_week"])
    assert datetime.fromtimestamp(late_evening["sched_dep_at"], UTC).isoweekday() == late_evening["day_of_week"] % 7 + 1


def test_a_flight_is_late_from_fifteen_minutes_on(flights: pd.DataFrame) -> None:
    known = flights.dropna(subset=["arr_delay_min"])
    assert (known["late"] == (known["arr_delay_min"] >= 15)).all()
    assert known["late"].mean() == pytest.approx(0.26, abs=0.02)


def test_a_flight_that_never_arrived_has_no_truth(flights: pd.DataFrame) -> None:
    lost = flights[flights["arr_delay_min"].isna()]
    assert lost["late"].isna().all()
    assert lost["landed_at"].isna().all()
    assert flights.loc[flights["tailnum"] == data.UNASSIGNED, "late"].isna().all()


def test_flights_come_in_order_of_schedule_each_once(flights: pd.DataFrame) -> None:
    assert flights["sched_dep_at"].is_monotonic_increasing
    assert flights.index.is_unique


def test_an_hours_weather_is_known_when_the_hour_is_over() -> None:
    weather = data.load_weather()
    first = weather[weather["origin"] == "EWR"].iloc[0]
    assert first["observed_at"] == data.instant(date(2013, 1, 1)) + 2 * 3600  # the hour from 1 to 2 o'clock
    assert not weather.isna().any().any()
