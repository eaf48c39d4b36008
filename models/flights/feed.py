"""What can be known about planes, airports, carriers and routes, and from when on: the histories, as pure computation.

One computation serves both worlds: training reads its whole past from the offline store, serving reads its latest
rows from the online store. Nothing here knows Feast, files or clocks.

Time is cut into slots of ten minutes. What happens in a slot is published at its end, and only then is it known: every
row carries the time of its publication. So a batch that is written at the end of each slot is never behind what
training saw, and never ahead of it.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from typing import NamedTuple, TypeAlias

import pandas as pd

SLOT_S = 600
"""Length of a slot in seconds."""

Key: TypeAlias = tuple[str, ...]
Values: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class View:
    """The shape of one view's rows: the names of its keys and of its values, each with its Python type."""

    keys: tuple[str, ...]
    values: Mapping[str, type]


VIEWS: Mapping[str, View] = {
    "plane_history": View(
        ("tailnum",), {"plane_last_delay_min": float, "plane_ready_at": int, "plane_late_share": float}
    ),
    "origin_state": View(
        ("origin",),
        {"origin_dep_delay_min": float, "origin_late_share": float, "origin_overdue": int, "origin_waiting_min": float},
    ),
    "carrier_history": View(
        ("carrier",), {"carrier_late_share": float, "carrier_arr_delay_min": float, "carrier_dep_delay_min": float}
    ),
    "route_history": View(("origin", "dest"), {"route_late_share": float, "route_arr_delay_min": float}),
    "origin_weather": View(
        ("origin",), {"weather_wind_mph": float, "weather_precip_in": float, "weather_visibility_mi": float}
    ),
}


@dataclass(frozen=True, slots=True)
class Publication:
    """What became known at ``at`` (seconds): by view and key, the row that replaces the one before."""

    at: int
    rows: Mapping[str, Mapping[Key, Values]]


class Flight(NamedTuple):
    """What the histories look at; times in seconds, delays in minutes, NaN for what never happened."""

    carrier: str
    tailnum: str
    origin: str
    dest: str
    sched_dep_at: int
    sched_block_min: int
    departed_at: float
    landed_at: float
    dep_delay_min: float
    arr_delay_min: float


class Weather(NamedTuple):
    """One hour's weather at one airport."""

    origin: str
    observed_at: int
    wind_mph: float
    precip_in: float
    visibility_mi: float


def publications(flights: pd.DataFrame, weather: pd.DataFrame) -> Iterator[Publication]:
    """Tell the story slot by slot, without a gap, from the first fact to the last.

    Both tables as :mod:`models.flights.data` makes them. Memory and time per slot depend on the slot alone.
    """
    book = _Book()
    at: int | None = None
    for end, facts in groupby(_facts(flights, weather), key=lambda fact: _slot_end(fact[0])):
        while at is not None and at < end:
            yield Publication(at, book.publish(at))
            at += SLOT_S
        for _, kind, index, about in facts:
            book.take(kind, index, about)
        yield Publication(end, book.publish(end))
        at = end + SLOT_S


