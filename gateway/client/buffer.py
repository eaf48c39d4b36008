"""Outcomes that wait to be told together. Knows no network; may be used from several threads."""

import threading
from collections.abc import Callable, Sequence

from gateway.client.errors import BufferFull
from gateway.client.values import Outcome, Receipt


class Buffer:
    """Holds outcomes until ``batch`` of them wait or the oldest has waited ``linger_s`` seconds; at most ``most``.

    ``machine`` tells monotonic seconds.
    """

    def __init__(self, batch: int, linger_s: float, most: int, machine: Callable[[], float]) -> None:
        self._batch, self._linger_s, self._most, self._machine = batch, linger_s, most, machine
        self._waiting: list[Outcome] = []
        self._since = 0.0
        self._not_before = 0.0
        self._receipt = Receipt()
        self._lock = threading.Lock()

    def put(self, outcome: Outcome) -> None:
        """Keep an outcome. Raises BufferFull, and then it is not kept."""
        with self._lock:
            if len(self._waiting) >= self._most:
                raise BufferFull(f"{self._most} outcomes wait already, and the gateway takes none of them.")
            if not self._waiting:
                self._since = self._machine()
            self._waiting.append(outcome)

    def due(self) -> bool:
        """Whether it is time to tell what waits."""
        with self._lock:
            now = self._machine()
            full = len(self._waiting) >= self._batch or (bool(self._waiting) and now - self._since >= self._linger_s)
            return full and now >= self._not_before

    def take(self) -> list[Outcome]:
        """Hand out everything that waits; give it :meth:`back` if it cannot be told."""
        with self._lock:
            taken, self._waiting = self._waiting, []
            return taken

    def back(self, outcomes: Sequence[Outcome]) -> None:
        """Take outcomes back that could not be told, and let ``linger_s`` pass before it is tried again unasked."""
        with self._lock:
            self._waiting = [*outcomes, *self._waiting]
            self._not_before = self._machine() + self._linger_s

    def add(self, receipt: Receipt) -> None:
        """Remember what became of outcomes until somebody asks."""
        with self._lock:
            self._receipt += receipt

    def receipt(self) -> Receipt:
        """What became of outcomes since this was last asked."""
        with self._lock:
            receipt, self._receipt = self._receipt, Receipt()
            return receipt

    def __len__(self) -> int:
        return len(self._waiting)
