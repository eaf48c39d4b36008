"""A log as it stands after a long life: who was asked what, drawn by whom, and which outcomes came.

Everything follows from the number of a prediction, so that any of them can be named again later.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from gateway.core.events import ArmRecord, OutcomeRecord, PredictionRecord
from gateway.core.ids import body_of, tag_of
from tests.control_house import NAME, T0

TAG = tag_of(NAME)
SPOOL = "host-boot-1-1-p000001"
TOLD = "host-boot-1-1-o000001"
PLACE = 640
"""Bytes between one record and the next in the spool."""
FEATURES = tuple(f"feature_{number}" for number in range(10))
PROPENSITY = 0.2
_LATENCY = {"features": 0.001, "model": 0.002, "total": 0.004}
_DICE = Random(0)
_ROWS = [tuple(_DICE.random() for _ in FEATURES) for _ in range(10_000)]
_LIVES = 10
_LAST_LIFE = 0.02


@dataclass(frozen=True)
class Population:
    """``n`` predictions at ``rate`` a second of data time, of which a share ``told`` have an outcome.

    The last fiftieth met the candidate of ``generation``, all before it one of ten candidates that went.
    """

    n: int
    rate: float
    stable: str
    generation: str
    told: float = 0.3

    def at(self, number: int) -> float:
        """Data time of a prediction, in seconds. The candidate that stands was started at ``T0``."""
        return T0 + (number - self.begins) / self.rate

    @property
    def begins(self) -> int:
        """The first prediction that met the candidate that stands."""
        return int(self.n * (1.0 - _LAST_LIFE))

    def records(self, first: int, end: int) -> Iterator[PredictionRecord]:
        """The predictions of these numbers. Ten thousand rows of values are asked with again and again."""
        dice = Random(first)
        for number in range(first, end):
            at, arm = self.at(number), "canary" if dice.random() < PROPENSITY else "stable"
            generation = self.generation if number >= self.begins else f"gone-{number * _LIVES // self.n}"
            values = _ROWS[number % len(_ROWS)]
            yield PredictionRecord(
                tag=TAG,
                body=body(number),
                deployment=NAME,
                revision=3,
                epoch=int(at // 86_400),
                key_hash="",
                at=at,
                assigned=arm,
                served=arm,
                arms=_arms(self.stable, generation),
                label=int(values[0] < 0.5),
                score=values[0],
                latency=_LATENCY,
                plan_id="plan-1",
                names=FEATURES,
                values=values,
                statuses=bytes(len(FEATURES)),
                event_times=(at,) * len(FEATURES),
            )

    def told_of(self, first: int, end: int) -> list[int]:
        """Which of these predictions have had their outcome."""
        dice = Random(first + 1)
        return [number for number in range(first, end) if dice.random() < self.told]

    def outcomes(self, numbers: Sequence[int], delay_s: float = 0.01) -> list[OutcomeRecord]:
        """The outcomes of these predictions."""
        times = [self.at(number) + delay_s for number in numbers]
        return [
            OutcomeRecord(TAG, body(number), "label", number % 2, at, at)
            for number, at in zip(numbers, times, strict=True)
        ]


@cache
def _arms(stable: str, generation: str) -> tuple[ArmRecord, ...]:
    return (
        ArmRecord("stable", stable, 1.0 - PROPENSITY, "digest-1"),
        ArmRecord("canary", generation, PROPENSITY, "digest-2"),
    )


def body(number: int) -> str:
    """The body of a prediction's id, as request ids make it: as good as random."""
    return body_of("local", NAME, f"r{number}")