def _slot_end(at: float) -> int:
    """When something that happened at ``at`` becomes known: strictly later.

    >>> _slot_end(0), _slot_end(599.9), _slot_end(600)
    (600, 600, 1200)
    """
    return int(at // SLOT_S + 1) * SLOT_S


_SCHEDULED, _DEPARTED, _LANDED, _WEATHER = range(4)
_Fact: TypeAlias = tuple[float, int, int, Flight | Weather]


def _facts(flights: pd.DataFrame, weather: pd.DataFrame) -> Iterator[_Fact]:
    """Everything that happens, in order of time: (time, kind, row number, what it is about).

    A departure counts from its schedule on, even where the flight left early: so no flight ever meets a fact about
    itself when it asks for its own prediction.
    """
    rows = list(enumerate(flights[list(Flight._fields)].itertuples(index=False, name=None)))
    known = [(index, Flight(*row)) for index, row in rows]
    scheduled = [(float(f.sched_dep_at), _SCHEDULED, i, f) for i, f in known]
    departed = [
        (max(f.departed_at, f.sched_dep_at), _DEPARTED, i, f) for i, f in known if f.departed_at == f.departed_at
    ]
    landed = [(f.landed_at, _LANDED, i, f) for i, f in known if f.landed_at == f.landed_at]
    observed = [
        (float(w.observed_at), _WEATHER, i, w)
        for i, w in enumerate(
            Weather(*row) for row in weather[list(Weather._fields)].itertuples(index=False, name=None)
        )
    ]
    return merge(scheduled, sorted(departed), sorted(landed), observed)


_HOUR_S, _DAY_S = 3_600.0, 86_400.0
_USUAL_SHARE = 0.23
_GREATEST_DELAY_MIN = 180.0
_RECENT_S = 2 * _HOUR_S
_GIVEN_UP_S = 3 * _HOUR_S
_OVERDUE_S = 15 * 60
_LATE_MIN = 15


@dataclass(slots=True)
class _Decaying:
    """A mean that forgets: half of an observation's weight is gone after ``half_life_s``.

    ``usual`` counts as ``worth`` observations, so that few observations say little.
    """

    half_life_s: float
    usual: float
    worth: float
    _total: float = 0.0
    _weight: float = 0.0
    _at: float = 0.0

    def add(self, value: float, at: float) -> None:
        kept = 0.5 ** ((at - self._at) / self.half_life_s) if self._weight else 0.0
        self._total = self._total * kept + value
        self._weight = self._weight * kept + 1.0
        self._at = at

    def mean(self) -> float:
        return (self._total + self.usual * self.worth) / (self._weight + self.worth)


def _share(half_life_s: float, worth: float) -> _Decaying:
    return _Decaying(half_life_s, _USUAL_SHARE, worth)


@dataclass(slots=True)
class _Plane:
    last_delay_min: float = 0.0
    ready_at: int = 0
    late: _Decaying = field(default_factory=lambda: _share(14 * _DAY_S, 3))

    def values(self) -> Values:
        return (self.last_delay_min, self.ready_at, self.late.mean())


@dataclass(slots=True)
class _Carrier:
    late: _Decaying = field(default_factory=lambda: _share(7 * _DAY_S, 20))
    arrivals: _Decaying = field(default_factory=lambda: _Decaying(3 * _HOUR_S, 5.0, 2))
    departures: _Decaying = field(default_factory=lambda: _Decaying(3 * _HOUR_S, 10.0, 2))

    def values(self) -> Values:
        return (self.late.mean(), self.arrivals.mean(), self.departures.mean())


@dataclass(slots=True)
class _Route:
    late: _Decaying = field(default_factory=lambda: _share(14 * _DAY_S, 10))
    arrivals: _Decaying = field(default_factory=lambda: _Decaying(6 * _HOUR_S, 5.0, 1))

    def values(self) -> Values:
        return (self.late.mean(), self.arrivals.mean())


@dataclass(slots=True)
class _Origin:
    """The last two hours at one airport, and who should have left and has not (until it is given up after three)."""

    left: deque[tuple[float, float]] = field(default_factory=deque)
    due: dict[int, int] = field(default_factory=dict)

    def values(self, at: int) -> Values:
        while self.left and self.left[0][0] < at - _RECENT_S:
            self.left.popleft()
        self.due = {index: due for index, due in self.due.items() if due >= at - _GIVEN_UP_S}
        delays = [delay for _, delay in self.left]
        count = max(1, len(delays))
        return (
            sum(delays) / count,
            sum(delay >= _LATE_MIN for delay in delays) / count,
            sum(due <= at - _OVERDUE_S for due in self.due.values()),
            sum(at - due for due in self.due.values()) / 60 / (len(delays) + 5),
        )


class _Book:
    """Everything known so far, and which rows have changed since the last publication."""

    def __init__(self) -> None:
        self._planes: dict[str, _Plane] = {}
        self._carriers: dict[str, _Carrier] = {}
        self._routes: dict[tuple[str, str], _Route] = {}
        self._origins: dict[str, _Origin] = {}
        self._changed: dict[str, dict[Key, _Plane | _Carrier | _Route]] = {}
        self._weather: dict[Key, Values] = {}

    def take(self, kind: int, index: int, about: Flight | Weather) -> None:
        """Learn one fact. Facts come in order of time."""
        if isinstance(about, Weather):
            self._weather[(about.origin,)] = (about.wind_mph, about.precip_in, about.visibility_mi)
        elif kind == _SCHEDULED:
            self._origins.setdefault(about.origin, _Origin()).due[index] = about.sched_dep_at
        elif kind == _DEPARTED:
            self._depart(index, about)
        else:
            self._land(about)

    def _depart(self, index: int, flight: Flight) -> None:
        at = max(flight.departed_at, float(flight.sched_dep_at))
        delay = min(flight.dep_delay_min, _GREATEST_DELAY_MIN)
        origin = self._origins[flight.origin]
        origin.due.pop(index, None)
        origin.left.append((at, flight.dep_delay_min))
        self._carrier(flight.carrier).departures.add(delay, at)
        plane = self._plane(flight.tailnum)
        plane.last_delay_min = flight.dep_delay_min
        plane.ready_at = int(flight.departed_at) + 2 * 60 * flight.sched_block_min

    def _land(self, flight: Flight) -> None:
        at, late = flight.landed_at, float(flight.arr_delay_min >= _LATE_MIN)
        delay = min(flight.arr_delay_min, _GREATEST_DELAY_MIN)
        carrier, plane = self._carrier(flight.carrier), self._plane(flight.tailnum)
        carrier.late.add(late, at)
        carrier.arrivals.add(delay, at)
        route = self._routes.setdefault((flight.origin, flight.dest), _Route())
        self._changed.setdefault("route_history", {})[(flight.origin, flight.dest)] = route
        route.late.add(late, at)
        route.arrivals.add(delay, at)
        plane.last_delay_min = flight.arr_delay_min
        plane.ready_at = int(at) + 60 * flight.sched_block_min
        plane.late.add(late, at)

    def publish(self, at: int) -> dict[str, dict[Key, Values]]:
        """Name every row that is new at ``at``; an airport's state is new in every slot."""
        rows = {view: {key: one.values() for key, one in changed.items()} for view, changed in self._changed.items()}
        rows["origin_state"] = {(name,): origin.values(at) for name, origin in self._origins.items()}
        rows["origin_weather"] = self._weather
        self._changed, self._weather = {}, {}
        return {view: new for view, new in rows.items() if new}

    def _plane(self, tailnum: str) -> _Plane:
        plane = self._planes.setdefault(tailnum, _Plane())
        self._changed.setdefault("plane_history", {})[(tailnum,)] = plane
        return plane

    def _carrier(self, name: str) -> _Carrier:
        carrier = self._carriers.setdefault(name, _Carrier())
        self._changed.setdefault("carrier_history", {})[(name,)] = carrier
        return carrier
