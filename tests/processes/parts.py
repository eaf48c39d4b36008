"""Small real values for tests of processes: cards, parts, tables, and a shelf of models that need no disk."""

from dataclasses import dataclass, field
from typing import Any

from gateway.core.deployments import ModelCard, ServingRules, Task
from gateway.core.routing import Candidate, Part, RoutingTable


def card(version: str, service: str | None = None) -> ModelCard:
    """A card whose digest is its version."""
    return ModelCard("m", version, f"models:/m/{version}", f"d{version}", "memory", "", (), Task.BINARY, (), service)


def part(name: str, version: str) -> Part:
    """A part whose generation is its version."""
    return Part(name, f"g{version}", card(version))


def table(
    revision: int, stable: str = "1", canary: str | None = None, weight: float = 0.1, **said: Any
) -> RoutingTable:
    """A table of one deployment, with a candidate where one is named."""
    candidates = (Candidate(part("canary", canary), "salt", weight),) if canary else ()
    deployment = said.pop("deployment", "churn")
    return RoutingTable(deployment, f"tag-{deployment}", revision, part("stable", stable), candidates, **said)


def default_rules() -> ServingRules:
    """Rules of the deployment that is the default one."""
    return ServingRules(default=True)


@dataclass
class Held:
    """What runs models, as the tables see it: digests that are loaded, names of parts that are refused."""

    digests: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)

    def loaded(self, digest: str) -> bool:
        """Whether it is loaded."""
        return digest in self.digests

    def refused(self, part: Part) -> bool:
        """Whether it gets no calls."""
        return part.name in self.refusing
