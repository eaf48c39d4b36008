"""A data plane in memory for tests: the real stories over memory adapters, with models that answer in place.

Answers are coded: an arm's base plus the entity, so one number proves both. Stable answers 1000 + flight, the
canary 2000 + flight, the shadow 3000 + flight.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.adapters.clock import ManualClock
from gateway.adapters.features.memory import MemoryFeatureSource, MemoryPlanCompiler
from gateway.adapters.models.memory import MemoryModel, Script
from gateway.adapters.spool.memory import MemorySpool
from gateway.core.deployments import FeaturePolicy, Field, Inputs, ModelCard, Scalar, ServingRules, Task, Type
from gateway.core.errors import DeadlinePassed, NoModelReady, UnknownDeployment
from gateway.core.events import OutcomeRecord, PredictionRecord, ShadowRecord
from gateway.core.features import FeatureBatch, FeaturePlan, JoinKey, PlannedFeature, PlannedView
from gateway.core.ids import SigningKeys, tag_of
from gateway.core.routing import Candidate, Part, RoutingTable, Shadow
from gateway.feedback import Feedback
from gateway.passage import Answer
from gateway.ports import Output
from gateway.predict import Ask, Predict
from gateway.shadow import ShadowLane

T0 = 1_700_000_000.0
KEYS = SigningKeys("k1", {"k1": b"k" * 32})
BODY: dict[str, Any] = {"entities": {"flight": 7}, "features": {"distance": 1400.0}}

FLIGHT = Field("flight", Type.INTEGER)
DISTANCE = Field("distance", Type.NUMBER, minimum=0.0, maximum=10_000.0)
SEATS = Field("seats", Type.INTEGER, required=False)
PLANE = PlannedView(
    "plane",
    "plane",
    (JoinKey("flight", "flight", Type.INTEGER, "INT64"),),
    (PlannedFeature("seats", "seats", Type.INTEGER, "INT64"),),
    ttl_s=3600.0,
)


def card(name: str, *inputs: Field, service: str | None = None) -> ModelCard:
    """A model card whose digest is its name."""
    fields = inputs or (FLIGHT, DISTANCE)
    return ModelCard(name, name, f"memory:{name}", name, "memory", ".", fields, Task.REGRESSION, (), service)


STABLE = Part("stable", "g0", card("v1"))
CANARY = Part("canary", "g1", card("v2"))
SHADOW = Part("shadow", "g2", card("v3"))


def canary(weight: float, part: Part = CANARY) -> Candidate:
    return Candidate(part, f"salt-{part.name}", weight)


def shadow(rate: float = 1.0, part: Part = SHADOW) -> Shadow:
    return Shadow(part, f"salt-{part.name}", rate)


def table(
    *candidates: Candidate, shadows: Sequence[Shadow] = (), name: str = "flight-delay", **changes: Any
) -> RoutingTable:
    """A routing table of one deployment; ``changes`` are its other fields."""
    base = RoutingTable(
        name, tag_of(name), 1, STABLE, candidates, tuple(shadows), inputs=Inputs((FLIGHT,), (DISTANCE,))
    )
    return replace(base, **changes)


def reads_seats(rules: ServingRules | None = None, **policy: Any) -> RoutingTable:
    """A table whose stable reads ``seats`` of the flight's plane from the feature store."""
    stable = replace(STABLE, model=card("v1", FLIGHT, DISTANCE, SEATS, service="planes"))
    return table(
        stable=stable, features=seats_plan(), policies={"seats": FeaturePolicy(**policy)}, rules=rules or ServingRules()
    )


def seats_plan() -> FeaturePlan:
    return MemoryPlanCompiler({"planes": [PLANE]}).compile(["planes"])


class FixedRouting:
    """The Routing port over tables given by hand; every loaded candidate is able unless ``leased`` is off."""

    def __init__(self, runner: "InlineRunner", *tables: RoutingTable) -> None:
        self.tables = {each.deployment: each for each in tables}
        self.leased = True
        self._runner = runner

    def table(self, deployment: str | None) -> RoutingTable:
        found = next(iter(self.tables.values())) if deployment is None else self.tables.get(deployment)
        if found is None:
            raise UnknownDeployment
        return found

    def table_by_tag(self, tag: str) -> RoutingTable | None:
        return next((each for each in self.tables.values() if each.tag == tag), None)

    def able(self, table: RoutingTable) -> frozenset[str]:
        names = [each.part.name for each in table.candidates if each.weight > 0.0]
        return frozenset(names) if self.leased else frozenset()


