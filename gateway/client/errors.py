"""What can go wrong between an application and a gateway.

GatewayClientError
├── BufferFull    too many outcomes wait already
├── Refused       it answered no, and would again: the request has to change
└── Unavailable   it could not be reached, or asked for patience, until the client's patience ran out
"""

from gateway.client.values import Place


class GatewayClientError(Exception):
    """Anything this client raises by itself."""


class BufferFull(GatewayClientError):
    """More outcomes wait than may be kept, and the gateway does not take them."""


class Refused(GatewayClientError):
    """The gateway answered no. ``type`` is a word of its reference of errors, ``places`` say what does not fit."""

    def __init__(self, status: int, kind: str, detail: str, places: tuple[Place, ...] = ()) -> None:
        where = "".join(f" {place.pointer}: {place.detail}" for place in places[:3])
        super().__init__(f"{status} {kind}: {detail}{where}")
        self.status = status
        self.type = kind
        self.detail = detail
        self.places = places


class Unavailable(GatewayClientError):
    """No answer yet, and patience ran out. ``status`` is that of the last answer, None where there was none.

    ``retry_after_s`` is how long the gateway asked to be left alone, in seconds.
    """

    def __init__(self, detail: str, status: int | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(detail)
        self.status = status
        self.retry_after_s = retry_after_s
