"""What the store knows about flights: entities, feature views and the services that models read.

The values are computed by ``models.flights.feed``; a row's event time is when it was published.
A view's TTL says how old a row may be before it tells nothing about now.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

OFFLINE = "../state/demo/offline"


def history(view: str) -> FileSource:
    """The Parquet file of a view: everything it ever said."""
    return FileSource(name=f"{view}_history", path=f"{OFFLINE}/{view}.parquet", timestamp_field="event_timestamp")


carrier = Entity(name="carrier", value_type=ValueType.STRING, description="Airline, two-letter code")
tailnum = Entity(name="tailnum", value_type=ValueType.STRING, description="Plane, registration")
origin = Entity(name="origin", value_type=ValueType.STRING, description="Airport of departure, IATA code")
dest = Entity(name="dest", value_type=ValueType.STRING, description="Airport of destination, IATA code")

plane_history = FeatureView(
    name="plane_history",
    description="How the plane's last flights out of New York went",
    entities=[tailnum],
    ttl=timedelta(days=60),
    schema=[
        Field(name="tailnum", dtype=String),
        Field(
            name="plane_last_delay_min",
            dtype=Float64,
            description="Minutes: at arrival once its last flight has landed, at departure before",
        ),
        Field(
            name="plane_ready_at",
            dtype=Int64,
            description="Seconds since the epoch: earliest time back in New York, were it to fly straight back",
        ),
        Field(
            name="plane_late_share",
            dtype=Float64,
            description="Share of its flights that arrived late, 14 days' half-life",
        ),
    ],
    source=history("plane_history"),
)

origin_state = FeatureView(
    name="origin_state",
    description="What goes on at the airport now; a new row every ten minutes",
    entities=[origin],
    ttl=timedelta(hours=1),
    schema=[
        Field(name="origin", dtype=String),
        Field(
            name="origin_dep_delay_min",
            dtype=Float64,
            description="Minutes: mean delay of the last two hours' departures",
        ),
        Field(name="origin_late_share", dtype=Float64, description="Share of those that left 15 minutes late or more"),
        Field(
            name="origin_overdue", dtype=Int64, description="Flights 15 minutes past their schedule that have not left"
        ),
        Field(
            name="origin_waiting_min",
            dtype=Float64,
            description="Minutes that flights past their schedule have waited so far, per recent departure",
        ),
    ],
    source=history("origin_state"),
)

carrier_history = FeatureView(
    name="carrier_history",
    description="How the airline's flights out of New York have been going",
    entities=[carrier],
    ttl=timedelta(days=14),
    schema=[
        Field(name="carrier", dtype=String),
        Field(name="carrier_late_share", dtype=Float64, description="Share that arrived late, 7 days' half-life"),
        Field(
            name="carrier_arr_delay_min", dtype=Float64, description="Minutes: mean arrival delay, 3 hours' half-life"
        ),
        Field(
            name="carrier_dep_delay_min", dtype=Float64, description="Minutes: mean departure delay, 3 hours' half-life"
        ),
    ],
    source=history("carrier_history"),
)

route_history = FeatureView(
    name="route_history",
    description="How flights between these two airports have been going",
    entities=[origin, dest],
    ttl=timedelta(days=30),
    schema=[
        Field(name="origin", dtype=String),
        Field(name="dest", dtype=String),
        Field(name="route_late_share", dtype=Float64, description="Share that arrived late, 14 days' half-life"),
        Field(name="route_arr_delay_min", dtype=Float64, description="Minutes: mean arrival delay, 6 hours' half-life"),
    ],
    source=history("route_history"),
)

origin_weather = FeatureView(
    name="origin_weather",
    description="The weather at the airport, hourly",
    entities=[origin],
    ttl=timedelta(hours=8),
    schema=[
        Field(name="origin", dtype=String),
        Field(name="weather_wind_mph", dtype=Float64, description="Miles per hour: wind speed"),
        Field(name="weather_precip_in", dtype=Float64, description="Inches of precipitation in the hour"),
        Field(name="weather_visibility_mi", dtype=Float64, description="Statute miles of visibility, at most 10"),
    ],
    source=history("origin_weather"),
)

# Version 1 of the model reads no histories; 2, 3 and 4 read them all.
flights_v2 = FeatureService(
    name="flights_v2",
    description="Every history, for models from version 2 on",
    features=[plane_history, origin_state, carrier_history, route_history, origin_weather],
)
