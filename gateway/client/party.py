"""What both clients are: options, waiting outcomes, and every conversation. No network, no event loop, no thread."""

import time
from abc import abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

from gateway.client import talk
from gateway.client.buffer import Buffer
from gateway.client.errors import Unavailable
from gateway.client.talk import Patience, Talk
from gateway.client.values import Outcome, Receipt

_Transport = TypeVar("_Transport")
_PATIENT = Patience()


def _now() -> datetime:
    return datetime.now(UTC)


class Party(Generic[_Transport]):
    """One gateway's client.

    ``url`` is the data plane's, ``key`` an API key where the gateway asks for one. A single answer may take
    ``timeout_s`` seconds; ``patience`` says how long a call is tried again. Outcomes handed to ``tell`` are sent when
    ``batch`` of them wait, or with the next one after the oldest has waited ``linger_s`` seconds; at most ``keep`` of
    them wait. ``now`` stamps outcomes without ``observed_at``; ``transport`` replaces httpx's own.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = 10.0,
        patience: Patience = _PATIENT,
        batch: int = 500,
        linger_s: float = 1.0,
        keep: int = 100_000,
        now: Callable[[], datetime] = _now,
        transport: _Transport | None = None,
    ) -> None:
        self._patience, self._now = patience, now
        self._buffer = Buffer(batch, linger_s, keep, time.monotonic)
        headers = {"Content-Type": "application/json", "User-Agent": "gateway-client"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._open(url, headers, timeout_s, transport)

    @abstractmethod
    def _open(self, url: str, headers: dict[str, str], timeout_s: float, transport: _Transport | None) -> None:
        """Make the connection pool."""

    def _telling(self, outcome: Outcome) -> Talk[None]:
        self._buffer.put(talk.stamped(outcome, self._now))
        if self._buffer.due():
            try:
                yield from self._emptying()
            except Unavailable:  # nothing is lost: they wait for the next turn, and ``put`` says when they are too many
                return

    def _flushing(self) -> Talk[Receipt]:
        yield from self._emptying()
        return self._buffer.receipt()

    def _emptying(self) -> Talk[None]:
        waiting = self._buffer.take()
        if not waiting:
            return
        try:
            receipt = yield from talk.feedback(waiting)
        except BaseException:  # also when it is cancelled or closed: they have not been told
            self._buffer.back(waiting)
            raise
        self._buffer.add(receipt)

    def _speaking(self, outcomes: tuple[Outcome, ...]) -> Talk[Receipt]:
        return talk.feedback([talk.stamped(each, self._now) for each in outcomes])
