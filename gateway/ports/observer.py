"""The port of those who count what happened: metrics."""

from typing import Protocol

from gateway.core.events import OutcomeRecord, PredictionRecord, ShadowRecord
from gateway.core.routing import RoutingTable


class Observer(Protocol):
    """Somebody who counts what happened (metrics). Told after the fact; never raises, never waits."""

    def predicted(self, record: PredictionRecord, table: RoutingTable, logged: bool) -> None:
        """A routed request ended, well or not (``record.status``). ``logged`` False: the spool did not take it."""

    def shadowed(self, record: ShadowRecord, logged: bool) -> None:
        """A shadow scored, failed or was dropped. ``logged`` False: the spool did not take the record."""

    def outcome(self, record: OutcomeRecord, deployment: str) -> None:
        """An outcome is on disk. ``deployment`` is "" when this worker has no table for it."""

    def rejected(self, reason: str, count: int) -> None:
        """So many outcomes were not taken: ``forged`` ids, or a ``label`` that their deployment does not declare."""


class Unobserved:
    """An observer who looks away."""

    def predicted(self, record: PredictionRecord, table: RoutingTable, logged: bool) -> None:
        """Count nothing."""

    def shadowed(self, record: ShadowRecord, logged: bool) -> None:
        """Count nothing."""

    def outcome(self, record: OutcomeRecord, deployment: str) -> None:
        """Count nothing."""

    def rejected(self, reason: str, count: int) -> None:
        """Count nothing."""
