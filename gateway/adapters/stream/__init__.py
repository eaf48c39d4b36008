"""Streams: a broker that is told of events, and that tells outcomes."""

from gateway.adapters.stream.memory import MemorySink, MemorySource

__all__ = ["MemorySink", "MemorySource"]
