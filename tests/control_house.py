"""A control story for tests, in memory unless told otherwise, with the real judge and the real routing rule.

Traffic comes in as records, a request per data second, with its label right behind. ``wrong`` and ``fails`` say how
often a model version answers wrongly or fails.
"""

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.adapters.alerts import MemorySink
from gateway.adapters.clock import ManualClock
from gateway.adapters.store.judge_codec import JsonJudgeCodec
from gateway.adapters.store.memory import MemoryEventLog
from gateway.adapters.store.memory_control import MemoryControlState
from gateway.control import Control
from gateway.core.deployments import DeploymentSpec, Field, Guardrail, ModelCard, Plan, Step, Task, Type
from gateway.core.events import ArmRecord, Decision, Event, OutcomeRecord, PredictionRecord, ShadowRecord
from gateway.core.features import NO_FEATURES
from gateway.core.rollout import Rollout
from gateway.core.routing import Assignment, RoutingTable, assign
from gateway.core.state import DeploymentState
from gateway.core.tables import table_of
from gateway.documents import Documents
from gateway.ports import ControlState, EventLog

NAME = "flight-delay"
T0 = 1_363_000_000.0
SPOOL = "host-boot-1-1-p000001"
INPUTS = (
    Field("distance", Type.NUMBER, minimum=0.0, maximum=9_000.0, example=1_400.0),
    Field("sched_dep_hour", Type.INTEGER),
)
QUICK = Plan("quick", (Step(weight=0.2, events=50), Step(weight=0.5, events=50)))
WATCHFUL = Plan("watchful", (Step(shadow=1.0, events=100), Step(weight=0.5, events=50)))
CAUTIOUS = Plan("cautious", (Step(weight=0.2, events=50, approval=True), Step(weight=0.5, events=50)))
ACCURACY = Guardrail("accuracy", absolute=0.02, margin_absolute=0.08)
SPEC = DeploymentSpec(
    name=NAME,
    model="flights",
    stable="models:/flights/1",
    guardrails=(Guardrail("error_rate", relative=1.1, margin_absolute=0.05), ACCURACY),
    plans={plan.name: plan for plan in (QUICK, WATCHFUL, CAUTIOUS)},
)


def card(version: str, **fields: object) -> ModelCard:
    """A prepared model of the deployment's own inputs."""
    uri, digest = f"models:/flights/{version}", f"digest-{version}"
    made = ModelCard("flights", version, uri, digest, "joblib", f"{version}.joblib", INPUTS, Task.BINARY)
    return replace(made, **fields)  # type: ignore[arg-type]


@dataclass(slots=True)
class House:
    """The story and everything it reaches."""

    state: ControlState = field(default_factory=MemoryControlState)
    log: EventLog = field(default_factory=MemoryEventLog)
    clock: ManualClock = field(default_factory=lambda: ManualClock(data=T0))
    alerts: MemorySink = field(default_factory=MemorySink)
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    end: int = 0
    served: int = 0
    control: Control = field(init=False)

    def __post_init__(self) -> None:
        tokens = (f"t{number}" for number in itertools.count(1))
        self.control = Control(
            self.state, self.log, self.clock, JsonJudgeCodec(), token=lambda: next(tokens), alerts=[self.alerts]
        )

    def open(self, spec: DeploymentSpec = SPEC) -> "House":
        """Put version 1 in place as stable."""
        self.control.found(spec, card("1"), actor="test")
        return self

    def start(self, version: str = "2", plan: str = "quick", name: str = "canary") -> Rollout:
        """Start a candidate and say that every worker has it."""
        self.control.start_canary(NAME, card(version), NO_FEATURES, plan=plan, name=name, actor="ann")
        self.control.ready(NAME, self.rollout(name).generation)
        return self.rollout(name)

    @property
    def documents(self) -> Documents:
        """The documents, for stories beside the one of looks."""
        return Documents(self.state, self.clock, [self.alerts])

    @property
    def document(self) -> DeploymentState:
        """The control document as it stands."""
        return self.control.read(NAME)

    def rollout(self, name: str = "canary") -> Rollout:
        """The latest rollout of a name."""
        return self.document.rollouts[name]

    def serve(
        self,
        requests: int,
        wrong: Mapping[str, float],
        fails: Mapping[str, float] | None = None,
        *,
        degraded: bool = False,
        labelled: bool = True,
    ) -> None:
        """Serve so many requests under the table in force; rates are by model version."""
        table = table_of(self.document, NO_FEATURES)
        able = {candidate.part.name for candidate in table.candidates}
        events: list[Event] = []
        for _ in range(requests):
            self.clock.advance(1.0)
            self.served += 1
            drawn = assign(table, f"key-{self.served}", self.clock.data(), able)
            record, rest = self._traffic(table, drawn, wrong, fails or {})
            told = rest if labelled else [event for event in rest if not isinstance(event, OutcomeRecord)]
            events += [replace(record, degraded=degraded), *told]
        placed = [(self.end + place, event) for place, event in enumerate(events)]
        self.end += len(events)
        self.log.append(SPOOL, placed, self.end)

    def look(self) -> list[Decision]:
        """Look at everything that was served."""
        return self.control.look(NAME, self.clock.data(), self.log.cursors())

    def live(self, rounds: int, wrong: Mapping[str, float], fails: Mapping[str, float] | None = None) -> list[Decision]:
        """Serve and look in turns, 200 requests a turn, until something is decided for good or the rounds are over."""
        made: list[Decision] = []
        for _ in range(rounds):
            self.serve(200, wrong, fails)
            made += self.look()
            if any(decision.action in {"demote", "promote"} for decision in made):
                break
        return made

    def _traffic(
        self, table: RoutingTable, drawn: Assignment, wrong: Mapping[str, float], fails: Mapping[str, float]
    ) -> tuple[PredictionRecord, list[Event]]:
        body, at, parts = f"b{self.served}", self.clock.data(), table.parts()
        model = parts[drawn.arm].model
        truth = self.chance.randrange(2)
        failed = self.chance.random() < fails.get(model.version, 0.0)
        record = PredictionRecord(
            tag=table.tag,
            body=body,
            deployment=NAME,
            revision=table.revision,
            epoch=drawn.epoch,
            key_hash=body,
            at=at,
            assigned=drawn.arm,
            served="stable" if failed else drawn.arm,
            arms=tuple(ArmRecord(a.name, a.generation, a.propensity, parts[a.name].model.digest) for a in drawn.arms),
            error="ValueError" if failed else None,
            label=self._answer(truth, wrong.get(model.version, 0.0)),
            score=0.5,
            shadows=drawn.shadows,
        )
        return record, [*self._shadows(table, drawn, body, truth, wrong), self._truth(table.tag, body, truth)]

    def _shadows(
        self, table: RoutingTable, drawn: Assignment, body: str, truth: int, wrong: Mapping[str, float]
    ) -> list[ShadowRecord]:
        return [
            ShadowRecord(
                table.tag,
                body,
                NAME,
                self.clock.data(),
                shadow.part.name,
                shadow.part.generation,
                shadow.part.model.digest,
                table.stable.generation,
                stable_served=drawn.arm == "stable",
                label=self._answer(truth, wrong.get(shadow.part.model.version, 0.0)),
            )
            for shadow in table.shadows
            if shadow.part.name in drawn.shadows
        ]

    def _truth(self, tag: str, body: str, truth: int) -> OutcomeRecord:
        return OutcomeRecord(tag, body, "label", truth, self.clock.data(), self.clock.data())

    def _answer(self, truth: int, wrong: float) -> int:
        return 1 - truth if self.chance.random() < wrong else truth
