"""The process in which a prepared model is measured: ``python -m gateway.adapters.models.gate_child``.

It reads one job (JSON) from standard input and prints what it measured (JSON). Like ``inspect_child`` it limits itself
first, so a model that loops, allocates or crashes takes nobody along. What the figures mean is ``core.gates``' word.
"""

import math
import os
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gateway.adapters.children import keep_stdout_for_the_answer, limit
from gateway.adapters.models.artifacts import verified
from gateway.adapters.models.golden import golden_rows
from gateway.adapters.models.prepare import Limits, ModelCache
from gateway.adapters.models.rows import example_row
from gateway.core.deployments import Field, ModelCard, Scalar, Type
from gateway.core.errors import ModelFailed
from gateway.core.gates import Measured
from gateway.ports import Model, Output

_TIMED_CALLS = 200
_TIMED_S = 3.0
_WARM_UPS = 3
_QUANTILE = 0.95
_SAME = 1e-6
"""By how much a score may differ between one row and many: floating point adds in another order."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to measure: a prepared model, the rows to replay, and the noise to disturb them with (None: none)."""

    cache: str
    card: ModelCard
    rows: list[list[Scalar]]
    noise: float | None
    wall_s: float
    memory_bytes: int
    artifact_bytes: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured, or the sentence that says why nothing was."""

    measured: Measured | None = None
    unusable: str = ""


def main() -> None:
    """Read the job, limit this process, measure, print, and leave without running the model's exit code."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    answers = keep_stdout_for_the_answer()
    limit(job.wall_s, job.memory_bytes)
    answers.write(msgspec.json.encode(figures(job)) + b"\n")
    answers.flush()
    os._exit(0)


def figures(job: Job) -> Figures:
    """Measure, or say why that cannot be done. Never quotes what a model's error says."""
    try:
        return Figures(measure(job))
    except MemoryError:
        return Figures(unusable=f"Measuring the model takes more than the {job.memory_bytes >> 20} MiB allowed.")
    except BaseException as error:  # noqa: BLE001  # foreign code may raise anything, SystemExit too
        return Figures(unusable=f"The model cannot be measured ({type(error).__name__}).")


def measure(job: Job) -> Measured:
    """Load the model in the form that will serve, and run it on its examples and the rows. Raises what they raise."""
    before, card, cache = _peak_bytes(), job.card, Path(job.cache)
    model = ModelCache(cache, Limits(artifact_bytes=job.artifact_bytes)).open(card)
    golden = golden_rows(card.inputs, verified(cache / card.path, card.digest, job.artifact_bytes))
    mistakes = _mistakes(model, golden)
    latency_s = _latency(model, golden or job.rows[:_TIMED_CALLS] or [list(example_row(card.inputs)[0])])
    answers = [_answer(model, row) for row in job.rows]
    memory = _peak_bytes() - before
    shaken = [] if job.noise is None else _shake(card, job.rows, job.noise)
    return Measured(
        golden=len(golden),
        mistakes=tuple(mistakes),
        latency_s=latency_s,
        memory_bytes=memory,
        answers=tuple(None if one is None else one.label for one in answers),
        scores=tuple(None if one is None else one.score for one in answers),
        shaken=tuple(None if one is None else one.label for one in (_answer(model, row) for row in shaken)),
    )


def _mistakes(model: Model, rows: Sequence[Sequence[Scalar]]) -> list[str]:
    """What goes wrong with the model's own examples: failures, answers that change, rows that depend on each other."""
    alone = [_answer(model, row) for row in rows]
    found = [f"example {number} fails" for number, one in enumerate(alone, 1) if one is None]
    again = [_answer(model, row) for row in rows]
    found += [f"example {n} is answered differently twice" for n in _different(alone, again)]
    if found or not rows:
        return found
    try:
        together = model.predict(rows)
    except ModelFailed as error:
        return [f"all {len(rows)} examples together fail ({error.kind})"]
    return [f"example {n} is answered differently among others" for n in _different(alone, list(together))]


def _different(ones: Sequence[Output | None], others: Sequence[Output | None]) -> list[int]:
    return [n for n, (one, other) in enumerate(zip(ones, others, strict=True), 1) if not _alike(one, other)]


def _alike(one: Output | None, other: Output | None) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one.label, float) and isinstance(other.label, float):
        return math.isclose(one.label, other.label, rel_tol=_SAME, abs_tol=_SAME)
    if one.score is not None and other.score is not None:
        return abs(one.score - other.score) <= _SAME
    if one.label is None and one.scores is not None and other.scores is not None:  # several numbers, by name
        pairs = zip(one.scores.values(), other.scores.values(), strict=False)
        return all(math.isclose(a, b, rel_tol=_SAME, abs_tol=_SAME) for a, b in pairs)
    return one.label == other.label


def _latency(model: Model, rows: Sequence[Sequence[Scalar]]) -> float:
    """The 95th percentile of one row's answer, in seconds, over some hundred calls or three seconds."""
    for row in rows[:_WARM_UPS]:
        _answer(model, row)
    taken: list[float] = []
    until = time.perf_counter() + _TIMED_S
    while len(taken) < _TIMED_CALLS and (not taken or time.perf_counter() < until):
        row = rows[len(taken) % len(rows)]
        start = time.perf_counter()
        _answer(model, row)
        taken.append(time.perf_counter() - start)
    return sorted(taken)[math.ceil(_QUANTILE * len(taken)) - 1]


def _answer(model: Model, row: Sequence[Scalar]) -> Output | None:
    try:
        return model.predict([row])[0]
    except ModelFailed:
        return None


def _shake(card: ModelCard, rows: Sequence[Sequence[Scalar]], noise: float) -> list[list[Scalar]]:
    """Move every number by normal noise of ``noise`` times its column's spread; the same rows move the same way."""
    chance = random.Random(card.digest)  # noqa: S311  # a draw that anybody may repeat
    spreads = [_spread([row[index] for row in rows]) * noise for index in range(len(card.inputs))]
    return [
        [
            _moved(field, value, chance.gauss(0.0, 1.0) * spread)
            for field, value, spread in zip(card.inputs, row, spreads, strict=True)
        ]
        for row in rows
    ]


def _spread(column: Sequence[Scalar]) -> float:
    numbers = [float(value) for value in column if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return statistics.pstdev(numbers) if len(numbers) > 1 else 0.0


def _moved(field: Field, value: Scalar, by: float) -> Scalar:
    if field.type not in (Type.NUMBER, Type.INTEGER) or isinstance(value, (bool, str)) or value is None:
        return value
    moved = value + by
    if field.minimum is not None:
        moved = max(moved, field.minimum)
    if field.maximum is not None:
        moved = min(moved, field.maximum)
    return round(moved) if field.type is Type.INTEGER else moved


def _peak_bytes() -> int:
    """The most memory this process has had resident. ``getrusage`` would count what its parent had before ``exec``."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024


if __name__ == "__main__":
    main()
