"""What the agent tells Prometheus of control state, the books and live accuracy, read aside every few seconds."""

import asyncio
from dataclasses import asdict, dataclass, replace

import structlog

from gateway.core.errors import StoreUnavailable
from gateway.core.routing import STABLE, Part
from gateway.core.state import DeploymentState
from gateway.core.tables import part_of
from gateway.edge.metrics import ControlGauges, VariantGauges
from gateway.edge.run import Run
from gateway.ports import EventLog, VariantPerformance
from gateway.processes.channel import AgentEnd
from gateway.processes.drainer import Drainer
from gateway.processes.publisher import Publisher

log = structlog.get_logger(__name__)

_EVERY_S = 2.0
_SHARE = 20.0
"""At most one part in so many of the time is spent on counting."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted in the store at one time."""

    performance: dict[str, list[VariantPerformance]]
    books: dict[tuple[str, str, str], int]


class Gauges:
    """Counts in the store from time to time; the rest is read off the agent at the scrape."""

    def __init__(
        self, events: EventLog, publisher: Publisher, drainer: Drainer, line: AgentEnd, window_s: float
    ) -> None:
        self._events = events
        self._publisher = publisher
        self._drainer = drainer
        self._line = line
        self._window_s = window_s
        self._counted = Counted({}, {})

    async def run(self, run: Run, count: Run) -> None:
        """Count until cancelled, on a thread where that keeps nobody waiting: a window may hold a day of requests."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await run(self._drainer.count)
                self._counted = await count(self._count)
            except StoreUnavailable as error:
                log.debug("not_counted", reason=str(error))
            await asyncio.sleep(max(_EVERY_S, _SHARE * (loop.time() - started)))

    def look(self) -> ControlGauges:
        """Everything as it stands now. Called from any thread."""
        states = list(self._publisher.states.values())
        backlog = self._drainer.backlog
        return ControlGauges(
            revisions={state.deployment: state.revision for state in states},
            variants=tuple(gauge for state in states for gauge in self._variants(state)),
            books=self._counted.books,
            spool_bytes=backlog.bytes,
            spool_segments=backlog.segments,
            workers=len(self._line.peers),
            watermark=self._drainer.watermark,
        )

    def _count(self) -> Counted:
        performance: dict[str, list[VariantPerformance]] = {}
        books: dict[tuple[str, str, str], int] = {}
        until = self._drainer.watermark
        for name in list(self._publisher.states):
            if until is not None:
                performance[name] = self._events.performance(name, until - self._window_s, until)
            for book, counts in asdict(self._events.books(name)).items():
                books |= {(name, book, state): count for state, count in counts.items()}
        return Counted(performance, books)

    def _variants(self, state: DeploymentState) -> list[VariantGauges]:
        taken = sum(rollout.weight for rollout in state.rollouts.values())
        gauges = [self._gauge(state, replace(state.stable, name=STABLE), STABLE, weight=max(0.0, 1.0 - taken))]
        gauges += [
            self._gauge(state, part_of(rollout), rollout.phase.value, rollout.weight, rollout.shadow)
            for rollout in state.rollouts.values()
        ]
        return gauges + [self._gauge(state, s.part, "shadow", 0.0, s.rate) for s in state.shadows.values()]

    def _gauge(
        self, state: DeploymentState, part: Part, phase: str, weight: float, shadow: float = 0.0
    ) -> VariantGauges:
        rows = self._counted.performance.get(state.deployment, ())
        row = next((row for row in rows if (row.name, row.generation) == (part.name, part.generation)), None)
        labelled = row.labelled if row else 0
        accuracy = row.correct / labelled if row and labelled else None
        return VariantGauges(state.deployment, part.name, part.model.version, phase, weight, shadow, accuracy, labelled)
