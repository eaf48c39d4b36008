"""The control document of one deployment, and what each decision makes of it.

Pure: a change takes the document and returns the next one, or raises the error that says why it cannot be made.
Who may ask, when, and where the document is kept are :mod:`gateway.control`'s business. Revisions are set there too.
"""

from dataclasses import dataclass, field

from gateway.core.deployments import DeploymentSpec
from gateway.core.rollout import Rollout
from gateway.core.routing import Part, Shadow


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """The control document of one deployment: what is, and (in ``spec``) what its owner declared.

    ``rollouts`` holds the latest rollout of each candidate name, ended ones too: the latch lives there.
    ``previous`` are former stables, the latest first.
    """

    deployment: str
    revision: int
    spec: DeploymentSpec
    stable: Part
    previous: tuple[Part, ...] = ()
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    shadows: dict[str, Shadow] = field(default_factory=dict)
    schema: int = 1
