"""A shadow's run as a span in the trace of the request that it watched, which has its answer by then."""

from collections.abc import Callable
from time import time_ns
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from gateway.adapters.tracing.passages import PASSAGE
from gateway.core.events import OutcomeRecord, PredictionRecord, ShadowRecord
from gateway.core.routing import RoutingTable
from gateway.ports import Clock, Marks, Observer, Runner, Spool
from gateway.shadow import Invitation, ShadowLane

_NS: Final = 1_000_000_000


class ShadowSpans:
    """An observer that makes a span of each shadow's record, by what the invitation's request was traced as."""

    def __init__(self, tracer: Tracer, inner: Observer) -> None:
        self._tracer, self._inner = tracer, inner
        self._invited: dict[tuple[str, str, str], tuple[Context, str]] = {}

    def invited(self, invitation: Invitation) -> None:
        """Remember under which request a shadow was asked, if that is sampled. Every invitation ends as one record."""
        passage = PASSAGE.get()
        if passage is not None:
            key = (invitation.tag, invitation.body, invitation.part.generation)
            self._invited[key] = (passage.context, invitation.part.model.version)

    def shadowed(self, record: ShadowRecord, logged: bool) -> None:
        """As the port."""
        self._inner.shadowed(record, logged)
        known = self._invited.pop((record.tag, record.body, record.generation), None)
        if known is None:
            return
        context, version = known
        ended = time_ns()
        said: dict[str, AttributeValue] = {
            "gateway.deployment": record.deployment,
            "gateway.prediction": f"{record.tag}.{record.body}",
            "gateway.variant": record.name,
            "gateway.model_version": version,
        }
        if record.dropped is not None:
            said["gateway.dropped"] = record.dropped
        if record.error is not None:
            said["error.type"] = record.error
        span = self._tracer.start_span(
            "shadow", context, attributes=said, start_time=ended - int(record.latency_s * _NS)
        )
        if record.error is not None:
            span.set_status(StatusCode.ERROR)
        span.end(ended)

    def predicted(self, record: PredictionRecord, table: RoutingTable, logged: bool) -> None:
        """As the port."""
        self._inner.predicted(record, table, logged)

    def outcome(self, record: OutcomeRecord, deployment: str) -> None:
        """As the port."""
        self._inner.outcome(record, deployment)

    def rejected(self, reason: str, count: int) -> None:
        """As the port."""
        self._inner.rejected(reason, count)


class TracedShadowLane(ShadowLane):
    """The lane, which tells ``spans`` of every invitation before it takes or drops it."""

    def __init__(
        self,
        spans: ShadowSpans,
        runner: Runner,
        spool: Spool,
        clock: Clock,
        *,
        marks: Marks | None = None,
        together: Callable[[str], int] = lambda _digest: 1,
    ) -> None:
        super().__init__(runner, spool, clock, marks=marks, observer=spans, together=together)
        self._spans = spans

    def offer(self, invitation: Invitation, crowded: bool = False) -> None:
        """As the lane."""
        self._spans.invited(invitation)
        super().offer(invitation, crowded)
