"""OpenTelemetry: spans go to an OTLP collector from a thread of its own, which loses them rather than wait."""

import os
import socket
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway import __version__
from gateway.adapters.tracing.closing import close
from gateway.adapters.tracing.passages import PASSAGE, Passage
from gateway.adapters.tracing.ports import TracedFeatures, TracedRouting, TracedRunner, TracedSpool
from gateway.adapters.tracing.rounds import AgentTraces
from gateway.adapters.tracing.shadows import ShadowSpans
from gateway.ports import FeatureSource, Observer, Routing, Runner, Spool

_CONTEXT: Final = TraceContextTextMapPropagator()


class Tracing:
    """One process's traces."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("gateway", __version__)

    def arrive(self, name: str, carrier: dict[str, str], attributes: dict[str, str]) -> tuple[Passage | None, str]:
        """Begin a request under the trace its caller names in ``carrier``, if any.

        Returns its passage (None: not sampled) and what to answer in ``traceresponse``.
        """
        parent = _CONTEXT.extract(carrier)
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes)
        passage = Passage(self._tracer, span) if span.is_recording() else None
        return passage, _said(span.get_span_context())

    def trace_id(self) -> str | None:
        """The trace of the request that runs here, if it is sampled."""
        passage = PASSAGE.get()
        return None if passage is None else f"{passage.whole.get_span_context().trace_id:032x}"

    def routing(self, inner: Routing) -> TracedRouting:
        """The port, traced."""
        return TracedRouting(inner)

    def features(self, inner: FeatureSource) -> TracedFeatures:
        """The port, traced."""
        return TracedFeatures(inner)

    def runner(self, inner: Runner) -> TracedRunner:
        """The port, traced."""
        return TracedRunner(inner)

    def spool(self, inner: Spool) -> TracedSpool:
        """The port, traced."""
        return TracedSpool(inner)

    def shadows(self, observer: Observer) -> ShadowSpans:
        """Spans of shadows' runs, by an observer of their records around ``observer``."""
        return ShadowSpans(self._tracer, observer)

    def close(self) -> None:
        """Send what is left, for two seconds at most. Blocks."""
        close([self._provider])


def open_tracing(url: str, share: float, worker: int) -> Tracing:
    """Send spans to the OTLP/HTTP address ``url``: of traces whose caller sampled them, and of a ``share`` of the rest.

    What else OpenTelemetry knows (``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_RESOURCE_ATTRIBUTES`` ...) holds too.
    """
    return Tracing(_provider(url, ParentBased(TraceIdRatioBased(share)), f"worker-{worker}"))


def open_agent_traces(url: str, share: float) -> AgentTraces:
    """Send the agent's spans there: of a ``share`` of its rounds, and of every decision."""
    return AgentTraces(_provider(url, TraceIdRatioBased(share), "agent"), _provider(url, ALWAYS_ON, "agent"))


def _provider(url: str, sampler: Sampler, process: str) -> TracerProvider:
    own = {"service.name": "gateway", "service.version": __version__, "service.instance.id": _instance(process)}
    named = {} if "OTEL_SERVICE_NAME" not in os.environ else {"service.name": os.environ["OTEL_SERVICE_NAME"]}
    provider = TracerProvider(sampler, Resource.create({**own, **named}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url, timeout=5)))
    return provider


def _instance(process: str) -> str:
    return f"{socket.gethostname()}/{process}/{os.getpid()}"


def _said(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
