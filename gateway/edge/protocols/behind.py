"""What stands behind the routes of other protocols: the same story, limits and probes as behind ``/predict``."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from starlette.requests import Request

from gateway.edge.bodies import read_bytes
from gateway.edge.protocols.frames import Offer
from gateway.passage import Answer
from gateway.ports import Clock

Tell: TypeAlias = Callable[[Request, float, object, str, str | None], Awaitable[list[Answer]]]
"""Tells the story of one request: its arrival, the batch, the deployment, and the variant that is forced, if any."""


@dataclass(frozen=True, slots=True)
class Behind:
    """``offer`` says what a deployment (None: the default one) takes; ``ready`` why traffic should stay away, or None.

    Limits are bytes, and seconds for a body to arrive.
    """

    clock: Clock
    offer: Callable[[str | None], Offer]
    tell: Tell
    ready: Callable[[], str | None]
    max_body: int
    patience_s: float

    async def read(self, request: Request, *others: str) -> tuple[float, bytes]:
        """When the request arrived, and its body: JSON, or of one of the ``others``."""
        arrived = self.clock.machine()
        return arrived, await read_bytes(request, self.max_body, self.patience_s, others)
