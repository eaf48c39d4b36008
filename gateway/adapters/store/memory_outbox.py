"""What waits to be told to the outside, in memory."""

import itertools
from collections.abc import Collection, Sequence

from gateway.adapters.store import outbox
from gateway.ports import Untold


class MemoryOutbox:
    """The Outbox port in a dictionary, in order of number."""

    def __init__(self) -> None:
        self._entries: dict[int, outbox.Entry] = {}
        self._numbers = itertools.count(1)

    def put(self, entries: Sequence[outbox.Entry]) -> None:
        """Add entries."""
        self._entries |= dict(zip(self._numbers, entries, strict=False))

    def untold(self, limit: int) -> list[Untold]:
        """The oldest."""
        return [outbox.untold(number, *entry) for number, entry in itertools.islice(self._entries.items(), limit)]

    def told(self, numbers: Collection[int]) -> None:
        """Drop them."""
        for number in numbers:
            self._entries.pop(number, None)

    def waiting(self) -> int:
        """All that is there."""
        return len(self._entries)

    def waiting_now(self) -> dict[int, outbox.Entry]:
        """Everything as it is, for :meth:`put_back`."""
        return dict(self._entries)

    def put_back(self, entries: dict[int, outbox.Entry]) -> None:
        """Be as it was then: the transaction that has added since is undone."""
        self._entries = entries

    def give_up(self, most: int) -> int:
        """Drop the oldest beyond ``most``."""
        surplus = list(self._entries)[: max(0, len(self._entries) - most)]
        self.told(surplus)
        return len(surplus)
