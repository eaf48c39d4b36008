"""A broker in memory, for tests: it takes what it is told unless it is down, and keeps what was put aside."""

from collections.abc import Sequence

from gateway.core.envelopes import Envelope
from gateway.ports import Delivery, Incoming


class MemorySink:
    """Keeps every envelope it was told. While it is ``down`` nothing arrives; ``refuses`` names ids it never takes."""

    def __init__(self) -> None:
        self.told: list[Envelope] = []
        self.down = False
        self.refuses: set[str] = set()
        self.closed = False

    def send(self, envelopes: Sequence[Envelope]) -> list[Delivery]:
        """Keep them."""
        return [self._send(one) for one in envelopes]

    def close(self) -> None:
        """Remember that it was hung up."""
        self.closed = True

    def _send(self, one: Envelope) -> Delivery:
        if self.down:
            return Delivery.FAILED
        if one.id in self.refuses:
            return Delivery.REFUSED
        self.told.append(one)
        return Delivery.TOLD


class MemorySource:
    """Delivers ``messages`` until they are done. While it is ``down`` nothing can be put aside."""

    def __init__(self, messages: Sequence[Incoming] = ()) -> None:
        self.messages = list(messages)
        self.aside: list[tuple[Incoming, str]] = []
        self.down = False
        self.closed = False
        self._next = 0

    def take(self, most: int, within_s: float) -> list[Incoming]:
        """What was not taken yet, without waiting."""
        del within_s
        taken = self.messages[self._next : self._next + most]
        self._next += len(taken)
        return taken

    def put_aside(self, refused: Sequence[tuple[Incoming, str]]) -> bool:
        """Keep them."""
        if not self.down:
            self.aside += refused
        return not self.down

    def done(self, messages: Sequence[Incoming]) -> None:
        """Forget them."""
        done = set(messages)
        before = self.messages[: self._next]
        self.messages = [one for one in self.messages if one not in done]
        self._next = len([one for one in before if one not in done])

    def again(self, messages: Sequence[Incoming]) -> None:
        """Begin again with the first of these."""
        self._next = min(self.messages.index(one) for one in messages)

    def close(self) -> None:
        """Remember that it was left."""
        self.closed = True
