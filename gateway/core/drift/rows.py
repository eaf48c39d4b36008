"""One logged request as drift sees it: what it was asked with, who answered what, and what turned out to be true."""

from dataclasses import dataclass

from gateway.core.deployments import Scalar


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """One routed request. ``values`` and ``statuses`` follow ``names``; ``at`` is data time in seconds.

    ``generation`` is that of the arm that was drawn and ``failed`` charges it; ``label``, ``score`` and ``scores`` are
    its answer when it did not fail. ``truth`` is the label that counts now, None before it came.
    """

    at: float
    body: str
    generation: str
    failed: bool
    names: tuple[str, ...]
    values: tuple[Scalar, ...]
    statuses: bytes
    label: Scalar = None
    score: float | None = None
    scores: dict[str, float] | None = None
    truth: Scalar = None
