"""The port of a model registry's pointers and notes: aliases, tags, versions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version of a registered model, as people see it. ``created_at`` is wall time in seconds, where known."""

    version: str
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: float | None = None


class Registry(Protocol):
    """A registry's pointers and notes, apart from its artifacts; used by the agent and by commands only.

    Everything may block, raises RegistryUnavailable when the registry cannot be reached and ModelUnusable when it has
    no such model. Every change may be made again without harm.
    """

    def aliases(self, model: str) -> Mapping[str, str]:
        """The aliases of a registered model: which version each points at."""

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias at a version."""

    def clear_alias(self, model: str, alias: str) -> None:
        """Take an alias away; one that is not there is fine."""

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Write tags to a version, over those of the same names."""

    def versions(self, model: str) -> list[RegisteredVersion]:
        """Every version of a registered model, the latest first."""
