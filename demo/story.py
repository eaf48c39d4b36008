"""The acts on real flights. Each tells what happened, with figures, and says whether it went as told."""

import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from demo.client import Gateway
from demo.course import Course, course, newest_revision
from demo.player import Player, Tally
from demo.screen import Screen
from demo.watch import Ending, watching
from models.flights.data import instant
from models.flights.replay import Flight, flights_between

_DAWN_S = 6.5 * 3600.0
"""A rollout starts when the day's first flights have left: data time is then the day's own, for everybody."""


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days that an act may play, both included; it ends early when decided.

    Of every day's flights a share, the same ones each time, and each of them once.
    """

    first: date
    last: date
    share: float = 1.0

    def __str__(self) -> str:
        part = "" if self.share == 1.0 else f", {self.share:.0%} of the flights"
        return f"{self.first} to {self.last}{part}"


MARCH = Days(date(2013, 3, 1), date(2013, 3, 4))
PROVING = Days(date(2013, 3, 5), date(2013, 4, 7))
UNITS = Days(date(2013, 4, 8), date(2013, 4, 20))
RAISING = Days(date(2013, 4, 22), date(2013, 4, 27))
SPRING = Days(date(2013, 5, 1), date(2013, 5, 15), 0.2)
JULY = Days(date(2013, 7, 1), date(2013, 7, 31), 0.5)
HEALING = Days(date(2013, 7, 1), date(2013, 8, 31))
AUTUMN = Days(date(2013, 7, 1), date(2013, 9, 30), 0.2)
SAMPLE = (MARCH, PROVING, UNITS, RAISING, SPRING, JULY, HEALING, AUTUMN)
"""The declared sample. Every flight is in the histories, whether it asks for a prediction or not.

The last three follow one another: each begins where the one before ended.
"""


@dataclass(frozen=True, slots=True)
class Act:
    """What happened in one act: whether it went as told, and the figures that show it."""

    title: str
    told: bool
    summary: str
    figures: dict[str, Any]
    seconds: float
    course: Course


@dataclass
class Stage:
    """What the acts share."""

    folder: Path
    gateway: Gateway
    player: Player
    screen: Screen
    acts: list[Act] = field(default_factory=list)
    spring: dict[str, float] = field(default_factory=dict)
    """Accuracy by version in April, for summer to be compared with."""

    def flights(self, days: Days) -> list[Flight]:
        """The sample's flights of these days that have not left yet."""
        found = list(flights_between(self.folder, days.first, days.last, days.share))
        return found[bisect_right(found, self.player.now, key=lambda flight: flight.at) :]

    async def serve(self, days: Days) -> Tally:
        """Play whole days to their end."""
        return await self.player.play(self.flights(days), Tally())

    async def roll_out(self, version: int, plan: str, days: Days) -> tuple[Tally, Ending]:
        """Start a candidate and play days until the gateway has promoted or demoted it, or they are over."""
        flights = self.flights(days)
        dawn = bisect_left(flights, instant(days.first) + _DAWN_S, key=lambda flight: flight.at)
        tally = await self.player.play(flights[:dawn], Tally())
        async with watching(self.gateway, self.screen, Ending()) as ending:
            await self.gateway.post("/canary", {"model": f"models:/flight-delay/{version}", "plan": plan})
            await ending.started.wait()
            await self.player.play(flights[dawn:], tally, ending.over)
        return tally, ending

    async def accuracy(self, days: Days, *, land: bool = True) -> dict[str, float]:
        """Read every version's accuracy from the first of ``days`` to now in the gateway's own log.

        First everything in the air may ``land``, so that all labels are in.
        """
        if land:
            await self.player.land_all(Tally())
        await self.gateway.ledger()
        hours = (self.player.now - instant(days.first)) / 3600
        [span] = (await self.gateway.get("/performance", hours=hours))["spans"]
        right, labelled = Counter[str](), Counter[str]()
        for row in span["variants"]:
            if row["model_version"] is not None and row["labelled"]:
                labelled[row["model_version"]] += row["labelled"]
                right[row["model_version"]] += round(row["accuracy"] * row["labelled"])
        return {version: round(right[version] / labelled[version], 4) for version in sorted(labelled)}

    async def act(self, title: str, play: "Play") -> bool:
        """Play one act, show and keep what came of it."""
        self.screen.act(title)
        started, revision = time.monotonic(), await newest_revision(self.gateway)
        self.player.began = None
        told, summary, figures = await play(self)
        seconds = round(time.monotonic() - started, 1)
        went = await course(self.gateway, self.player.began or self.player.now, revision)
        self.acts.append(Act(title, told, summary, figures, seconds, went))
        self.screen.told(told, summary)
        return told


Told = tuple[bool, str, dict[str, Any]]
Play = Callable[[Stage], Awaitable[Told]]


async def stable_serves(stage: Stage) -> Told:
    """Stable v1, trained on January and February without histories, serves March."""
    tally = await stage.serve(MARCH)
    accuracy = await stage.accuracy(MARCH)
    figures = asdict(tally.figures()) | {"accuracy": accuracy}
    told = set(tally.served) == {"stable"} and set(accuracy) == {"1"}
    return told, f"v1 answered {tally.requests:,} flights, {accuracy.get('1', 0):.1%} rightly", figures


async def challenger_is_promoted(stage: Stage) -> Told:
    """v2 reads online histories too, and goes shadow, 5 %, 25 %, 50 %, promoted by the judge."""
    tally, ending = await stage.roll_out(2, "careful", PROVING)
    steps = [line["action"] for line in ending.decisions]
    figures = asdict(tally.figures()) | ending.figures() | {"steps": steps}
    told = ending.action == "promote" and ending.actor == "judge" and steps.count("advance") == 3
    return told, f"v2 {ending.sentence()}", figures


async def wrong_units_are_caught(stage: Stage) -> Told:
    """v3 was trained with a delay in hours that the store serves in minutes; offline it looked fine."""
    tally, ending = await stage.roll_out(3, "direct", UNITS)
    figures = asdict(tally.figures()) | ending.figures() | {"users_who_met_it": tally.served["canary"]}
    told = ending.action == "demote" and ending.actor == "judge"
    met = f"{tally.served['canary']:,} of {tally.requests:,} callers met it"
    return told, f"v3 {ending.sentence()}; {met}", figures


async def raising_is_caught(stage: Stage) -> Told:
    """v4 raises on a tenth of the requests: callers get stable's answer."""
    tally, ending = await stage.roll_out(4, "direct", RAISING)
    stage.spring = await stage.accuracy(UNITS)
    figures = asdict(tally.figures()) | ending.figures() | {"accuracy": stage.spring}
    told = ending.action == "demote" and ending.actor == "judge" and tally.fallbacks > 0
    return told, f"v4 {ending.sentence()}; stable stood in {tally.fallbacks} times, no caller saw an error", figures


OPENING = (
    ("Stable v1 serves March", stable_serves),
    ("Challenger v2 proves itself: shadow, 5 %, 25 %, 50 %, promoted", challenger_is_promoted),
    ("Challenger v3 has its units wrong", wrong_units_are_caught),
    ("Challenger v4 raises on a tenth of the requests", raising_is_caught),
)
"""Before summer; what follows stands in :mod:`demo.healing`."""