class InlineRunner:
    """The Runner port without threads: a model answers in place, and is as slow on the hand-wound clock as told.

    ``seconds`` is how long a part takes; a part in ``gates`` waits for its event first.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.models: dict[str, MemoryModel] = {}
        self.seconds: dict[str, float] = defaultdict(float)
        self.gates: dict[str, asyncio.Event] = {}
        self.calls: list[tuple[str, int]] = []
        self.failing: dict[str, BaseException] = {}
        self._clock = clock

    def load(self, part: Part, base: float, **script: Any) -> None:
        self.models[part.model.digest] = MemoryModel(part.model, Script(base, part.model.inputs, **script))

    def loaded(self, digest: str) -> bool:
        return digest in self.models

    async def predict(self, part: Part, rows: Sequence[Sequence[Scalar]], deadline_s: float) -> list[Output]:
        self.calls.append((part.name, len(rows)))
        if part.model.digest not in self.models:
            raise NoModelReady(part.name)
        if part.name in self.gates:
            await self.gates[part.name].wait()
        if part.name in self.failing:
            raise self.failing[part.name]
        self._clock.advance(min(self.seconds[part.name], deadline_s))
        if self.seconds[part.name] > deadline_s:
            raise DeadlinePassed("the model call")
        return self.models[part.model.digest].predict(rows)


class CountingSource(MemoryFeatureSource):
    """A MemoryFeatureSource that counts its reads, and remembers their budgets in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.budgets: list[float] = []

    async def read(self, plan: FeaturePlan, rows: Sequence[Mapping[str, Scalar]], budget_s: float) -> FeatureBatch:
        self.budgets.append(budget_s)
        return await super().read(plan, rows, budget_s)


@dataclass
class Noted:
    """The Marks port, remembering every run it was told of."""

    runs: list[tuple[str, str]] = field(default_factory=list)
    now: int = 0

    @contextmanager
    def running(self, tag: str, bodies: Sequence[str], generation: str, at: float) -> Iterator[None]:
        assert (bool(tag), at > 0.0) == (True, True)
        self.runs.extend((generation, body) for body in bodies)
        self.now += 1
        try:
            yield
        finally:
            self.now -= 1


class House:
    """The stories wired over memory adapters, and what they left behind."""

    def __init__(self, *tables: RoutingTable, **options: Any) -> None:
        self.clock = ManualClock(machine=100.0, data=T0)
        self.runner = InlineRunner(self.clock)
        self.routing = FixedRouting(self.runner, *(tables or (table(),)))
        self.features = CountingSource()
        self.spool, self.outcomes_spool = MemorySpool(), MemorySpool("memory-o000000")
        self.marks = Noted()
        make: Callable[..., ShadowLane] = options.pop("make_lane", ShadowLane)
        self.shadows = make(self.runner, self.spool, self.clock, marks=self.marks, **options.pop("lane", {}))
        self._bodies = iter(range(1, 1_000_000))
        self.predict = Predict(
            routing=self.routing,
            features=self.features,
            runner=self.runner,
            spool=self.spool,
            shadows=self.shadows,
            clock=self.clock,
            keys=lambda: KEYS,
            random=lambda size: next(self._bodies).to_bytes(size, "big"),
            marks=self.marks,
            **options,
        )
        self.feedback = Feedback(self.outcomes_spool, self.routing, self.clock, lambda: KEYS)
        for each in tables or (table(),):
            self.runner.load(each.stable, 1000.0)
        self.runner.load(CANARY, 2000.0)
        self.runner.load(SHADOW, 3000.0)

    async def ask(self, body: object = None, **ask: Any) -> Answer:
        """Ask for one prediction."""
        [answer] = await self.ask_all(BODY if body is None else body, **ask)
        return answer

    async def ask_all(self, body: object, **ask: Any) -> list[Answer]:
        """Ask for what ``body`` holds, arriving now."""
        return await self.predict(Ask(body, self.clock.machine(), **ask))

    @property
    def predictions(self) -> list[PredictionRecord]:
        return [event for event in self.spool.events if isinstance(event, PredictionRecord)]

    @property
    def shadowed(self) -> list[ShadowRecord]:
        return [event for event in self.spool.events if isinstance(event, ShadowRecord)]

    @property
    def outcomes(self) -> list[OutcomeRecord]:
        return [event for event in self.outcomes_spool.events if isinstance(event, OutcomeRecord)]


def flights(*numbers: int, **members: Any) -> dict[str, Any]:
    """A batch body of some flights."""
    return {"instances": [{"entities": {"flight": n}, "features": {"distance": 1.0}, **members} for n in numbers]}
