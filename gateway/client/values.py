"""What is said to a gateway and what it answers, as values. Members the client does not know are skipped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

Scalar: TypeAlias = bool | int | float | str | None
Label: TypeAlias = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Instance:
    """One request for one prediction. Without a ``request_id`` the client makes one, so that a retry is the same."""

    features: Mapping[str, Scalar] = field(default_factory=dict)
    entities: Mapping[str, Scalar] = field(default_factory=dict)
    routing_key: str | None = None
    request_id: str | None = None


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. ``variant`` and ``model_version`` are None where the deployment is blind.

    ``score`` is the positive class's probability (binary classifiers), ``scores`` each class's (multi-class ones).
    """

    prediction_id: str
    deployment: str
    prediction: bool | int | float | str | None
    degraded: tuple[str, ...] = ()
    logged: bool = True
    score: float | None = None
    scores: dict[str, float] | None = None
    variant: str | None = None
    model_version: str | None = None
    fallback: bool = False
    explain: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The truth about one prediction. Without ``observed_at`` it is stamped when it is handed to the client."""

    prediction_id: str
    outcome: Label
    observed_at: datetime | None = None
    metric: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a time without its zone."""
        if self.observed_at is not None and self.observed_at.tzinfo is None:
            raise ValueError("observed_at needs its zone, as in datetime.now(UTC)")


@dataclass(frozen=True, slots=True)
class Rejection:
    """An outcome that will never be taken, and why."""

    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of some outcomes: ``accepted`` are on the gateway's disk.

    >>> Receipt(2) + Receipt(3)
    Receipt(accepted=5, rejected=())
    """

    accepted: int = 0
    rejected: tuple[Rejection, ...] = ()

    def __add__(self, other: "Receipt") -> "Receipt":
        return Receipt(self.accepted + other.accepted, self.rejected + other.rejected)


class Place(msgspec.Struct, frozen=True):
    """One place of a body that does not fit, such as ``/features/distance``."""

    pointer: str
    detail: str
