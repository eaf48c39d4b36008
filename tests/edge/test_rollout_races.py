"""The six races that users of another rollout controller reported, against this one, in memory and on disk.

Abort while a promotion is pending; abort while paused; a restart of what had failed; an abort with nothing running; a
retry after an abort; flapping after an abort. An abort here is ``demote``, and it wins over everything but another.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.adapters.store import open_store
from gateway.adapters.store.memory import MemoryEventLog
from gateway.adapters.store.memory_control import MemoryControlState
from gateway.core.audit import Head, Trail
from gateway.core.course import CoursePoint
from gateway.core.errors import (
    CandidateLatched,
    GatewayError,
    InvalidTransition,
    RevisionConflict,
    UnknownVariant,
)
from gateway.core.events import Decision
from gateway.core.features import NO_FEATURES
from gateway.core.looks import Look, Opening
from gateway.core.rollout import Phase, Signal
from gateway.core.state import DeploymentState
from gateway.core.tables import table_of
from gateway.ports import ControlState, EventLog
from tests.control_house import NAME, House, card
from tests.postgres_house import fresh

GOOD = {"1": 0.2, "2": 0.2}
BETTER = {"1": 0.3, "2": 0.1}


@dataclass
class Interrupted:
    """A control state in which something happens between a chosen decision's reading and its writing, once."""

    inner: ControlState
    action: str = ""
    meanwhile: Callable[[], object] | None = None

    def write(self, state: DeploymentState, expected: int, decisions: Sequence[Decision]) -> None:
        """Let it happen, then write."""
        if self.meanwhile is not None and decisions and decisions[0].action == self.action:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        self.inner.write(state, expected, decisions)

    def read(self, deployment: str) -> DeploymentState | None:
        """As it stands."""
        return self.inner.read(deployment)

    def all(self) -> list[DeploymentState]:
        """As they stand."""
        return self.inner.all()

    def timeline(self, deployment: str, limit: int = 100) -> list[Decision]:
        """As it is."""
        return self.inner.timeline(deployment, limit)

    def trail(self) -> Trail:
        """As it is."""
        return self.inner.trail()

    def head(self, deployment: str) -> Head:
        """As it is."""
        return self.inner.head(deployment)

    def judge_state(self, deployment: str, generation: str) -> bytes | None:
        """As it is."""
        return self.inner.judge_state(deployment, generation)

    def together(self) -> AbstractContextManager[None]:
        """In one transaction."""
        return self.inner.together()

    def save_look(
        self, deployment: str, generation: str, state: bytes, look: Look, opening: Opening | None = None
    ) -> None:
        """Remember."""
        self.inner.save_look(deployment, generation, state, look, opening)

    def opening(self, deployment: str, generation: str) -> Opening | None:
        """As it is."""
        return self.inner.opening(deployment, generation)

    def openings(self, deployment: str) -> list[Opening]:
        """As they are."""
        return self.inner.openings(deployment)

    def looks(self, deployment: str, generation: str) -> list[Look]:
        """As they are."""
        return self.inner.looks(deployment, generation)

    def forget_generation(self, deployment: str, generation: str) -> None:
        """As it is."""
        self.inner.forget_generation(deployment, generation)

    def save_point(self, deployment: str, generation: str, point: CoursePoint) -> None:
        """As it is."""
        self.inner.save_point(deployment, generation, point)

    def course(self, deployment: str, generation: str) -> list[CoursePoint]:
        """As it is."""
        return self.inner.course(deployment, generation)


@dataclass
class Scene:
    """A house over a store that can be interrupted and opened again."""

    state: Interrupted
    log: EventLog

    def house(self) -> House:
        """The control story over the store, as a restarted agent finds it."""
        return House(state=self.state, log=self.log)


