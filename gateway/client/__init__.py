"""What applications use to talk to a gateway from Python: predictions, and the truth about them.

It stands alone: it imports nothing of the gateway's own, only httpx, msgspec and tenacity.

    with Client("http://localhost:8000") as gateway:
        answer = gateway.predict({"distance": 1400}, entities={"carrier": "UA"})
        gateway.tell(answer.prediction_id, 1)
"""

from gateway.client.clients import AsyncClient, Client
from gateway.client.errors import BufferFull, GatewayClientError, Refused, Unavailable
from gateway.client.talk import Patience
from gateway.client.values import Instance, Outcome, Place, Prediction, Receipt, Rejection

__all__ = [
    "AsyncClient",
    "BufferFull",
    "Client",
    "GatewayClientError",
    "Instance",
    "Outcome",
    "Patience",
    "Place",
    "Prediction",
    "Receipt",
    "Refused",
    "Rejection",
    "Unavailable",
]
