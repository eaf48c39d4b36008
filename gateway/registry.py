"""The story of an alias: what the registry asks for is tried, and what became of it is written back there.

Each change is one compare-and-set of the control document, and what the registry has to be told lies in that document
until it has been told: so neither a crash nor a registry that is away loses or repeats anything that matters. Nothing
here is ever on a request's path, or on a look's.
"""

from collections.abc import Mapping
from typing import Any

from gateway.control import Control
from gateway.core.actors import REGISTRY
from gateway.core.aliases import CHALLENGER, CHAMPION, acknowledged, followed, hold_for_watch, withdrawn
from gateway.core.deployments import DeploymentSpec, ModelCard
from gateway.core.errors import InvalidTransition
from gateway.core.events import Decision
from gateway.core.features import FeaturePlan
from gateway.core.outbox import WriteBack
from gateway.core.state import DeploymentState
from gateway.documents import Note
from gateway.ports import Registry


class Following:
    """Does what the ``challenger`` alias asks for, and keeps the books with the registry."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def read(self, deployment: str) -> DeploymentState:
        """The control document as it stands. Raises UnknownDeployment."""
        return self._control.read(deployment)

    def may_start(self, spec: DeploymentSpec) -> None:
        """Raise Postponed while nothing may start."""
        hold_for_watch(self._control.read(spec.name))
        self._control.may_start(spec.name, CHALLENGER, plan_of(spec), replaces=True)

    def start(
        self, spec: DeploymentSpec, model: ModelCard, features: FeaturePlan, evidence: Mapping[str, Any]
    ) -> Decision:
        """Try a prepared model by the deployment's default plan; what the alias asked for before makes way."""
        return self._control.start_canary(
            spec.name,
            model,
            features,
            actor=REGISTRY,
            reason=f"{CHALLENGER} names version {model.version} of {model.name}",
            plan=plan_of(spec),
            name=CHALLENGER,
            alias=CHALLENGER,
            evidence=evidence,
        )

    def refuse(self, deployment: str, model: str, version: str, reason: str, evidence: Mapping[str, Any]) -> Decision:
        """Write down that a version is not tried, and why."""
        return self._control.refuse(deployment, model, version, reason, actor=REGISTRY, evidence=evidence)

    def withdraw(self, deployment: str) -> Decision:
        """End the candidate whose alias was taken away. Raises InvalidTransition when there is none."""
        reason = f"{CHALLENGER} was taken away"
        at = self._control.now(deployment)

        def change(state: DeploymentState) -> DeploymentState:
            if followed(state) is None:
                raise InvalidTransition("not there", "withdraw")
            return withdrawn(state, at, reason)

        return self._control.change(deployment, change, Note("withdraw", REGISTRY, reason, CHALLENGER))

    def acknowledge(self, deployment: str, told: frozenset[str]) -> Decision | None:
        """Write down that the registry was told; None where another host has done so already."""
        if not told & {entry.id for entry in self.read(deployment).outbox}:
            return None
        said = f"the registry was told of {len(told)} decision{'s' if len(told) > 1 else ''}"
        note = Note("tell", REGISTRY, said, evidence={"told": sorted(told)})
        return self._control.change(deployment, lambda state: acknowledged(state, told), note)


def plan_of(spec: DeploymentSpec) -> str:
    """The plan that an alias move follows: the one declared for it, or the first."""
    return spec.default_plan or next(iter(spec.plans))


def tell(registry: Registry, deployment: str, entry: WriteBack) -> None:
    """Carry out one entry of the outbox: tags first, then pointers, so that a pointer never lacks its reason.

    A ``challenger`` that has moved on meanwhile is left alone. Raises RegistryUnavailable, and ModelUnusable where the
    version is no longer registered.
    """
    registry.tag(entry.model, entry.version, entry.tags(deployment))
    if entry.crowns:
        registry.set_alias(entry.model, CHAMPION, entry.version)
    if registry.aliases(entry.model).get(CHALLENGER) == entry.version:
        registry.clear_alias(entry.model, CHALLENGER)
