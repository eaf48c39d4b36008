"""Traces: where they go, and how ports are traced without the stories knowing. Needs the extra ``tracing``.

Nothing here is imported, and nothing stands on the request path, unless the settings say where traces go.
"""

from gateway.adapters.tracing.otel import Tracing, open_agent_traces, open_tracing
from gateway.adapters.tracing.rounds import AgentTraces
from gateway.adapters.tracing.shadows import TracedShadowLane

__all__ = ["AgentTraces", "TracedShadowLane", "Tracing", "open_agent_traces", "open_tracing"]
