"""The ports of features: who reads them, and who knows the repository they are declared in."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.core.deployments import Scalar
from gateway.core.features import FeatureBatch, FeaturePlan


class FeatureSource(Protocol):
    """Reads a plan's features for some rows in one go."""

    async def read(self, plan: FeaturePlan, rows: Sequence[Mapping[str, Scalar]], budget_s: float) -> FeatureBatch:
        """Deliver what the store holds for each row's entity keys within ``budget_s`` machine seconds.

        Never raises for a store that is slow or down: those rows come back UNAVAILABLE.
        """

    async def close(self) -> None:
        """Let go of connections."""


class PlanCompiler(Protocol):
    """Knows the feature repository; used by the agent only."""

    def compile(self, services: Sequence[str]) -> FeaturePlan:
        """Compile the union of ``services``. Raises PlanImpossible. May be slow; never on a request path."""
