"""Somebody who is measured."""

from dataclasses import dataclass, field

from benchmarks.serve.house import House
from benchmarks.serve.load import Point


@dataclass
class Subject:
    """Somebody who answers at ``url``, is asked with bodies of ``kind``, and what was measured, by connections."""

    name: str
    url: str
    kind: str
    pid: int
    house: House | None = None
    points: dict[int, list[Point]] = field(default_factory=dict)
