"""What the operators' door leads to, and what its routes ask of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request, Response

from gateway.control import Control
from gateway.core.deployments import DeploymentSpec, ModelCard
from gateway.core.drift.report import DriftReport
from gateway.core.features import FeaturePlan
from gateway.core.gates import GateResult
from gateway.core.ids import SigningKeys
from gateway.edge.control_report import MakeReport
from gateway.edge.locks import Locks, principal_of
from gateway.edge.run import Run
from gateway.ports import Clock, ControlState, EventLog
from gateway.retraining import Runs


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model made ready to serve, and the feature plan that covers it and everything its deployment runs."""

    model: ModelCard
    features: FeaturePlan


@dataclass(frozen=True, slots=True)
class Spooled:
    """What a host has acknowledged and not yet drained, at ``as_of`` (wall seconds)."""

    host: str
    as_of: float
    predictions: int
    outcomes: int
    shadows: int


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What the door leads to. The agent gives it; tests give it memory."""

    control: Control
    state: ControlState
    log: EventLog
    clock: Clock
    run: Run
    prepare: Callable[[str, str], Awaitable[Prepared]]
    """(deployment, model URI) -> a prepared model. Slow; raises ModelUnusable, PlanImpossible."""
    vet: Callable[[str, Prepared], Awaitable[Sequence[GateResult]]]
    """(deployment, prepared) -> what each gate found. Slow; raises ModelUnusable where the model cannot even run."""
    features: Callable[[str], FeaturePlan]
    """The compiled plan in force for a deployment."""
    drift: Callable[[str], DriftReport]
    """What is known of a deployment's drift; blocks. Raises UnknownDeployment."""
    report: MakeReport
    """A drift report as a page of HTML."""
    runs: Runs
    settle: Callable[[float], Awaitable[Sequence[Spooled]]]
    """Drain for at most so many seconds (0: not at all), then say what is left."""
    keys: Callable[[], SigningKeys]
    metrics: Callable[[], Response]
    """This host's metrics as Prometheus reads them; may block, so it runs on a thread of its own."""
    unready: Callable[[], str | None]
    """Why the control plane cannot do its work, or None."""
    declared: Mapping[str, DeploymentSpec] = field(default_factory=dict)
    """What the configuration of this host says, to compare with what is in force."""
    hosts: frozenset[str] = frozenset()
    preparing: Callable[[str], Sequence[str]] = lambda _: ()
    """The models being prepared for a deployment on this host."""
    locks: Locks | None = None


def _plane(request: Request) -> ControlPlane:
    plane: ControlPlane = request.app.state.plane
    return plane


def _who(request: Request) -> str:
    return principal_of(request.scope).name


Plane = Annotated[ControlPlane, Depends(_plane)]
Who = Annotated[str, Depends(_who)]
"""The name of whoever asks, for the timeline."""
