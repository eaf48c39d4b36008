"""Somebody who is measured."""

from dataclasses import dataclass

from benchmarks.serve.house import House


@dataclass
class Subject:
    """Somebody who answers at ``url`` and is asked with bodies of ``kind``; ``pid`` is its first process."""

    name: str
    url: str
    kind: str
    pid: int
    house: House | None = None
