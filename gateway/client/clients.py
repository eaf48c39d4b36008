"""The two clients: each carries the conversations of :mod:`gateway.client.party` to and fro in its own way.

``Client`` is for threads and may be shared by them, ``AsyncClient`` for an event loop. A test holds them to the same
methods; nothing but the carrying is written twice.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TypeVar

import httpx
from tenacity import AsyncRetrying, Retrying

from gateway.client import talk
from gateway.client.errors import Unavailable
from gateway.client.party import Party
from gateway.client.talk import Call, Heard, Route, Talk
from gateway.client.values import Instance, Label, Outcome, Prediction, Receipt, Scalar

_Said = TypeVar("_Said")
_LOST = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)
"""What may befall a request on its way; whether it was acted on is not known."""


def _gone(error: httpx.TransportError) -> Unavailable:
    return Unavailable(f"The gateway cannot be reached: {type(error).__name__}.")


def _heard(answer: httpx.Response) -> Heard:
    return talk.hear(answer.status_code, answer.content, answer.headers.get("Retry-After"))


class Client(Party[httpx.BaseTransport]):
    """A client for threads; its options are those of :class:`gateway.client.party.Party`."""

    def predict(
        self,
        features: Mapping[str, Scalar] | None = None,
        *,
        entities: Mapping[str, Scalar] | None = None,
        deployment: str | None = None,
        routing_key: str | None = None,
        request_id: str | None = None,
        deadline_s: float | None = None,
        explain: bool = False,
    ) -> Prediction:
        """Ask for one prediction. Raises Refused or Unavailable."""
        instance = Instance(features or {}, entities or {}, routing_key, request_id)
        return self._carry(talk.predict(instance, Route(deployment, deadline_s, explain)))

    def predict_many(
        self,
        instances: Sequence[Instance],
        *,
        deployment: str | None = None,
        deadline_s: float | None = None,
        explain: bool = False,
    ) -> list[Prediction]:
        """Ask for many predictions, a thousand to a request. Raises Refused or Unavailable."""
        return self._carry(talk.predict_many(instances, Route(deployment, deadline_s, explain)))

    def feedback(self, *outcomes: Outcome) -> Receipt:
        """Tell the truth now: what the receipt calls accepted is on disk. Raises Refused or Unavailable."""
        return self._carry(self._speaking(outcomes))

    def tell(
        self,
        prediction_id: str,
        outcome: Label,
        *,
        observed_at: datetime | None = None,
        metric: str | None = None,
        source: str | None = None,
    ) -> None:
        """Tell the truth together with other outcomes. Raises BufferFull or Refused.

        While the gateway is away, outcomes are kept and told later; they are lost with this process.
        """
        self._carry(self._telling(Outcome(prediction_id, outcome, observed_at, metric, source)))

    def flush(self) -> Receipt:
        """Tell all that waits, and say what became of all that was told since the last time. Raises as feedback."""
        return self._carry(self._flushing())

    def close(self) -> None:
        """Tell all that waits, then let go of the connections. Raises as feedback does."""
        try:
            self._carry(self._emptying())
        finally:
            self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, url: str, headers: dict[str, str], timeout_s: float, transport: httpx.BaseTransport | None) -> None:
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, transport=transport)

    def _carry(self, conversation: Talk[_Said]) -> _Said:
        try:
            call = next(conversation)
            while True:
                try:
                    heard = Retrying(**self._patience.policy())(self._post, call)
                except BaseException as error:  # noqa: BLE001 - the conversation knows what to do, and raises it again
                    call = conversation.throw(error)
                else:
                    call = conversation.send(heard)
        except StopIteration as end:
            said: _Said = end.value
            return said

    def _post(self, call: Call) -> Heard:
        try:
            return _heard(self._http.post(call.path, content=call.content, headers=call.headers))
        except _LOST as error:
            raise _gone(error) from error


class AsyncClient(Party[httpx.AsyncBaseTransport]):
    """A client for an event loop; its options are those of :class:`gateway.client.party.Party`."""

    async def predict(
        self,
        features: Mapping[str, Scalar] | None = None,
        *,
        entities: Mapping[str, Scalar] | None = None,
        deployment: str | None = None,
        routing_key: str | None = None,
        request_id: str | None = None,
        deadline_s: float | None = None,
        explain: bool = False,
    ) -> Prediction:
        """As :meth:`Client.predict`."""
        instance = Instance(features or {}, entities or {}, routing_key, request_id)
        return await self._carry(talk.predict(instance, Route(deployment, deadline_s, explain)))

    async def predict_many(
        self,
        instances: Sequence[Instance],
        *,
        deployment: str | None = None,
        deadline_s: float | None = None,
        explain: bool = False,
    ) -> list[Prediction]:
        """As :meth:`Client.predict_many`."""
        return await self._carry(talk.predict_many(instances, Route(deployment, deadline_s, explain)))

    async def feedback(self, *outcomes: Outcome) -> Receipt:
        """As :meth:`Client.feedback`."""
        return await self._carry(self._speaking(outcomes))

    async def tell(
        self,
        prediction_id: str,
        outcome: Label,
        *,
        observed_at: datetime | None = None,
        metric: str | None = None,
        source: str | None = None,
    ) -> None:
        """As :meth:`Client.tell`."""
        await self._carry(self._telling(Outcome(prediction_id, outcome, observed_at, metric, source)))

    async def flush(self) -> Receipt:
        """As :meth:`Client.flush`."""
        return await self._carry(self._flushing())

    async def close(self) -> None:
        """As :meth:`Client.close`."""
        try:
            await self._carry(self._emptying())
        finally:
            await self._http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _open(
        self, url: str, headers: dict[str, str], timeout_s: float, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout_s, transport=transport)

    async def _carry(self, conversation: Talk[_Said]) -> _Said:
        try:
            call = next(conversation)
            while True:
                try:
                    heard: Heard = await AsyncRetrying(**self._patience.policy())(self._post, call)
                except BaseException as error:  # noqa: BLE001 - the conversation knows what to do, and raises it again
                    call = conversation.throw(error)
                else:
                    call = conversation.send(heard)
        except StopIteration as end:
            said: _Said = end.value
            return said

    async def _post(self, call: Call) -> Heard:
        try:
            return _heard(await self._http.post(call.path, content=call.content, headers=call.headers))
        except _LOST as error:
            raise _gone(error) from error
