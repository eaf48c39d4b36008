"""The port of whoever trains a model again, and what they are told."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Order:
    """What a retraining target is told. ``cause`` is a sentence, ``attempt`` counts calls of this run from 1.

    ``export`` is where the joined log lies as Parquet, ``callback`` the URL to which a server says how the run ended
    (both may be empty). The same ``run_id`` twice is the same run: a call may be made again after a crash.
    """

    run_id: str
    deployment: str
    trigger: str
    cause: str
    attempt: int = 1
    export: str = ""
    callback: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """A target's good answer. ``ended``: the run is over; else it goes on, and the target says later how it ended."""

    ended: bool
    said: str = ""
    link: str = ""


class RetrainingTarget(Protocol):
    """Whoever trains a model again. One object per call."""

    def call(self, order: Order) -> Taken:
        """Hand the order over; a command runs until it ends. Blocks. Raises TargetFailed."""

    def close(self) -> None:
        """Stop what runs here. Called from another thread; :meth:`call` then raises TargetFailed."""
