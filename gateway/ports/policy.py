"""The port of a policy: what an organisation asks of a model before it may rise."""

from collections.abc import Mapping
from typing import Any, Protocol

from gateway.core.policy import Ruling


class PolicyGate(Protocol):
    """A policy that is asked before a rollout or a promotion."""

    def rule(self, question: Mapping[str, Any]) -> Ruling:
        """What it says of plain data. Raises PolicyPending rather than wait, OutboundRefused without an answer."""
