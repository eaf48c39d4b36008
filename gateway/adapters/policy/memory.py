"""A policy in a test's own words."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.core.policy import Ruling


class MemoryGate:
    """Says what a function says, and remembers what it was asked."""

    def __init__(self, deny: Callable[[Mapping[str, Any]], Sequence[str]]) -> None:
        self._deny = deny
        self.asked: list[Mapping[str, Any]] = []

    def rule(self, question: Mapping[str, Any]) -> Ruling:
        """Answer at once."""
        self.asked.append(question)
        return Ruling(tuple(self._deny(question)), "memory")
