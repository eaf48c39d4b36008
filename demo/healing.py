"""The acts in which the loop closes: drift is seen, the model is trained again, proves itself, and calm comes.

Nothing here asks for a run, starts a rollout or moves an alias: flights are played, and the timeline is read. Data time
stands still while a model is trained: at this speed half a minute of that would be days of flights. What has been seen
so far is read meanwhile.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from statistics import fmean
from typing import Any

from demo.client import Gateway
from demo.player import Tally
from demo.story import AUTUMN, HEALING, JULY, SPRING, Stage, Told
from demo.watch import HEALS, Healing, watching
from models.flights.data import instant

_AT_ONCE = 500
_TESTED_FROM = instant(date(2013, 8, 1))
_FORMER = "former"
"""What the gateway calls a former stable that watches its successor."""


async def spring_goes_on(stage: Stage) -> Told:
    """May is as the winter was: nothing is seen, and nobody is called."""
    async with watching(stage.gateway, stage.screen, Healing(), HEALS) as healing:
        tally = await stage.serve(SPRING)
        accuracy = await stage.accuracy(SPRING)
    alarms = [line["reason"] for line in healing.decisions if line["action"] == "drift"]
    figures = asdict(tally.figures()) | {"accuracy": accuracy, "alarms": alarms}
    right = accuracy.get("2", 0.0)
    return not alarms and set(tally.served) == {"stable"}, f"v2 was right on {right:.1%} in May; no alarm", figures


async def summer_comes(stage: Stage) -> Told:
    """The model trained in winter meets July, and is replaced by what it was made into, by nobody's hand."""
    tally = Tally()
    async with watching(stage.gateway, stage.screen, Healing(), HEALS) as healing:
        await stage.player.play(stage.flights(JULY), tally, healing.asked)
        july = await stage.accuracy(JULY, land=False)
        if await _retrained(healing):
            await healing.until(healing.started)
            await stage.player.play(stage.flights(HEALING), tally, healing.over)
    shown = "gateway_live_accuracy" in await stage.gateway.metrics()
    figures = asdict(tally.figures()) | {
        "accuracy_spring": stage.spring,
        "accuracy_july": july,
        "in_metrics": shown,
        "loop": healing.figures(instant(JULY.first)),
        "steps": [line["action"] for line in healing.decisions],
        **healing.evidence(),
    }
    worse = july.get("2", 1.0) < stage.spring.get("2", 0.0)
    told = worse and shown and healing.closed and figures["steps"].count("advance") == 2
    return told, _summer(figures["loop"], stage.spring, july), figures


async def autumn_calms(stage: Stage) -> Told:
    """The model that was not trained again watches beside its successor; September's calm is drift once more.

    What is trained then waits, as its plan says, until the watch is over.
    """
    tally = Tally()
    async with watching(stage.gateway, stage.screen, Healing(), HEALS) as healing:
        await stage.player.play(stage.flights(AUTUMN), tally, healing.asked)
        known = len(tally.landed)
        again, found = await asyncio.gather(_retrained(healing), read(stage.gateway, tally.landed[:known]))
    await stage.player.land_all(tally)
    gain = beside(found + await read(stage.gateway, tally.landed[known:]))
    september, run = instant(date(2013, 9, 1)), healing.first("retrain") or {}
    figures = asdict(tally.figures()) | {
        "beside": asdict(gain),
        "loop": healing.figures(september),
        "steps": [line["action"] for line in healing.decisions],
        **healing.evidence(),
    }
    by_calm = run.get("data_at", 0.0) >= september and figures["trigger"] == "drift"
    return gain.better and by_calm and again, f"{gain.sentence()}; {_again(healing)}", figures


@dataclass(frozen=True, slots=True)
class Beside:
    """Two models on the same flights of August and September, whose truth is known: shares right, and Brier scores."""

    flights: int = 0
    accuracy_old: float = 0.0
    accuracy_new: float = 0.0
    brier_old: float = 0.0
    brier_new: float = 0.0

    @property
    def better(self) -> bool:
        """Whether the one that was trained again is right more often, and nearer by its scores."""
        return self.accuracy_new > self.accuracy_old and self.brier_new < self.brier_old

    def sentence(self) -> str:
        """Say what was gained."""
        right = f"right on {self.accuracy_new:.2%} against {self.accuracy_old:.2%} of {self.flights:,} flights"
        return f"trained again {right}, Brier {self.brier_new:.4f} against {self.brier_old:.4f}"


async def read(gateway: Gateway, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Read what stable and its shadows said of each prediction, and its truth, in the gateway's own log."""
    await gateway.ledger()
    found: list[dict[str, Any]] = []
    for first in range(0, len(ids), _AT_ONCE):
        found += await asyncio.gather(*(gateway.prediction(one) for one in ids[first : first + _AT_ONCE]))
    return found


def beside(predictions: Sequence[dict[str, Any]]) -> Beside:
    """Compare stable with the former stable where both answered since August, and the truth is known."""
    pairs = [pair for prediction in predictions if (pair := _pair(prediction)) is not None]
    if not pairs:
        return Beside()
    rows = [
        ((old >= 0.5) == bool(true), (new >= 0.5) == bool(true), (old - true) ** 2, (new - true) ** 2)
        for new, old, true in pairs
    ]
    return Beside(len(pairs), *(round(fmean(column), 5) for column in zip(*rows, strict=True)))


def _pair(prediction: dict[str, Any]) -> tuple[float, float, float] | None:
    """Scores of stable and of the former stable, and the truth; None where one of them is missing."""
    truths = [outcome["value"] for outcome in prediction["outcomes"] if outcome["metric"] == "label"]
    former = [shadow["score"] for shadow in prediction["shadows"] if shadow["name"] == _FORMER]
    known = truths and former and former[0] is not None and prediction["score"] is not None
    if not known or prediction["served"] != "stable" or prediction["at"] < _TESTED_FROM:
        return None
    return prediction["score"], former[0], float(truths[-1])


async def _retrained(healing: Healing) -> bool:
    """Wait until the run that was asked for has ended; say whether it succeeded."""
    if not healing.asked.is_set():
        return False
    await healing.until(healing.trained)
    return healing.first("retrained") is not None


def _summer(loop: dict[str, Any], spring: dict[str, float], july: dict[str, float]) -> str:
    right = f"v2 was right on {spring.get('2', 0):.1%} in April and on {july.get('2', 0):.1%} in July"
    if "promote" not in loop:
        return f"{right}; the loop did not close: {', '.join(loop) or 'no alarm'}"
    alarm, trained, stable = (loop[step] for step in ("drift", "retrained", "promote"))
    return (
        f"{right}; alarm after {alarm['hours'] / 24:.1f} days of drift, trained again {trained['seconds']} s later, "
        f"stable {(stable['hours'] - alarm['hours']) / 24:.1f} days of flights ({stable['seconds']} s) after the alarm"
    )


def _again(healing: Healing) -> str:
    run = healing.first("retrain")
    if run is None:
        return "September raised no alarm"
    said = healing.first("retrained")
    return f"September's calm had it trained once more ({run['reason']}){'' if said else ', in vain'}"


CLOSING = (
    ("Spring goes on", spring_goes_on),
    ("Summer comes: v2 is trained again and v5 proves itself, by nobody's hand", summer_comes),
    ("August and September, beside the model that was not trained again", autumn_calms),
)
"""After the story's opening acts."""
