"""What is asked of a full store, through the gateway's own ports, and how long each takes."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from benchmarks.size.population import PLACE, SPOOL, Population
from gateway.adapters.spool.drain import BATCH_BYTES, BATCH_RECORDS
from gateway.adapters.spool.frames import encode
from gateway.adapters.store import Store, open_store
from tests.control_house import NAME, T0, House

LIMIT_S = 1.0
_ROUNDS = 15
_NEW = 1_000


@dataclass(frozen=True)
class Figure:
    """One thing asked so many times: what it was, and the seconds each took, in order of time."""

    what: str
    took: tuple[float, ...]

    @property
    def median(self) -> float:
        """Half took no longer."""
        return sorted(self.took)[len(self.took) // 2]

    @property
    def held(self) -> bool:
        """Whether the slowest, which met a cold cache, kept its limit."""
        return max(self.took) < LIMIT_S


@dataclass(frozen=True)
class Filled:
    """A store that was filled: who is in it, how many seconds that took, and its bytes on disk."""

    name: str
    people: Population
    load_s: float
    bytes: int


@dataclass(frozen=True)
class Sized:
    """One full store and its figures. ``load``: the machine's load average over the minute before the last of them."""

    filled: Filled
    figures: tuple[Figure, ...]
    load: float


@contextmanager
def opened(url: str) -> Iterator[tuple[Store, House]]:
    """Open a store, and the control story upon it."""
    store = open_store(url)
    try:
        yield store, House(state=store.control, log=store.events)
    finally:
        store.close()


def measure(url: str, filled: Filled) -> Sized:
    """Ask everything, the cold ones first."""
    people, dice = filled.people, Random(time.time_ns())
    with opened(url) as (store, here):
        most, join = _late_outcomes(store, people, dice)
        looks = _looks(here, people)
        asked: tuple[tuple[str, Callable[[int], object]], ...] = (
            (f"feedback join: {most:,} late outcomes, a drain's largest batch", join),
            (f"the judge's look at {_NEW:,} new predictions", lambda _: next(looks)),
            ("the ledger of a deployment", lambda _: store.events.books(NAME)),
            ("the ledger of all", lambda _: store.events.books()),
        )
        figures = tuple(_timed(what, ask) for what, ask in asked)
        return Sized(filled, figures, os.getloadavg()[0])


def _timed(what: str, ask: Callable[[int], object]) -> Figure:
    took = []
    for turn in range(_ROUNDS):
        began = time.perf_counter()
        ask(turn)
        took.append(time.perf_counter() - began)
    print(f"{what}: {' '.join(f'{one:.4f}' for one in took)}", flush=True)
    return Figure(what, tuple(took))


def _late_outcomes(store: Store, people: Population, dice: Random) -> tuple[int, Callable[[int], None]]:
    """Outcomes of predictions from anywhere in the log, as many as a drain reads at once."""
    most = min(BATCH_RECORDS, BATCH_BYTES // len(encode(people.outcomes([0])[0])))
    batches = [people.outcomes([dice.randrange(people.n) for _ in range(most)], 86_400.0) for _ in range(_ROUNDS)]

    spool_id = f"late-{dice.random()}-1-1-o000001"

    def join(turn: int) -> None:
        start = turn * most * PLACE
        placed = [(start + place * PLACE, event) for place, event in enumerate(batches[turn])]
        store.events.append(spool_id, placed, start + most * PLACE)

    return most, join


def _looks(here: House, people: Population) -> Iterator[object]:
    """Look on, a thousand predictions at a time, from where the last look ended."""
    visible = {SPOOL: people.n * PLACE, **here.log.cursors()}
    until = here.control.case(here.rollout(), NAME).judged_until
    first = people.begins + (0 if until is None else round((until - T0) * people.rate))
    for number in range(first + _NEW, people.n, _NEW):
        yield here.control.look(NAME, people.at(number), visible)
