"""What an application may say about the truth, checked; and times as people write them.

Pure. Whether an id was ever issued here is not asked: that is the signature's business, in :mod:`gateway.feedback`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.core.deployments import Scalar
from gateway.core.errors import InvalidBody, Problem
from gateway.core.inputs import MAX_PLACES, number_fault, text_fault

MAX_ITEMS = 10_000
MAX_SOURCE = 256
LABEL = "label"

_MEMBERS = frozenset({"prediction_id", "outcome", "observed_at", "source", "metric"})
_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Told:
    """One outcome as it was told. ``observed_at`` is in seconds of data time, None where it was left out."""

    prediction_id: str
    metric: str
    value: Scalar
    observed_at: float | None = None
    source: str | None = None


def read_outcomes(body: object) -> tuple[Told, ...]:
    """Check a decoded body, one outcome or ``items``, and return what it tells, in order. Raises InvalidBody."""
    found: list[Problem] = []
    batch = body if isinstance(body, dict) and "items" in body else None
    told = [_one(body, "", found)] if batch is None else _items(batch, found)
    if found:
        raise InvalidBody(*found[:MAX_PLACES])
    return tuple(told)


def seconds(text: str) -> float | None:
    """Turn an RFC 3339 time with its zone into seconds since the Unix epoch; None when it is no such time.

    >>> seconds("1970-01-01T00:01:00Z"), seconds("1970-01-01T02:00:00+02:00"), seconds("1970-01-01")
    (60.0, 0.0, None)
    """
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError):  # the 30th of February, hour 25, a leap second
        return None


def _items(body: Mapping[str, Any], found: list[Problem]) -> list[Told]:
    items = body["items"]
    if len(body) > 1:
        found.append(Problem("", "A batch takes one member: items."))
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_ITEMS:
        found.append(Problem("/items", f"Must be an array of 1 to {MAX_ITEMS} outcomes."))
        return []
    told: list[Told] = []
    for index, item in enumerate(items):
        told.append(_one(item, f"/items/{index}", found))
        if len(found) >= MAX_PLACES:
            break
    return told


def _one(item: object, at: str, found: list[Problem]) -> Told:
    if not isinstance(item, dict):
        found.append(Problem(at, "Must be an object."))
        return Told("", LABEL, None)
    if item.keys() - _MEMBERS:
        found.append(Problem(at, f"Takes these members: {', '.join(sorted(_MEMBERS))}."))
    observed_at = item.get("observed_at")
    observed = seconds(observed_at) if isinstance(observed_at, str) else None
    complaints = {
        "prediction_id": text_fault(item.get("prediction_id")),
        "outcome": _outcome_fault(item.get("outcome")),
        "observed_at": None
        if observed_at is None or observed is not None
        else "Must be an RFC 3339 time with its zone.",
        "source": None if item.get("source") is None else text_fault(item["source"], MAX_SOURCE),
        "metric": _metric_fault(item.get("metric")),
    }
    found.extend(Problem(f"{at}/{name}", fault) for name, fault in complaints.items() if fault is not None)
    return Told(
        item.get("prediction_id", ""), item.get("metric") or LABEL, item.get("outcome"), observed, item.get("source")
    )


def _outcome_fault(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return number_fault(value)
    if isinstance(value, str):
        return text_fault(value)
    return "Must be a label (true or false, an integer, a string) or a number."


def _metric_fault(value: object) -> str | None:
    if value is None or (isinstance(value, str) and _METRIC.fullmatch(value)):
        return None
    return "Must be a metric's name: a letter or _, then at most 63 letters, digits, dots, dashes or _."
