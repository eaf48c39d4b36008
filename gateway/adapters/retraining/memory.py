"""A target that keeps what it was told, for tests: ours and our users'."""

from collections import deque
from collections.abc import Iterable

from gateway.core.errors import TargetFailed
from gateway.ports import Order, Taken


class MemoryTarget:
    """Answers with what it was given, in order, and then with ``Taken(ended=True)``; a string is a failure."""

    def __init__(self, answers: Iterable[Taken | str] = ()) -> None:
        self.orders: list[Order] = []
        self._answers = deque(answers)

    def call(self, order: Order) -> Taken:
        """Keep the order, and answer."""
        self.orders.append(order)
        answer = self._answers.popleft() if self._answers else Taken(ended=True)
        if isinstance(answer, str):
            raise TargetFailed(answer)
        return answer

    def close(self) -> None:
        """Nothing runs here."""
