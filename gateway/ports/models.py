"""The ports of models: what one answers, who runs it, and where its artifacts come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.deployments import ModelCard, Scalar, Task
from gateway.core.routing import Part


@dataclass(frozen=True, slots=True)
class Output:
    """A model's answer for one row: a label or number, and for classifiers the probabilities."""

    label: Scalar
    score: float | None = None
    scores: dict[str, float] | None = None


class Model(Protocol):
    """A loaded model. ``predict`` may block and may raise anything; whoever calls it runs it in a pool."""

    @property
    def card(self) -> ModelCard:
        """What it is, takes and gives."""

    def predict(self, rows: Sequence[Sequence[Scalar]]) -> list[Output]:
        """Answer rows whose values stand in the order of ``card.inputs``. Raises ModelFailed for a non-answer."""


class Runner(Protocol):
    """Runs loaded models in bounded pools, one per variant, so that none can hurt another or the event loop."""

    def loaded(self, digest: str) -> bool:
        """Whether a model is loaded and warm on this worker."""

    async def predict(self, part: Part, rows: Sequence[Sequence[Scalar]], deadline_s: float) -> list[Output]:
        """Answer rows within ``deadline_s`` machine seconds.

        Raises ModelFailed, DeadlinePassed, NoModelReady or Overloaded; the latter two before the model ran. The pool
        belongs to the part's name: ``stable`` has its own, so has each candidate and each shadow.
        """


@dataclass(frozen=True, slots=True)
class Artifact:
    """A fetched artifact before preparation: what the registry knows of it. ``path`` is relative to the folder."""

    name: str
    version: str
    uri: str
    flavour: str
    path: str
    feature_service: str | None = None
    task: Task | None = None


class ModelStore(Protocol):
    """A registry of model artifacts; used by the agent only."""

    def resolve(self, uri: str) -> str:
        """Pin ``uri`` (a version, an alias, a path) to one that cannot move. Raises ModelUnusable."""

    def fetch(self, pinned: str, into: str) -> Artifact:
        """Download the artifact into the folder ``into`` and say what it is. Raises ModelUnusable."""
