"""Compiled models on the event loop itself: no thread and no timer.

Who asks for several rows at once (a company of requests, a shadow that is behind) gets them from one call, where
preparation measured that rows gain by it. A batch too long for the loop is not taken here.
"""

from collections.abc import Sequence
from typing import TypeAlias

from gateway.adapters.models.compiled import CompiledModel
from gateway.core.deployments import Scalar
from gateway.ports import Output

Rows: TypeAlias = Sequence[Sequence[Scalar]]

LONGEST_S = 0.002
"""Machine seconds that one call may keep the loop from turning, as preparation measured the model."""
_MOST_TOGETHER = 64


class Inline:
    """One compiled model's place on the loop."""

    def __init__(self, model: CompiledModel) -> None:
        form = model.card.form
        self._model = model
        self._most = max(1, int((LONGEST_S - form.call_s) / form.row_s)) if form.row_s > 0.0 else 1_000
        self._takes = form.call_s <= LONGEST_S
        self.together = 0 if not self._takes else min(self._most, _MOST_TOGETHER) if form.gathers else 1
        """How many rows are best asked for at once; 0 for a model that is too slow for the loop."""

    def takes(self, rows: Rows) -> bool:
        """Whether these rows are few enough to be answered between two turns of the loop."""
        return self._takes and len(rows) <= self._most

    def predict(self, rows: Rows) -> list[Output]:
        """Answer the rows. Raises ModelFailed."""
        return self._model.predict(rows)
