"""What the registry still has to be told: kept in the control document, in the same transaction as the decision.

Carrying an entry out twice does no harm, so it stays until somebody says that it was carried out. Values only; which
decision leaves which entry is :mod:`gateway.core.aliases`' business.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

MOST_WAITING = 64
"""So many entries wait at most; the oldest go first. A champion that was overtaken need not be announced."""
_LONGEST_TAG = 500
"""Characters of a tag that every MLflow store takes."""


class Ending(StrEnum):
    """How a version's candidacy ended."""

    PROMOTED = "promoted"
    DEMOTED = "demoted"
    REPLACED = "replaced"
    """Its alias moved on, or was taken away, before there was a decision."""
    REFUSED = "refused"
    """It never got traffic: it could not be prepared, or did not pass the gate."""
    RESTORED = "restored"
    """A rollback made it stable again."""


CROWNED = frozenset({Ending.PROMOTED, Ending.RESTORED})


@dataclass(frozen=True, slots=True)
class WriteBack:
    """One thing the registry has to be told. ``at`` is wall time, ``data_at`` data time, both in seconds.

    ``rule`` is who or what decided: the judge under a plan, or a person.
    """

    id: str
    ending: Ending
    model: str
    version: str
    at: float
    data_at: float
    revision: int
    rule: str
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def crowns(self) -> bool:
        """Whether ``champion`` has to point at this version."""
        return self.ending in CROWNED

    def tags(self, deployment: str) -> Mapping[str, str]:
        """The decision as tags of the model version: what, when, by which rule, why, from what evidence."""
        said = {
            "decision": self.ending.value,
            "decided_at": _calendar(self.at),
            "data_time": _calendar(self.data_at),
            "rule": self.rule,
            "reason": self.reason,
            "revision": str(self.revision),
            "evidence": json.dumps(self.evidence, separators=(",", ":"), sort_keys=True),
        }
        return {f"gateway.{deployment}.{name}": _cut(value) for name, value in said.items()}


def _calendar(at: float) -> str:
    return datetime.fromtimestamp(max(at, 0.0), UTC).isoformat(timespec="seconds")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TAG else text[: _LONGEST_TAG - 1] + "…"
