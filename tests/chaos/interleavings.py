"""Operators and the judge as threads of which one runs at a time, in an order that dice choose: every race, replayed.

Each has a control story of its own, as each host has, around one control document in memory. Whoever is about to read
or to write the document hands over to whoever the dice name. The same seed gives the same order.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random

from gateway.adapters.store.memory_control import MemoryControlState
from gateway.core.errors import GatewayError
from gateway.core.events import Decision
from gateway.core.features import NO_FEATURES
from gateway.core.rollout import Phase, Signal
from gateway.core.state import DeploymentState
from gateway.core.tables import table_of
from gateway.edge.problems import row_of
from tests.control_house import NAME, House, card

_GOOD, _FAILING = {"1": 0.2, "2": 0.2}, {"2": 1.0}
_TAKEN = (200, 409, 412)


class Baton:
    """Lets one thread at a time run, and says who is next whenever one hands over."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._turns: dict[str, threading.Semaphore] = {}
        self._ended = threading.Semaphore(0)
        self._broken: list[BaseException] = []
        self.handed = 0

    def __deepcopy__(self, memo: object) -> "Baton":
        return self  # a transaction that is undone does not undo whose turn it is

    def run(self, actors: dict[str, Callable[[], None]]) -> None:
        """Run them all to their ends. Raises what one of them raised."""
        self._turns = {name: threading.Semaphore(0) for name in actors}
        threads = [threading.Thread(target=self._live, args=(name, act), name=name) for name, act in actors.items()]
        for thread in threads:
            thread.start()
        self._next()
        self._ended.acquire()
        for thread in threads:
            thread.join()
        if self._broken:
            raise self._broken[0]

    def hand_over(self) -> None:
        """Wait until the dice name this thread again. Threads that are no actors go on."""
        turn = self._turns.get(threading.current_thread().name)
        if turn is not None:
            self.handed += 1
            self._next()
            turn.acquire()

    def _live(self, name: str, act: Callable[[], None]) -> None:
        self._turns[name].acquire()
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - raised again where all of them were started
            self._broken.append(error)
        del self._turns[name]
        self._next()

    def _next(self) -> None:
        if self._turns:
            self._turns[self._dice.choice(sorted(self._turns))].release()
        else:
            self._ended.release()


class Stepping(MemoryControlState):
    """A control state before whose every reading and writing somebody else may come. It keeps all that was written."""

    def __init__(self) -> None:
        super().__init__()
        self.baton: Baton | None = None
        self.written: list[DeploymentState] = []
        self._still: set[str] = set()

    def read(self, deployment: str) -> DeploymentState | None:
        """As it stands when the dice let it be read."""
        self._step()
        return super().read(deployment)

    def write(self, state: DeploymentState, expected: int, decisions: Sequence[Decision]) -> None:
        """Compare and set, when the dice let it."""
        self._step()
        super().write(state, expected, decisions)
        self.written.append(state)

    @contextmanager
    def together(self) -> Iterator[None]:
        """In one transaction, into which nobody comes."""
        self._step()
        name = threading.current_thread().name
        self._still.add(name)
        try:
            with super().together():
                yield
        finally:
            self._still.discard(name)

    def _step(self) -> None:
        if self.baton is not None and threading.current_thread().name not in self._still:
            self.baton.hand_over()


@dataclass
class Race:
    """What came of one interleaving."""

    revived: int = 0
    """Documents in which a generation that was demoted before has a share."""
    odd: list[int] = field(default_factory=list)
    """Answers but 200, 409 and 412."""
    answers: int = 0
    calls: int = 0
    handed: int = 0
    standing: int = 0
    """Whether the failing candidate still has a share when all is over and has been looked at once more."""


def race(seed: float) -> Race:
    """A candidate that fails is looked at, while operators send it weights, pause it, demote it or start another."""
    dice, state, found = Random(seed), Stepping(), Race()
    here = House(state=state).open()
    generation = here.start().generation
    here.serve(dice.randrange(30, 60), _GOOD, _FAILING)
    baton = Baton(dice)

    def host() -> House:
        return House(state=state, log=here.log, clock=here.clock, end=here.end)

    def call(act: Callable[[], object]) -> None:
        found.calls += 1
        try:
            act()
            status = 200
        except GatewayError as error:
            status = row_of(error).status
        found.answers += 1
        found.odd += [] if status in _TAKEN else [status]

    def judge() -> None:
        house = host()
        for _ in range(2):
            call(house.look)

    def weights() -> None:
        house = host()
        for _ in range(2):
            revision, share = house.document.revision, dice.choice((0.0, 0.2, 0.5))
            call(lambda revision=revision, share=share: _set_traffic(house, share, revision))  # type: ignore[misc]

    def other() -> None:
        house = host()
        signal = dice.choice((Signal.PAUSE, Signal.RESUME, Signal.DEMOTE, None))
        if signal is None:
            call(lambda: house.control.start_canary(NAME, card("3"), NO_FEATURES, plan="quick", actor="bob"))
        else:
            call(lambda: house.control.send(NAME, signal, actor="bob", reason="race"))

    state.baton = baton
    baton.run({"judge": judge, "weights": weights, "other": other})
    state.baton = None
    here.serve(200, _GOOD, _FAILING)
    here.look()
    found.handed = baton.handed
    found.revived = _revived(state.written)
    rollout = state.read(NAME)
    standing = None if rollout is None else rollout.rollouts.get("canary")
    found.standing = int(standing is not None and standing.generation == generation and standing.weight > 0.0)
    return found


def _set_traffic(house: House, share: float, revision: int) -> None:
    house.control.set_traffic(NAME, {"canary": share}, {}, expected=revision, actor="ann", reason="race")


def _revived(written: Sequence[DeploymentState]) -> int:
    """Walk all documents ever written: a generation that has been demoted once never has a share again."""
    latched, revived = set[str](), 0
    for state in written:
        table = table_of(state, NO_FEATURES)
        revived += sum(one.weight > 0.0 and one.part.generation in latched for one in table.candidates)
        latched |= {one.generation for one in state.rollouts.values() if one.phase is Phase.DEMOTED}
    return revived


def races(dice: Random, n: int) -> Race:
    """So many interleavings, added up."""
    total = Race()
    for _ in range(n):
        one = race(dice.random())
        total = replace(
            total,
            revived=total.revived + one.revived,
            odd=total.odd + one.odd,
            answers=total.answers + one.answers,
            calls=total.calls + one.calls,
            handed=total.handed + one.handed,
            standing=total.standing + one.standing,
        )
    return total
