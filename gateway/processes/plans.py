"""Which feature plan each deployment reads by: compiled once per set of feature services, kept while it covers.

A plan that covers more than a document needs serves it at once - so a demotion never waits for a compiler - and is
replaced by the exact one as soon as that is compiled.
"""

import threading
from collections.abc import Iterable

from gateway.core.features import NO_FEATURES, FeaturePlan
from gateway.core.state import DeploymentState
from gateway.core.tables import services_of
from gateway.ports import PlanCompiler


class Plans:
    """Compiled plans by the services they cover. Reading is free of waiting; ``compile`` may be slow."""

    def __init__(self, compiler: PlanCompiler) -> None:
        self._compiler = compiler
        self._compiling = threading.Lock()
        self._known: dict[frozenset[str], FeaturePlan] = {frozenset(): NO_FEATURES}
        self._in_force: dict[str, FeaturePlan] = {}

    def remember(self, plan: FeaturePlan) -> None:
        """Take in a plan that was compiled earlier, as one found in a table on disk; a fresher one is not replaced."""
        self._known.setdefault(frozenset(plan.services), plan)

    def compile(self, services: Iterable[str]) -> FeaturePlan:
        """Compile the union of ``services`` unless it is known. May be slow. Raises PlanImpossible."""
        wanted = frozenset(services)
        with self._compiling:
            if wanted not in self._known:
                self._known[wanted] = self._compiler.compile(sorted(wanted))
            return self._known[wanted]

    def choose(self, state: DeploymentState) -> FeaturePlan | None:
        """The plan to serve a document by: the exact one, else one that covers it, else None."""
        wanted = frozenset(services_of(state))
        plan = self._known.get(wanted)
        if plan is None:
            covering = [known for services, known in self._known.items() if services >= wanted]
            plan = min(covering, key=lambda known: len(known.services), default=None)
        if plan is not None:
            self._in_force[state.deployment] = plan
        return plan

    def lacks(self, state: DeploymentState) -> bool:
        """Whether the exact plan of a document still has to be compiled."""
        return frozenset(services_of(state)) not in self._known

    def in_force(self, deployment: str) -> FeaturePlan:
        """The plan a deployment is served by, or that of no features before there is one."""
        return self._in_force.get(deployment, NO_FEATURES)
