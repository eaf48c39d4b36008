"""An outcome: the truth about a prediction, told by whoever learned it.

Signature checked, written down, on disk, acknowledged. Nothing is looked up: whether the prediction is known yet, was
told before or has expired is found out when the agent joins, and costs the caller nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.core import ids
from gateway.core.events import OutcomeRecord
from gateway.core.outcomes import Told, read_outcomes
from gateway.ports import Clock, Observer, Routing, Spool, Unobserved

_BREATH = 256
"""So many outcomes are handled before the event loop gets a turn: labels must not slow predictions down."""
_FORGED = "This gateway never issued that prediction_id."


@dataclass(frozen=True, slots=True)
class Rejection:
    """One outcome that was not taken: its place among those sent, and why."""

    index: int
    detail: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of some outcomes: ``accepted`` are on disk."""

    accepted: int
    rejected: tuple[Rejection, ...]


class Feedback:
    """The story of an outcome. ``spool`` is the outcomes' own lane; ``keys`` says which signatures hold now."""

    def __init__(
        self,
        spool: Spool,
        routing: Routing,
        clock: Clock,
        keys: Callable[[], ids.SigningKeys],
        observer: Observer | None = None,
    ) -> None:
        self._spool, self._routing, self._clock, self._keys = spool, routing, clock, keys
        self._observer: Observer = observer or Unobserved()

    async def __call__(self, body: object) -> Receipt:
        """Take the outcomes of a decoded body; those accepted are on disk when this returns.

        Raises InvalidBody for a shape that does not fit (nothing is taken then) and LogRefused.
        """
        told = read_outcomes(body)
        records, rejected = await self._verify(told)
        if records:
            await self._remember(records)
        if rejected:
            self._observer.forged(len(rejected))
        return Receipt(len(records), tuple(rejected))

    async def _verify(self, told: Sequence[Told]) -> tuple[list[OutcomeRecord], list[Rejection]]:
        """Part what was told into records and forgeries, by signature alone."""
        keys, now = self._keys(), self._clock.data()
        records: list[OutcomeRecord] = []
        rejected: list[Rejection] = []
        for index, outcome in enumerate(told):
            ref = ids.verify(keys, outcome.prediction_id)
            if ref is None:
                rejected.append(Rejection(index, _FORGED))
            else:
                records.append(_record(ref, outcome, now))
            await _breathe(index)
        return records, rejected

    async def _remember(self, records: Sequence[OutcomeRecord]) -> None:
        for index, record in enumerate(records):
            self._spool.append(record)
            await _breathe(index)
        await self._spool.flush()
        self._clock.observe(max(record.observed_at for record in records))
        for record in records:
            table = self._routing.table_by_tag(record.tag)
            self._observer.outcome(record, table.deployment if table else "")


def _record(ref: ids.PredictionRef, told: Told, now: float) -> OutcomeRecord:
    observed_at = now if told.observed_at is None else told.observed_at
    return OutcomeRecord(ref.tag, ref.body, told.metric, told.value, observed_at, now, told.source)


async def _breathe(index: int) -> None:
    if index % _BREATH == _BREATH - 1:
        await asyncio.sleep(0)
