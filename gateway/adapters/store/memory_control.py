"""Control documents in memory, as the JSON they would be stored as."""

import copy
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from gateway.adapters.store import documents
from gateway.adapters.store.memory_outbox import MemoryOutbox
from gateway.adapters.store.outbox import decision_entries
from gateway.core.audit import BEGINNING, Head, Link, Trail, chained, digest
from gateway.core.course import CoursePoint
from gateway.core.events import Decision
from gateway.core.looks import Look, Opening
from gateway.core.state import DeploymentState


class MemoryControlState:
    """Control documents and timelines as the JSON they would be stored as.

    With decisions among ``tells``, they wait in the outbox as well.
    """

    def __init__(self, outbox: MemoryOutbox | None = None, tells: Collection[str] = ()) -> None:
        self._outbox, self._tells = outbox or MemoryOutbox(), tells
        self._documents: dict[str, str] = {}
        self._timelines: defaultdict[str, list[Link]] = defaultdict(list)
        self._judges: dict[tuple[str, str], bytes] = {}
        self._openings: dict[tuple[str, str], str] = {}
        self._looks: defaultdict[tuple[str, str], dict[float, Look]] = defaultdict(dict)
        self._courses: defaultdict[tuple[str, str], dict[float, str]] = defaultdict(dict)

    def read(self, deployment: str) -> DeploymentState | None:
        """The document as it stands."""
        text = self._documents.get(deployment)
        return None if text is None else documents.decode_state(text)

    def all(self) -> list[DeploymentState]:
        """Every document, by name."""
        return [documents.decode_state(self._documents[name]) for name in sorted(self._documents)]

    def write(self, state: DeploymentState, expected: int, decisions: Sequence[Decision]) -> None:
        """Compare and set. Raises RevisionConflict."""
        now = self.read(state.deployment)
        documents.check_revision(state, expected, now.revision if now else 0)
        text, lines = documents.encode(state), [documents.encode(decision) for decision in decisions]
        before = self.head(state.deployment).seal
        self._documents[state.deployment] = text
        self._timelines[state.deployment].extend(chained(before, state.deployment, text, lines))
        self._outbox.put(decision_entries(state.deployment, state.revision, decisions, self._tells))

    def timeline(self, deployment: str, limit: int = 100) -> list[Decision]:
        """Decisions, newest first."""
        return [documents.decode_decision(link.line) for link in self._timelines[deployment][::-1][:limit]]

    def trail(self) -> Trail:
        """Every timeline with its seals."""
        links = {name: tuple(found) for name, found in self._timelines.items() if found}
        return Trail(links, {name: digest(text) for name, text in self._documents.items()})

    def head(self, deployment: str) -> Head:
        """The last seal."""
        links = self._timelines[deployment]
        return Head(len(links), links[-1].seal if links else BEGINNING)

    def judge_state(self, deployment: str, generation: str) -> bytes | None:
        """What the judge remembered."""
        return self._judges.get((deployment, generation))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Put everything back if it raises."""
        before = {name: copy.deepcopy(value) for name, value in vars(self).items() if name != "_outbox"}
        waiting = self._outbox.waiting_now()
        try:
            yield
        except BaseException:
            vars(self).update(before)
            self._outbox.put_back(waiting)
            raise

    def save_look(
        self, deployment: str, generation: str, state: bytes, look: Look, opening: Opening | None = None
    ) -> None:
        """Remember both."""
        if opening is not None:
            self._openings.setdefault((deployment, generation), documents.encode(opening))
        self._judges[deployment, generation] = state
        if (deployment, generation) in self._openings:
            self._looks[deployment, generation][look.at] = look

    def opening(self, deployment: str, generation: str) -> Opening | None:
        """How it began."""
        text = self._openings.get((deployment, generation))
        return None if text is None else documents.decode_opening(text)

    def openings(self, deployment: str) -> list[Opening]:
        """How every generation began."""
        return [documents.decode_opening(text) for (of, _), text in self._openings.items() if of == deployment]

    def looks(self, deployment: str, generation: str) -> list[Look]:
        """Every look, by its watermark."""
        made = self._looks[deployment, generation]
        return [made[at] for at in sorted(made)]

    def forget_generation(self, deployment: str, generation: str) -> None:
        """Drop it all."""
        for kept in (self._openings, self._looks, self._judges, self._courses):
            kept.pop((deployment, generation), None)

    def save_point(self, deployment: str, generation: str, point: CoursePoint) -> None:
        """Keep it."""
        self._courses[deployment, generation][point.at] = documents.encode(point)

    def course(self, deployment: str, generation: str) -> list[CoursePoint]:
        """What was kept, in order."""
        kept = self._courses[deployment, generation]
        return [documents.decode_point(kept[at]) for at in sorted(kept)]
