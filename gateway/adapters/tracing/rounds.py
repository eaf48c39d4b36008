"""What the agent does, as spans: a drain that moved something, a look that saw something, and every decision.

Rounds are sampled like requests that nobody decided on; a decision is always told, in a trace of its own that is linked
to the look it came from. A round that found nothing to do leaves no span.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import wraps
from time import time_ns
from typing import Any, Final, TypeVar, cast

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, Span, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from gateway import __version__
from gateway.adapters.store import Store
from gateway.adapters.tracing.closing import close
from gateway.core.events import Decision

_EVENTS: Final = frozenset({"append", "evidence", "pairs"})
_CONTROL: Final = frozenset({"write", "save_look"})
_Port = TypeVar("_Port")


@dataclass(slots=True)
class Round:
    """One round under way: its span, and what the store was asked meanwhile, each with when it had answered (ns)."""

    span: Span
    asked: list[tuple[Span, int]] = field(default_factory=list)
    kept: bool = False

    def tell(self, said: Mapping[str, AttributeValue]) -> None:
        """Say what the round did; without a word it is not kept."""
        self.kept = True
        self.span.set_attributes(said)

    def end(self) -> None:
        """Send the spans of a round that did something."""
        if self.kept:
            for span, answered in self.asked:
                span.end(answered)
            self.span.end()


_ROUND: Final[ContextVar[Round | None]] = ContextVar("gateway_round", default=None)
"""The round that runs here, if it is sampled."""


class AgentTraces:
    """The agent's spans; it is also a sink that hears of every decision."""

    def __init__(self, rounds: TracerProvider, decisions: TracerProvider) -> None:
        """``rounds`` samples drains and looks, ``decisions`` takes everything."""
        self._providers = (rounds, decisions)
        self._rounds = rounds.get_tracer("gateway", __version__)
        self._decisions = decisions.get_tracer("gateway", __version__)

    @contextmanager
    def round(self, name: str) -> Iterator[Round]:
        """One round of the agent's; what the store is asked meanwhile, on this thread, is a span under it."""
        around = Round(self._rounds.start_span(name, Context()))
        token = _ROUND.set(around if around.span.is_recording() else None)
        try:
            yield around
        except BaseException as error:
            around.tell({"error.type": type(error).__name__})
            raise
        finally:
            _ROUND.reset(token)
            around.end()

    def tell(self, decision: Decision) -> None:
        """Hear of a decision, on the thread that made it."""
        look = _ROUND.get()
        if look is not None:
            look.kept = True
        said: dict[str, AttributeValue] = {
            "gateway.deployment": decision.deployment,
            "gateway.revision": decision.revision,
            "gateway.action": decision.action,
            "gateway.candidate": decision.candidate or "",
        }
        links = [] if look is None else [Link(look.span.get_span_context())]
        self._decisions.start_span("decide", Context(), links=links, attributes=said).end()

    def store(self, store: Store) -> Store:
        """The store, whose reads and writes of a round are spans under it."""
        return replace(
            store,
            events=_traced(store.events, _EVENTS, self._rounds),
            control=_traced(store.control, _CONTROL, self._rounds),
            leading=_traced(store.leading, _CONTROL, self._rounds),
        )

    def close(self) -> None:
        """Send what is left, for two seconds at most. Blocks."""
        close(self._providers)


class _Traced:
    """Passes on everything to a part of the store; the methods named are spans while a round is under way."""

    def __init__(self, inner: object, names: Collection[str], tracer: Tracer) -> None:
        self._inner, self._names, self._tracer = inner, names, tracer

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        found = getattr(self._inner, name)
        return _spanned(found, f"store.{name}", self._tracer) if name in self._names else found


def _traced(inner: _Port, names: Collection[str], tracer: Tracer) -> _Port:
    return cast("_Port", _Traced(inner, names, tracer))


def _spanned(work: Callable[..., Any], name: str, tracer: Tracer) -> Callable[..., Any]:
    @wraps(work)
    def worked(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the port takes and gives
        around = _ROUND.get()
        if around is None:
            return work(*given, **named)
        span = tracer.start_span(name, set_span_in_context(around.span, Context()))
        try:
            return work(*given, **named)
        finally:
            around.asked.append((span, time_ns()))

    return worked
