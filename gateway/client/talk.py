"""What the client says and how it reads the answers, without any network: both clients drive it.

A conversation is a generator: it yields a :class:`Call`, is sent the :class:`Heard` answer, and returns its result.

A retry is safe because it is the same request to the letter: a prediction carries a ``request_id``, which makes its id,
and an outcome its ``observed_at``, by which the gateway knows that it heard it before and what came later.
"""

import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from tenacity import RetryCallState, retry_if_exception_type, stop_before_delay, wait_random_exponential

from gateway.client.errors import Refused, Unavailable
from gateway.client.values import Instance, Outcome, Place, Prediction, Receipt, Rejection

MAX_INSTANCES = 1_000
MAX_ITEMS = 10_000
_AGAIN = frozenset({429, 502, 503})
_TOO_LARGE = 413
_Said = TypeVar("_Said")


@dataclass(frozen=True, slots=True)
class Call:
    """One ``POST``: where to, with which body and headers."""

    path: str
    content: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Heard:
    """The answer to a call."""

    status: int
    content: bytes


Talk = Generator[Call, Heard, _Said]


@dataclass(frozen=True, slots=True)
class Route:
    """Where predictions are asked for and how. ``deadline_s`` bounds the gateway's own time, in seconds."""

    deployment: str | None = None
    deadline_s: float | None = None
    explain: bool = False

    @property
    def path(self) -> str:
        """The route's path."""
        return "/predict" if self.deployment is None else f"/predict/{quote(self.deployment, safe='')}"

    @property
    def headers(self) -> dict[str, str]:
        """What is asked of it beside the prediction."""
        bound = {} if self.deadline_s is None else {"X-Deadline-Ms": f"{1000 * self.deadline_s:.3f}"}
        return {**bound, "X-Explain": "1"} if self.explain else bound


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is tried again: ``within_s`` seconds in all, pauses growing from ``first_s`` to ``longest_s``.

    What the gateway says in ``Retry-After`` is kept to, unless that would take too long.
    """

    within_s: float = 10.0
    first_s: float = 0.05
    longest_s: float = 2.0

    def policy(self) -> dict[str, Any]:
        """Say the same to tenacity."""
        pause = wait_random_exponential(multiplier=self.first_s, max=self.longest_s)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.retry_after_s if isinstance(error, Unavailable) else 0.0
            return max(asked, pause(state))

        return {
            "stop": stop_before_delay(self.within_s),
            "wait": wait,
            "retry": retry_if_exception_type(Unavailable),
            "reraise": True,
        }


def predict(instance: Instance, route: Route) -> Talk[Prediction]:
    """Ask for one prediction, which the gateway answers faster than a batch of one."""
    heard = yield Call(route.path, msgspec.json.encode(_instance(instance)), route.headers)
    return msgspec.json.decode(_fine(heard), type=Prediction)


def predict_many(instances: Sequence[Instance], route: Route) -> Talk[list[Prediction]]:
    """Ask for predictions, at most a thousand at a time. Returns them in order."""
    found: list[Prediction] = []
    for some in _chunks(instances, MAX_INSTANCES):
        body = {"instances": [_instance(each) for each in some]}
        heard = yield Call(route.path, msgspec.json.encode(body), route.headers)
        found += msgspec.json.decode(_fine(heard), type=_Predictions).predictions
    return found


def feedback(outcomes: Sequence[Outcome]) -> Talk[Receipt]:
    """Tell the truth about predictions, at most ten thousand at a time.

    An outcome of the wrong shape spoils the request it is in; it is rejected here and the others are sent again.
    """
    receipt = Receipt()
    for some in _chunks(outcomes, MAX_ITEMS):
        left = list(some)
        while left:
            heard = yield Call("/feedback", msgspec.json.encode({"items": [_outcome(each) for each in left]}), {})
            misshapen = _misshapen(heard, left)
            if heard.status == _TOO_LARGE and len(left) > 1:
                half = len(left) // 2
                receipt += (yield from feedback(left[:half])) + (yield from feedback(left[half:]))
                break
            if not misshapen:
                receipt += _receipt(heard, left)
                break
            receipt += Receipt(0, tuple(misshapen.values()))
            left = [each for index, each in enumerate(left) if index not in misshapen]
    return receipt


def stamped(outcome: Outcome, now: Callable[[], datetime]) -> Outcome:
    """The outcome with its time: a retry, or a correction made meanwhile, must not be taken for news."""
    return outcome if outcome.observed_at is not None else replace(outcome, observed_at=now())


def hear(status: int, content: bytes, retry_after: str | None) -> Heard:
    """Take an answer, or raise Unavailable where the gateway asks for patience."""
    if status in _AGAIN:
        asked = float(retry_after) if retry_after is not None and retry_after.isdigit() else 0.0
        raise Unavailable(f"The gateway asks for patience: {_problem(status, content).detail}", status, asked)
    return Heard(status, content)


class _Predictions(msgspec.Struct):
    predictions: list[Prediction]


class _Problem(msgspec.Struct):
    type: str = "http-error"
    detail: str = ""
    errors: tuple[Place, ...] = ()


class _Rejected(msgspec.Struct):
    index: int
    detail: str


class _Received(msgspec.Struct):
    accepted: int
    rejected: tuple[_Rejected, ...] = ()


def _fine(heard: Heard) -> bytes:
    if heard.status >= 300:
        problem = _problem(heard.status, heard.content)
        raise Refused(heard.status, problem.type, problem.detail, problem.errors)
    return heard.content


def _problem(status: int, content: bytes) -> _Problem:
    try:
        return msgspec.json.decode(content, type=_Problem)
    except msgspec.DecodeError:  # a proxy answered
        return _Problem(detail=f"Something between here and the gateway answered {status}.")


def _receipt(heard: Heard, told: Sequence[Outcome]) -> Receipt:
    nothing = heard.status == 422 and _problem(heard.status, heard.content).type == "nothing-accepted"
    received = msgspec.json.decode(heard.content if nothing else _fine(heard), type=_Received)
    return Receipt(received.accepted, tuple(Rejection(told[each.index], each.detail) for each in received.rejected))


def _misshapen(heard: Heard, told: Sequence[Outcome]) -> dict[int, Rejection]:
    """The outcomes whose shape the gateway complains of, by their place; nothing was taken then."""
    if heard.status != 422:
        return {}
    found: dict[int, Rejection] = {}
    for place in _problem(heard.status, heard.content).errors:
        _, _, rest = place.pointer.partition("/items/")
        index = rest.partition("/")[0]
        if index.isdigit() and int(index) < len(told):
            found.setdefault(int(index), Rejection(told[int(index)], place.detail))
    return found


def _instance(instance: Instance) -> dict[str, object]:
    said: dict[str, object] = {"features": dict(instance.features), "entities": dict(instance.entities)}
    if instance.routing_key is not None:
        said["routing_key"] = instance.routing_key
    said["request_id"] = instance.request_id or uuid.uuid4().hex
    return said


def _outcome(outcome: Outcome) -> dict[str, object]:
    said = {name: getattr(outcome, name) for name in ("prediction_id", "outcome", "observed_at", "metric", "source")}
    return {name: value for name, value in said.items() if value is not None}


def _chunks(items: Sequence[_Said], most: int) -> Iterator[Sequence[_Said]]:
    return (items[at : at + most] for at in range(0, len(items), most))
