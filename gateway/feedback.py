"""An outcome: the truth about a prediction, told by whoever learned it.

Signature checked, held to the labels that the deployment declares, written down, on disk, acknowledged. Nothing is
looked up: whether the prediction is known yet, was told before or has expired is found out when the agent joins, and
costs the caller nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.core import ids
from gateway.core.events import OutcomeRecord
from gateway.core.outcomes import LABEL, Told, read_outcomes
from gateway.core.routing import RoutingTable
from gateway.ports import Clock, Observer, Routing, Spool, Unobserved

_BREATH = 256
"""So many outcomes are handled before the event loop gets a turn: labels must not slow predictions down."""
_FORGED = "This gateway never issued that prediction_id."


@dataclass(frozen=True, slots=True)
class Rejection:
    """One outcome that was not taken: its place among those sent, and why."""

    index: int
    detail: str
    reason: str
    """``forged``, or ``label``: one that the deployment does not declare."""


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
        for reason, count in Counter(one.reason for one in rejected).items():
            self._observer.rejected(reason, count)
        return Receipt(len(records), tuple(rejected))

    async def _verify(self, told: Sequence[Told]) -> tuple[list[OutcomeRecord], list[Rejection]]:
        """Part what was told into records and what is not taken: forgeries, and labels that nobody declared."""
        keys, now = self._keys(), self._clock.data()
        records: list[OutcomeRecord] = []
        rejected: list[Rejection] = []
        for index, outcome in enumerate(told):
            ref = ids.verify(keys, outcome.prediction_id)
            if ref is None:
                rejected.append(Rejection(index, _FORGED, "forged"))
            elif (why := _undeclared(outcome, self._routing.table_by_tag(ref.tag))) is not None:
                rejected.append(Rejection(index, why, "label"))
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


def _undeclared(told: Told, table: RoutingTable | None) -> str | None:
    """Why an outcome is no label of its deployment; None where it is one, or where any will do.

    A deployment without a table here holds nobody to anything: labels come in before the gateway has started up.
    """
    if table is None or not table.labels or told.metric != LABEL or told.value in table.labels:
        return None
    return f"A label of {table.deployment} is one of these: {', '.join(map(str, table.labels))}."


def _record(ref: ids.PredictionRef, told: Told, now: float) -> OutcomeRecord:
    observed_at = now if told.observed_at is None else told.observed_at
    return OutcomeRecord(ref.tag, ref.body, told.metric, told.value, observed_at, now, told.source)


async def _breathe(index: int) -> None:
    if index % _BREATH == _BREATH - 1:
        await asyncio.sleep(0)
