"""An application and an operator, as HTTP clients of the two doors."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=600)
_KEPT_S = 2.0
"""How long an idle connection is used again: for less than the doors keep it open."""
_PATIENCE = 20
"""How often a caller asks again who was told to come back."""


class UnexpectedAnswer(RuntimeError):
    """The gateway answered something the story does not allow for."""

    def __init__(self, doing: str, status: int, body: str) -> None:
        super().__init__(f"{doing}: HTTP {status}: {body[:500]}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller got back for one flight; ``fallback``: stable stood in for a candidate that failed."""

    prediction_id: str
    variant: str
    prediction: int
    fallback: bool
    degraded: bool


def timestamp(at: float) -> str:
    """Write data time (seconds) as RFC 3339."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


class Gateway:
    """Both doors of one gateway, over kept-alive connections."""

    def __init__(self, data: str, control: str, deployment: str, connections: int = 16) -> None:
        self._data, self._control, self._deployment = data, control, deployment
        self._connections = connections

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=_KEPT_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def predict(self, entities: dict[str, Any], features: dict[str, Any], at: float) -> Answer:
        """Ask for one prediction at data time ``at``. Raises UnexpectedAnswer for anything but 200.

        A worker that says it has enough to do is asked again when it says to, as any client should.
        """
        body = {"entities": entities, "features": features}
        headers = {"X-Event-Time": timestamp(at)}
        for _ in range(_PATIENCE):
            async with self._session.post(f"{self._data}/predict", json=body, headers=headers) as response:
                if response.status == 200:
                    answer = await response.json()
                    break
                refused = UnexpectedAnswer("POST /predict", response.status, await response.text())
                wait_s = response.headers.get("Retry-After")
            if response.status != 503 or wait_s is None:
                raise refused
            await asyncio.sleep(float(wait_s))
        else:
            raise refused
        return Answer(
            answer["prediction_id"],
            answer["variant"],
            answer["prediction"],
            answer.get("fallback", False),
            bool(answer["degraded"]),
        )

    async def feedback(self, items: Sequence[dict[str, Any]]) -> int:
        """Post outcomes; returns how many were accepted."""
        async with self._session.post(f"{self._data}/feedback", json={"items": list(items)}) as response:
            if response.status != 202:
                raise UnexpectedAnswer("POST /feedback", response.status, await response.text())
            return int((await response.json())["accepted"])

    async def ready(self) -> bool:
        """Whether both doors say they are ready for work."""
        try:
            async with (
                self._session.get(f"{self._data}/readyz") as data,
                self._session.get(f"{self._control}/readyz") as control,
            ):
                return bool(data.status == 200 and control.status == 200)
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def get(self, path: str, **query: Any) -> Any:
        """Read from the control plane, below the deployment."""
        url = f"{self._control}/admin/deployments/{self._deployment}{path}"
        async with self._session.get(url, params=query) as response:
            if response.status != 200:
                raise UnexpectedAnswer(f"GET {path}", response.status, await response.text())
            return await response.json()

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """Tell the control plane something, below the deployment."""
        url = f"{self._control}/admin/deployments/{self._deployment}{path}"
        async with self._session.post(url, json=body) as response:
            if response.status >= 300:
                raise UnexpectedAnswer(f"POST {path}", response.status, await response.text())
            return await response.json()

    async def prediction(self, prediction_id: str) -> Any:
        """Read one prediction with what its shadows said, and its outcome."""
        async with self._session.get(f"{self._control}/admin/predictions/{prediction_id}") as response:
            if response.status != 200:
                raise UnexpectedAnswer("GET /admin/predictions", response.status, await response.text())
            return await response.json()

    async def ledger(self, settle_s: float = 5.0) -> Any:
        """Read the books after the spools have been drained."""
        async with self._session.get(f"{self._control}/admin/ledger", params={"settle_s": settle_s}) as response:
            return await response.json()

    async def metrics(self) -> str:
        """Read what Prometheus would."""
        async with self._session.get(f"{self._control}/metrics") as response:
            return str(await response.text())
