"""Compiled models on the event loop itself: what one turn of the loop asks is answered in one call.

No thread and no timer: a lone row waits for nobody, it is answered before the loop sleeps. Rows that come together
share the call only where preparation measured that they gain by it. A batch too long for the loop is not taken here.
"""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

from gateway.adapters.models.compiled import CompiledModel
from gateway.core.deployments import Scalar
from gateway.core.errors import ModelFailed
from gateway.ports import Output

Rows: TypeAlias = Sequence[Sequence[Scalar]]
_Asker: TypeAlias = "tuple[Rows, asyncio.Future[list[Output]]]"

LONGEST_S = 0.002
"""Machine seconds that one call may keep the loop from turning, as preparation measured the model."""


class Inline:
    """One compiled model's place on the loop. Everything here runs on the loop's thread."""

    def __init__(self, model: CompiledModel) -> None:
        form = model.card.form
        self.model = model
        self._gathers = form.gathers
        self._most = max(1, int((LONGEST_S - form.call_s) / form.row_s)) if form.row_s > 0.0 else 1_000
        self._takes = form.call_s <= LONGEST_S
        self._waiting: list[_Asker] = []

    @property
    def together(self) -> int:
        """How many rows are best asked for at once."""
        return min(self._most, 64) if self._gathers else 1

    def takes(self, rows: Rows) -> bool:
        """Whether these rows are few enough to be answered between two turns of the loop."""
        return self._takes and len(rows) <= self._most

    async def predict(self, rows: Rows) -> list[Output]:
        """Answer the rows, with whatever else was asked in this turn of the loop. Raises ModelFailed."""
        if not self._gathers:
            return self.model.predict(rows)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Output]] = loop.create_future()
        self._waiting.append((rows, answer))
        if len(self._waiting) == 1:
            loop.call_soon(self._answer_all)
        return await answer

    def _answer_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        wanted = [(rows, answer) for rows, answer in waiting if not answer.done()]  # a caller may have gone
        while wanted:
            batch, wanted = self._cut(wanted)
            self._answer_batch(batch)

    def _cut(self, wanted: list[_Asker]) -> tuple[list[_Asker], list[_Asker]]:
        """Take as many askers as fit in one call, at least one."""
        total = 0
        for index, (rows, _) in enumerate(wanted):
            total += len(rows)
            if index and total > self._most:
                return wanted[:index], wanted[index:]
        return wanted, []

    def _answer_batch(self, batch: list[_Asker]) -> None:
        try:
            outputs = self.model.predict([row for rows, _ in batch for row in rows])
        except ModelFailed as failure:
            if len(batch) == 1:
                batch[0][1].set_exception(failure)
            else:  # each asker is charged for its own rows only
                for alone in batch:
                    self._answer_batch([alone])
            return
        start = 0
        for rows, answer in batch:
            answer.set_result(outputs[start : start + len(rows)])
            start += len(rows)