@pytest.fixture(params=["memory:", "sqlite:{tmp_path}/store.db", "postgresql:"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    if request.param == "memory:":
        yield Scene(Interrupted(MemoryControlState()), MemoryEventLog())
        return
    store = open_store(fresh(request.param, tmp_path=tmp_path))
    yield Scene(Interrupted(store.control), store.events)
    store.close()


def demote(house: House, name: str = "canary") -> Decision:
    return house.control.send(NAME, Signal.DEMOTE, actor="ann", reason="abort", candidate=name)


def shares(house: House) -> dict[str, float]:
    """Who takes traffic besides stable, as workers are told."""
    return {one.part.name: one.weight for one in table_of(house.document, NO_FEATURES).candidates}


@pytest.mark.parametrize("by", ["judge", "operator"])
def test_an_abort_while_a_promotion_is_pending_wins(scene: Scene, by: str) -> None:
    house = scene.house().open()
    house.start()
    scene.state.action, scene.state.meanwhile = "promote", lambda: demote(house)
    if by == "judge":
        house.live(40, BETTER)
    else:
        with pytest.raises(InvalidTransition, match="demoted cannot be told to promote"):
            house.control.send(NAME, Signal.PROMOTE, actor="bob", reason="now")
    assert house.rollout().phase is Phase.DEMOTED
    assert house.document.stable.model.version == "1"
    assert shares(house) == {}


def test_an_abort_while_paused_needs_no_resume_first(scene: Scene) -> None:
    house = scene.house().open()
    house.start()
    house.control.send(NAME, Signal.PAUSE, actor="ann", reason="wait")
    demote(house)
    assert (house.rollout().phase, house.rollout().weight, shares(house)) == (Phase.DEMOTED, 0.0, {})
    with pytest.raises(InvalidTransition):
        house.control.send(NAME, Signal.RESUME, actor="bob", reason="on")


def test_an_abort_while_a_resume_is_pending_wins(scene: Scene) -> None:
    house = scene.house().open()
    house.start()
    house.control.send(NAME, Signal.PAUSE, actor="ann", reason="wait")
    scene.state.action, scene.state.meanwhile = "resume", lambda: demote(house)
    with pytest.raises(InvalidTransition):
        house.control.send(NAME, Signal.RESUME, actor="bob", reason="on")
    assert house.rollout().phase is Phase.DEMOTED


def test_a_restart_after_a_failure_revives_nothing_and_goes_on_with_what_lives(scene: Scene) -> None:
    house = scene.house().open()
    house.start("2")
    house.start("3", name="other")
    house.serve(400, GOOD | {"3": 0.2})
    house.look()
    demote(house)
    before, generation = house.document, house.rollout().generation
    again = scene.house()
    again.clock.advance(house.clock.data() - again.clock.data())
    assert again.document == before
    assert again.control.ready(NAME, generation) is None
    again.look()
    assert again.rollout().phase is Phase.DEMOTED
    assert again.rollout("other").phase is Phase.RUNNING
    assert shares(again).keys() == {"other"}


def test_an_abort_with_nothing_running_changes_nothing_and_says_so(scene: Scene) -> None:
    house = scene.house().open()
    before = house.document
    with pytest.raises(UnknownVariant):
        demote(house)
    assert house.document == before
    house.start()
    demote(house)
    before = house.document
    with pytest.raises(InvalidTransition, match="A rollout that is demoted cannot be told to demote"):
        demote(house)
    assert house.document == before


def test_a_retry_after_an_abort_is_a_new_life_with_no_wealth_of_the_old_one(scene: Scene) -> None:
    house = scene.house().open()
    old = house.start()
    house.serve(600, BETTER)
    house.look()
    assert house.control.case(house.rollout(), NAME).n_candidate > 0
    demote(house)
    new = house.start()
    assert (new.phase, new.step, new.seen) == (Phase.RUNNING, 0, 0)
    assert new.generation != old.generation
    assert new.salt != old.salt
    assert house.control.case(new, NAME).n_candidate == 0


def test_nothing_flaps_after_an_abort(scene: Scene) -> None:
    house = scene.house().open()
    house.start()
    house.serve(600, BETTER)
    generation = house.rollout().generation
    demote(house)
    revision = house.document.revision
    assert house.look() == []  # the evidence for a promotion was there, and comes too late
    assert house.control.ready(NAME, generation) is None
    for signal in (Signal.RESUME, Signal.PAUSE, Signal.PROMOTE, Signal.ADVANCE):
        with pytest.raises(InvalidTransition):
            house.control.send(NAME, signal, actor="bob", reason="again")
    with pytest.raises(CandidateLatched):
        house.control.set_traffic(NAME, {"canary": 0.5}, {}, expected=revision, actor="bob", reason="back")
    assert (house.document.revision, shares(house)) == (revision, {})


def test_of_changes_at_once_one_holds_and_every_abort_does(scene: Scene) -> None:
    """Threads and a barrier: two operators with the same revision in hand, and one who aborts."""
    house = scene.house().open()
    house.start()
    revision, barrier = house.document.revision, threading.Barrier(3)
    ended: list[str] = []
    lock = threading.Lock()  # the agent has one store thread: calls do not overlap, but come in any order

    def ask(name: str, work: Callable[[], object]) -> None:
        barrier.wait()
        try:
            with lock:
                work()
            ended.append(f"{name} held")
        except (RevisionConflict, InvalidTransition, CandidateLatched) as error:
            ended.append(f"{name}: {type(error).__name__}")

    def split(weight: float) -> Callable[[], object]:
        return lambda: house.control.set_traffic(
            NAME, {"canary": weight}, {}, expected=revision, actor="ann", reason="by hand"
        )

    asks = {"a": split(0.3), "b": split(0.4), "abort": lambda: demote(house)}
    threads = [threading.Thread(target=ask, args=item) for item in asks.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "abort held" in ended
    assert sum(said in ("a held", "b held") for said in ended) <= 1
    assert (house.rollout().phase, shares(house)) == (Phase.DEMOTED, {})


def test_a_candidate_that_was_replaced_and_one_that_follows_never_share_a_generation(scene: Scene) -> None:
    house = scene.house().open()
    seen = {house.document.stable.generation}
    for version in ("2", "3", "4"):
        house.control.start_canary(
            NAME, card(version), NO_FEATURES, plan="quick", name="challenger", alias="challenger", actor="registry"
        )
        seen.add(house.rollout("challenger").generation)
    assert len(seen) == 4
    with pytest.raises(GatewayError):
        house.control.start_canary(
            NAME, card("4"), NO_FEATURES, plan="quick", name="challenger", alias="challenger", actor="registry"
        )
    assert house.rollout("challenger").model.version == "4"
