"""The ports of routing: a worker's tables, and flags that may name who answers."""

from collections.abc import Mapping
from typing import Protocol

from gateway.core.deployments import Scalar
from gateway.core.routing import RoutingTable


class Routing(Protocol):
    """A worker's view of who answers: tables that the agent pushed, and what may take traffic here and now."""

    def table(self, deployment: str | None) -> RoutingTable:
        """The table in force for a deployment (None: the default one). Raises UnknownDeployment, NoModelReady."""

    def table_by_tag(self, tag: str) -> RoutingTable | None:
        """The table whose deployment an id's tag stands for."""

    def able(self, table: RoutingTable) -> frozenset[str]:
        """Names of candidates that may take traffic: lease in force, model loaded, not refused on this worker."""


class Flags(Protocol):
    """Flags that may name who answers, evaluated in this process."""

    def variant(self, flag: str, key: str, attributes: Mapping[str, Scalar]) -> str | None:
        """The variant that a flag names for a routing key, or None. Never raises and never waits."""
