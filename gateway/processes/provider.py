"""Brings what documents ask for onto this host: first documents, prepared models, compiled feature plans.

The registry and the feature repository are asked here and nowhere else: aside, never on a request path, again later
when they cannot be had. What is in force goes on meanwhile.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import structlog

from gateway.compose import Controlling
from gateway.core.deployments import Admission, DeploymentSpec, ModelCard
from gateway.core.errors import GatewayError, ModelUnusable
from gateway.core.rules import Pickles
from gateway.core.state import DeploymentState
from gateway.core.tables import cards_of, services_of
from gateway.edge.control_parts import Prepared
from gateway.edge.run import Run
from gateway.processes.duties import aside
from gateway.processes.plans import Plans
from gateway.processes.publisher import Publisher

log = structlog.get_logger(__name__)

_AGAIN_S = 10.0
_ACTOR = "first start"


class Provider:
    """Keeps this host provided. ``provided`` is told whenever something new can be served."""

    def __init__(
        self,
        parts: Controlling,
        specs: Mapping[str, DeploymentSpec],
        plans: Plans,
        publisher: Publisher,
        run: Run,
        provided: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._specs = specs
        self._plans = plans
        self._publisher = publisher
        self._run = run
        self._provided = provided
        self._wake = asyncio.Event()
        self._preparing = asyncio.Lock()
        self.trouble: dict[str, str] = {}
        """What could not be had, by deployment, and why."""
        self.preparing: dict[str, list[str]] = {}
        """Models that operators wait for, by deployment."""

    def wake(self) -> None:
        """Look again at what is asked for: documents have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Provide until cancelled."""
        while True:
            self._wake.clear()
            for name in {*self._specs, *self._publisher.states}:
                await self._try(name)
            try:
                async with asyncio.timeout(_AGAIN_S if self.trouble else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def prepare(self, deployment: str, uri: str) -> Prepared:
        """Make a model ready to start in a deployment. Raises ModelUnusable, PlanImpossible."""
        under_way = self.preparing.setdefault(deployment, [])
        under_way.append(uri)
        try:
            card = await self._prepare(uri, self._admission(deployment))
        finally:
            under_way.remove(uri)
        state = self._publisher.states.get(deployment)
        services = [*(services_of(state) if state else ()), *_service_of(card)]
        return Prepared(card, await aside(self._plans.compile, services))

    async def _try(self, name: str) -> None:
        try:
            if self._publisher.trouble is None:
                await self._provide(name)
        except (GatewayError, OSError) as error:
            if self.trouble.get(name) != str(error):
                log.error("not_provided", deployment=name, reason=str(error))  # noqa: TRY400 - the sentence says it all
            self.trouble[name] = str(error)
        else:
            self.trouble.pop(name, None)

    async def _provide(self, name: str) -> None:
        state = self._publisher.states.get(name) or await self._found(self._specs[name])
        for card in self._missing(state):
            prepared = await self._prepare(card.uri, Admission(inputs=card.inputs))  # let in by whoever named it
            if prepared.digest != card.digest:
                raise ModelUnusable(f"{card.uri} is not what it was when it was prepared: its digest has changed.")
            self._provided()
        if self._plans.lacks(state):
            await aside(self._plans.compile, services_of(state))
            self._provided()

    async def _found(self, spec: DeploymentSpec) -> DeploymentState:
        """Write the first document of a deployment; one that is there already wins."""
        card = await self._prepare(spec.stable, spec.admission)
        await aside(self._plans.compile, _service_of(card))
        state = await self._run(partial(self._parts.control.found, spec, card, _ACTOR))
        self._provided()
        return state

    async def _prepare(self, uri: str, admission: Admission) -> ModelCard:
        async with self._preparing:  # one artifact at a time: each may take all the memory it is allowed
            return await aside(self._parts.cache.prepare, self._parts.models, uri, admission)

    def _admission(self, deployment: str) -> Admission:
        state = self._publisher.states.get(deployment)
        spec = self._specs.get(deployment) if state is None else state.spec
        return Admission(Pickles.REFUSE) if spec is None else spec.admission

    def _missing(self, state: DeploymentState) -> Iterator[ModelCard]:
        for card in cards_of(state):
            try:
                self._parts.cache.card(card.digest)
            except ModelUnusable:
                yield card


def _service_of(card: ModelCard) -> tuple[str, ...]:
    return (card.feature_service,) if card.feature_service else ()
