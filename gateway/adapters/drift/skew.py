"""Training-serving skew: what was served, beside what the offline store says it was at that time.

The agent's side. Feast's offline stores take seconds, hundreds of megabytes and any library, so they are asked in a
process of their own (:mod:`skew_child`), which ends with the question.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from gateway.adapters.children import ANSWER, how_it_ended, run_child
from gateway.core.deployments import Scalar
from gateway.core.drift.report import Skew, SkewLine
from gateway.core.drift.rows import LoggedRow
from gateway.core.features import FeaturePlan, Status

_CHILD = "gateway.adapters.drift.skew_child"
_CLOSE = 1e-5
"""Relative difference of numbers that are the same: online stores keep many as float32."""
_SERVED = frozenset({int(Status.PRESENT), int(Status.NULL), int(Status.MISSING)})


class Job(msgspec.Struct, frozen=True):
    """What the child is asked: rows of entity keys at times (data time, seconds), by feature service.

    ``folder`` is where paths begin; ``wall_s`` and ``memory_bytes`` are what it may cost.
    """

    repository: str
    services: dict[str, tuple[str, ...]]
    keys: list[dict[str, Scalar]]
    times: list[float]
    folder: str
    wall_s: float
    memory_bytes: int


class Found(msgspec.Struct, frozen=True):
    """What the offline store said, one mapping per row; or why it said nothing."""

    rows: list[dict[str, Scalar]] = []
    trouble: str = ""


class Comparer:
    """Compares with the offline store of the repository at ``repository``, within ``longest_s`` machine seconds.

    ``memory_bytes`` of address space are its process's own.
    """

    def __init__(self, repository: Path, longest_s: float = 120.0, memory_bytes: int = 8 << 30) -> None:
        self._repository = repository.absolute()
        self._longest_s, self._memory_bytes = longest_s, memory_bytes

    def compare(self, plan: FeaturePlan, rows: Sequence[LoggedRow], at: float) -> Skew:
        """Compare rows with what was at their times. Never raises for the offline store: it says what was wrong."""
        keys = [key.request for key in plan.join_keys()]
        known = [row for row in rows if set(keys) <= set(row.names)]
        if not known or not plan.services:
            return Skew(at, 0, (), "No served row carries the entity keys of a feature service.")
        seen = [dict(zip(row.names, zip(row.values, row.statuses, strict=True), strict=True)) for row in known]
        asked = [{key: one[key][0] for key in keys} for one in seen]
        found = self._ask(plan, asked, [row.at for row in known])
        if found.trouble:
            return Skew(at, len(known), (), found.trouble)
        lines = [_line(name, seen, found.rows) for name in plan.names()]
        return Skew(at, len(known), tuple(lines))

    def _ask(self, plan: FeaturePlan, keys: list[dict[str, Scalar]], times: list[float]) -> Found:
        repository, folder = str(self._repository), str(Path.cwd())
        job = Job(repository, plan.services, keys, times, folder, self._longest_s, self._memory_bytes)
        with tempfile.TemporaryDirectory(prefix="gateway-skew-", ignore_cleanup_errors=True) as scratch:
            code = run_child(_CHILD, msgspec.json.encode(job), Path(scratch), self._longest_s, os.environ)
            try:
                return msgspec.json.decode(Path(scratch, ANSWER).read_bytes(), type=Found)
            except msgspec.DecodeError:
                return Found(trouble=how_it_ended(code, self._longest_s, "Asking the offline store"))


def _line(
    name: str, served: Sequence[Mapping[str, tuple[Scalar, int]]], offline: Sequence[Mapping[str, Scalar]]
) -> SkewLine:
    compared = differing = no_offline = no_online = 0
    for one, past in zip(served, offline, strict=True):
        value, status = one.get(name, (None, int(Status.UNAVAILABLE)))
        if status not in _SERVED:
            continue  # too old or not read in time: not what the store held
        online = value if status == Status.PRESENT else None
        then = past.get(name)
        if online is None and then is None:
            continue
        no_offline += then is None
        no_online += online is None
        if online is not None and then is not None:
            compared += 1
            differing += not same(online, then)
    return SkewLine(name, compared, differing, no_offline, no_online)


def same(online: Scalar, offline: Scalar) -> bool:
    """Whether two values are the same, but for what float32 leaves of a number.

    >>> same(0.1, 0.10000000149), same(1, 1.0), same("UA", "AA"), same(1.0, 1.1)
    (True, True, False, False)
    """
    if isinstance(online, (int, float)) and isinstance(offline, (int, float)):
        return abs(online - offline) <= _CLOSE * max(1.0, abs(online), abs(offline))
    return online == offline
