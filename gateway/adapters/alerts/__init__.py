"""Who is told when a rollout moves: the log, always; a list, in tests."""

from gateway.adapters.alerts.log import LogSink
from gateway.adapters.alerts.memory import MemorySink

__all__ = ["LogSink", "MemorySink"]
