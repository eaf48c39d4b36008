"""Who is told when something moves or is wrong: the log, always; people, through apprise; a list, in tests."""

from gateway.adapters.alerts.apprise import AppriseAnnouncer
from gateway.adapters.alerts.decisions import DecisionSink
from gateway.adapters.alerts.log import LogAnnouncer, LogSink
from gateway.adapters.alerts.memory import MemoryAnnouncer, MemorySink

__all__ = ["AppriseAnnouncer", "DecisionSink", "LogAnnouncer", "LogSink", "MemoryAnnouncer", "MemorySink"]
