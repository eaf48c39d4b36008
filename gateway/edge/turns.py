"""Plain predictions by the turn: what one turn of the event loop brings is asked, told and answered together.

This stands below ASGI: the server's protocol hands a request over once its body is whole (:class:`Knock`) and is given
the answer back, without a task, a scope or a channel for each. What it takes, refuses and counts is what the hot route
does, by the same functions. A request that came alone waits for nobody.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, Protocol, TypeAlias

import msgspec
from starlette.exceptions import HTTPException
from starlette.types import Scope

from gateway.core.access import Principal
from gateway.core.errors import GatewayError, Overloaded
from gateway.edge import problems
from gateway.edge.bodies import decode
from gateway.edge.http_metrics import Seen
from gateway.edge.lanes import AdaptiveLane
from gateway.edge.plain import ROUTE, TEMPLATE, UNCOMMON, length_of_plain
from gateway.edge.said import said
from gateway.passage import Company
from gateway.ports import Clock
from gateway.predict import Ask, Predict, Told

log = logging.getLogger(__name__)

AT_ONCE: Final = 32
"""So many requests are asked before the loop turns again: while the store answers for them the next are decoded."""
_ENCODER = msgspec.json.Encoder()

_UNCOMMON: Final = UNCOMMON | {b"x-forwarded-for", b"x-forwarded-proto"}
"""Also what uvicorn's middleware for proxies reads, for that works on scopes."""
Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


class Knock(Protocol):
    """One plain request, as the server's protocol heard it.

    ``began`` and ``arrived`` are machine seconds, ``received`` is the declared length of its body in bytes.
    """

    deployment: str | None
    principal: Principal
    raw: bytes
    received: int
    began: float
    arrived: float
    body: object

    def say(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer, if anybody still listens."""

    def say_json(self, body: bytes) -> None:
        """Answer well, in JSON."""

    def drop(self) -> None:
        """Hang up without an answer."""


class Turns:
    """Answers knocks. ``limit`` is the most bytes of a body, ``patience_s`` its time to come.

    ``answered`` is told of every answer, if anybody listens; ``tasks`` holds what is under way.
    """

    def __init__(
        self,
        predict: Predict,
        clock: Clock,
        lane: AdaptiveLane,
        admit: Callable[[Scope], Principal],
        limit: int,
        patience_s: float,
    ) -> None:
        self._predict, self._clock, self._lane, self._admit, self._limit = predict, clock, lane, admit, limit
        self.patience_s = patience_s
        self.answered: Callable[[Seen], None] | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self._waiting: list[Knock] = []

    def takes(self, headers: Headers) -> int | None:
        """How long the body is of a ``POST /predict`` that is plain enough to be answered here, else None."""
        return length_of_plain(headers, self._limit, _UNCOMMON)

    def admit(self, headers: Headers, client: tuple[str, int] | None) -> Principal:
        """Say who asks, if they may predict. Raises HTTPException."""
        return self._admit({"type": "http", "headers": headers, "client": client})

    def arrive(self, knock: Knock) -> None:
        """Take a request whose body is whole; it is asked in this turn of the loop."""
        knock.arrived = self._clock.machine()
        self._waiting.append(knock)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._turn)

    def refuse(self, knock: Knock, error: BaseException) -> None:
        """Tell a caller why there is no answer."""
        if not isinstance(error, Exception):  # the process ends: nothing that is said now would be true
            knock.drop()
            return
        if not isinstance(error, GatewayError | HTTPException):
            log.error("A prediction met a bug.", exc_info=error)
        response = problems.respond(error)
        knock.say(response.status_code, response.raw_headers, bytes(response.body))
        self._count(knock, response.status_code, len(response.body))

    def _turn(self) -> None:
        """Ask for what has come, in companies; each has a task of its own."""
        loop = asyncio.get_running_loop()
        knocks, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
        if self._waiting:
            loop.call_soon(self._turn)
        knocks = [knock for knock in knocks if self._enters(knock)]
        refused, companies = self._predict.sort(
            [Ask(knock.body, knock.arrived, knock.deployment, knock.principal.name) for knock in knocks]
        )
        for place, error in refused:
            self._leave(knocks[place], answered=False)
            self.refuse(knocks[place], error)
        for places, company in companies:
            task = loop.create_task(self._tell([knocks[place] for place in places], company))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def _enters(self, knock: Knock) -> bool:
        """Let a request in and read its body, or say why not."""
        try:
            self._lane.enter()
        except Overloaded as error:
            self.refuse(knock, error)
            return False
        try:
            knock.body = decode(knock.raw)
        except HTTPException as error:
            self._leave(knock, answered=False)
            self.refuse(knock, error)
            return False
        return True

    async def _tell(self, knocks: Sequence[Knock], company: Company) -> None:
        """Answer a company. All is said in one breath, so that whoever reads several answers is woken once."""
        ends: Sequence[Told]
        try:
            ends = await self._predict.tell(company)
        except BaseException as error:  # noqa: BLE001 - the last border before the server, as the hot route's is
            ends = [error] * len(knocks)
        spoken = [_spoken(knock, end) for knock, end in zip(knocks, ends, strict=True)]
        for knock, end, content in zip(knocks, ends, spoken, strict=True):
            if isinstance(end, BaseException):
                self._leave(knock, answered=False)
                self.refuse(knock, end)
            else:
                self._leave(knock, answered=True)
                knock.say_json(content)
                self._count(knock, 200, len(content))

    def _leave(self, knock: Knock, *, answered: bool) -> None:
        self._lane.leave(knock.arrived, self._clock.machine(), answered=answered)

    def _count(self, knock: Knock, status: int, sent: int) -> None:
        if self.answered is not None:
            handler = ROUTE if knock.deployment is None else TEMPLATE
            self.answered(Seen(handler, "POST", str(status), knock.received, sent, perf_counter() - knock.began))


def _spoken(knock: Knock, answers: Told) -> bytes:
    """Write down what a request is answered; nothing yet for one that has no answer."""
    if isinstance(answers, BaseException):
        return b""
    if isinstance(knock.body, dict) and "instances" in knock.body:
        return _ENCODER.encode({"predictions": [said(answer) for answer in answers]})
    return _ENCODER.encode(said(answers[0]))
