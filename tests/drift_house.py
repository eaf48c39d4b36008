"""The drift story for tests: over a control house in memory, with profiles given by model digest."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.adapters.drift import PackedDriftCodec
from gateway.adapters.store import Store
from gateway.adapters.store.memory import MemoryEventLog
from gateway.adapters.store.memory_drift import MemoryDriftLog
from gateway.core.deployments import Scalar
from gateway.core.drift.causes import DriftEvent
from gateway.core.drift.making import made
from gateway.core.drift.profiles import Profile
from gateway.core.drift.terms import DriftTerms
from gateway.core.events import ArmRecord
from gateway.core.features import Status
from gateway.core.ids import tag_of
from gateway.core.state import DeploymentState
from gateway.drifting import Drifting, Looked
from gateway.ports import DriftLog
from tests.control_house import NAME, SPEC, T0, House
from tests.records import prediction

NAMES = ("delay", "carrier")
CARRIERS = ("UA", "AA", "B6", "DL")
TICK_S = 600.0
WATCHED = DriftTerms()


def drift_of(house: House, profiles: Mapping[str, Profile] | None = None, sinks: Sequence[Any] = ()) -> Drifting:
    """The story over a house's own control and log."""
    found = dict(profiles or {})
    return Drifting(_drift_log(house), house.control, found.get, PackedDriftCodec(), sinks)


def _drift_log(house: House) -> DriftLog:
    assert isinstance(house.log, MemoryEventLog)
    return MemoryDriftLog(house.log)


def usual(rows: int = 20_000, seed: int = 1, **fields: Any) -> Profile:
    """The reference: a delay, a carrier, a score and a label."""
    draw = random.Random(seed)
    delays, carriers = [draw.gauss(0, 1) for _ in range(rows)], [draw.choice(CARRIERS) for _ in range(rows)]
    scores = [draw.random() for _ in range(rows)]
    labels = [int(score > 0.5) for score in scores]
    return made({"delay": delays, "carrier": carriers}, scores=scores, labels=labels, source="tests", **fields)


@dataclass
class Heard:
    """A sink that keeps what it was told."""

    events: list[DriftEvent] = field(default_factory=list)

    def drifted(self, event: DriftEvent) -> None:
        self.events.append(event)


class DriftHouse:
    """A deployment under watch; ``tick`` serves one tick of traffic and looks."""

    def __init__(self, terms: DriftTerms = WATCHED, second: Profile | None = None, store: Store | None = None) -> None:
        house = House() if store is None else House(state=store.control, log=store.events)
        self.house = house.open(replace(SPEC, drift=terms))
        self.heard = Heard()
        self.profiles = {"digest-1": usual()} | ({} if second is None else {"digest-2": second})
        self.store = _drift_log(self.house) if store is None else store.drift
        self.chance = random.Random(3)
        self.at = T0 - T0 % TICK_S
        self.begin()

    def begin(self) -> None:
        """Start the story, as a process does that was not there before."""
        self.drifting = Drifting(self.store, self.house.control, self.profiles.get, PackedDriftCodec(), [self.heard])

    def tick(self, rows: int = 200, *, share: float = 0.2, look: bool = True, **how: Any) -> Looked:
        """Serve rows for one tick of data time, then look."""
        document = self.house.document
        records = [self._record(document, n / rows, share, **how) for n in range(rows)]
        start = self.house.end
        self.house.end += rows
        self.house.log.append("drift-spool", [(start + n, record) for n, record in enumerate(records)], self.house.end)
        self.at += TICK_S
        self.house.clock.advance(max(0.0, self.at - self.house.clock.data()))
        return self.drifting.look(NAME, self.at) if look else Looked(folded=False, told=())

    def ticks(self, most: int, **how: Any) -> int | None:
        """Serve ticks until something is told; how many that took, None for not at all."""
        return next((n for n in range(1, most + 1) if self.tick(**how).told), None)

    def _record(
        self,
        document: DeploymentState,
        part: float,
        share: float,
        *,
        delay: float = 0.0,
        score: float = 0.0,
        candidate_score: float = 0.0,
        stale: float = 0.0,
        text: float = 0.0,
        carriers: Sequence[str] = CARRIERS,
        names: Sequence[str] = NAMES,
    ) -> Any:
        running = {one.name: one for one in document.rollouts.values() if one.weight > 0.0}
        arm = "canary" if running and self.chance.random() < share else "stable"
        generations = {"stable": document.stable.generation} | {name: one.generation for name, one in running.items()}
        moved = score + (candidate_score if arm == "canary" else 0.0)
        said = min(1.0, max(0.0, self.chance.random() + moved))
        value: Scalar = self.chance.gauss(delay, 1)
        status = Status.PRESENT
        if self.chance.random() < stale:
            value, status = 0.0, Status.STALE
        elif self.chance.random() < text:
            value = "12 minutes"
        asked = {"delay": (value, status), "carrier": (self.chance.choice(carriers), Status.REQUEST)}
        return prediction(
            f"{self.chance.getrandbits(64):016x}",
            self.at + TICK_S * (part + 1e-9) * 0.999 + 0.01,
            arm,
            tag=tag_of(NAME),
            deployment=NAME,
            arms=tuple(ArmRecord(name, generation, 0.5, "") for name, generation in generations.items()),
            names=tuple(names),
            values=tuple(asked[name][0] for name in names),
            statuses=bytes(asked[name][1] for name in names),
            label=int(said > 0.5),
            score=said,
        )
