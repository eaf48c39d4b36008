"""Flights as they ask: one request each, in order of scheduled departure, with the truth that will come later."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from models.flights.data import ENTITIES, REQUEST_FEATURES, instant
from models.flights.layout import Layout

_POSITIONS = 2.0**64


@dataclass(frozen=True, slots=True)
class Flight:
    """One request and its truth. Times in seconds since the epoch.

    ``at`` is the scheduled departure, when the request is made. ``late`` (0 or 1) becomes known at ``landed_at``; both
    are None for a flight that was cancelled or diverted.
    """

    id: str
    at: float
    entities: dict[str, str]
    features: dict[str, int]
    late: int | None
    landed_at: float | None


def flights_between(folder: Path, first: date, last: date, share: float = 1.0, seed: int = 0) -> Iterator[Flight]:
    """Iterate over the flights scheduled on the New York days ``first`` to ``last``, both included.

    With ``share`` below 1 a sample: a flight is in it or not by its id and ``seed``, whatever the days.
    """
    table = pd.read_parquet(Layout(folder).flights)
    days = (instant(first), instant(last + timedelta(days=1)))
    for row in table[table["sched_dep_at"].between(*days, inclusive="left")].to_dict("records"):
        if share >= 1.0 or _position(row["flight_id"], seed) < share:
            yield _flight(row)


def _position(flight_id: str, seed: int) -> float:
    digest = hashlib.blake2b(f"{seed}:{flight_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _POSITIONS


def _flight(row: dict[Any, Any]) -> Flight:
    known = not pd.isna(row["late"])
    return Flight(
        id=row["flight_id"],
        at=float(row["sched_dep_at"]),
        entities={name: row[name] for name in ENTITIES},
        features={name: int(row[name]) for name in REQUEST_FEATURES},
        late=int(row["late"]) if known else None,
        landed_at=float(row["landed_at"]) if known else None,
    )
