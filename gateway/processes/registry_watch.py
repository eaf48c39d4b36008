"""Watches the registry's aliases, off every request's and every look's path, and tells it what was decided.

Level, not edge: each round compares what the aliases say with where the deployment stands. While the registry is away
nothing that serves changes; what it has to be told waits in the control document.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from gateway.core.aliases import CHALLENGER, CHAMPION, wish
from gateway.core.errors import (
    GateRefused,
    GatewayError,
    ModelUnusable,
    PlanImpossible,
    Postponed,
    Quarantined,
    RegistryUnavailable,
    Unmeasurable,
)
from gateway.core.gates import GateResult, evidence_of, failed
from gateway.core.state import DeploymentState
from gateway.edge.control_parts import Prepared
from gateway.edge.run import Run
from gateway.ports import Registry
from gateway.processes.duties import aside
from gateway.registry import Following, tell

log = structlog.get_logger(__name__)

MOST_TRIES = 5
"""So often an artifact that does not come is asked for again while the registry itself answers."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What the watch reaches: the registry, this host's preparation and gate, and the store's thread."""

    registry: Registry
    prepare: Callable[[str, str], Awaitable[Prepared]]
    vet: Callable[[str, Prepared], Awaitable[Sequence[GateResult]]]
    """(deployment, prepared) -> what each gate found. Raises ModelUnusable where the model cannot even run."""
    run: Run


class RegistryWatch:
    """Follows the aliases of every deployment that asks for it."""

    def __init__(
        self, reach: Reach, following: Following, states: Callable[[], Mapping[str, DeploymentState]], every_s: float
    ) -> None:
        self._reach = reach
        self._following = following
        self._states = states
        self._every_s = every_s
        self._tries: Counter[tuple[str, str]] = Counter()
        self.trouble: dict[str, str] = {}
        """What keeps a deployment from following its aliases now, by name, in a sentence."""

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(self._every_s)

    async def round(self) -> None:
        """Look once at every deployment that follows its aliases."""
        for name, state in list(self._states().items()):
            if state.spec.follow_aliases:
                await self._try(name)
            else:
                self.trouble.pop(name, None)

    async def _try(self, name: str) -> None:
        try:
            trouble = await self._follow(await self._reach.run(partial(self._following.read, name)))
        except GatewayError as error:  # the registry or the store is away, or somebody was faster: the next round sees
            trouble = str(error)
        if trouble is None:
            self.trouble.pop(name, None)
            return
        if self.trouble.get(name) != trouble:
            log.warning("aliases_not_followed", deployment=name, reason=trouble)
        self.trouble[name] = trouble

    async def _follow(self, state: DeploymentState) -> str | None:
        """Tell the registry what it does not know yet, then do what it asks for; returns what is in the way."""
        if state.outbox:
            await self._tell(state)
        model = state.spec.model
        aliases = await aside(self._reach.registry.aliases, model)
        wanted = wish(state, aliases)
        if wanted is None:
            return _drift(state, aliases)
        if wanted.version is None:
            await self._reach.run(partial(self._following.withdraw, state.deployment))
            return None
        return await self._start(state, wanted.version)

    async def _tell(self, state: DeploymentState) -> None:
        told = []
        for entry in state.outbox:
            try:
                await aside(tell, self._reach.registry, state.deployment, entry)
            except RegistryUnavailable:
                break
            except ModelUnusable as error:  # the version was deleted: there is nobody left to tell
                log.warning("write_back_dropped", deployment=state.deployment, reason=str(error))
            told.append(entry.id)
        if told:
            await self._reach.run(partial(self._following.acknowledge, state.deployment, frozenset(told)))

    async def _start(self, state: DeploymentState, version: str) -> str | None:
        deployment, spec = state.deployment, state.spec
        try:
            await self._reach.run(partial(self._following.may_start, spec))
        except Postponed as error:
            return f"version {version} waits: {error}"
        try:
            prepared = await self._reach.prepare(deployment, f"models:/{spec.model}/{version}")
            results = await self._reach.vet(deployment, prepared)
            if failed(results):
                raise GateRefused(failed(results), evidence_of(results))
            found = evidence_of(results)
            await self._reach.run(partial(self._following.start, spec, prepared.model, prepared.features, found))
        except RegistryUnavailable as error:
            self._tries[deployment, version] += 1
            if self._tries[deployment, version] < MOST_TRIES:
                return f"version {version} waits: {error}"
            await self._refuse(state, version, error)
        except (ModelUnusable, PlanImpossible, Quarantined, Unmeasurable) as error:
            await self._refuse(state, version, error)
        self._tries.pop((deployment, version), None)
        return None

    async def _refuse(self, state: DeploymentState, version: str, error: GatewayError) -> None:
        evidence = dict(error.evidence) if isinstance(error, GateRefused) else {}
        refuse = partial(self._following.refuse, state.deployment, state.spec.model, version, str(error), evidence)
        await self._reach.run(refuse)


def _drift(state: DeploymentState, aliases: Mapping[str, str]) -> str | None:
    """Say that somebody else moved ``champion``: it is an answer here, never a wish."""
    champion, stable = aliases.get(CHAMPION), state.stable.model
    if champion is None or state.outbox or stable.name != state.spec.model or champion == stable.version:
        return None
    return (
        f"{CHAMPION} names version {champion}, but version {stable.version} is stable: point {CHALLENGER} at "
        f"version {champion} to have it tried."
    )
