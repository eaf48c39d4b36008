"""Watches on the control plane's timeline, as an operator would: one candidate's life, or a round of the loop."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from demo.client import Gateway
from demo.screen import Screen

_POLL_S = 0.25
_ENDS = {"promote", "demote"}
_LIVES = {"ready", "advance", "pause", "resume", "promote", "demote"}


@dataclass
class Ending:
    """How a candidate's life has gone so far: its decisions, oldest first, and whether it is over."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    decisions: list[dict[str, Any]] = field(default_factory=list)

    def take(self, line: dict[str, Any]) -> None:
        """Take one line of the timeline into account."""
        self.decisions.append(line)
        if line["action"] == "ready":
            self.started.set()
        if line["action"] in _ENDS:
            self.over.set()

    @property
    def action(self) -> str:
        """``promote``, ``demote``, or "" while neither has happened."""
        return str(self.decisions[-1]["action"]) if self.over.is_set() else ""

    @property
    def actor(self) -> str:
        """Who made the last decision."""
        return str(self.decisions[-1]["actor"]) if self.decisions else ""

    def figures(self) -> dict[str, Any]:
        """How long it took from the first exposed request to the end, by both clocks, and on how much evidence."""
        first = next((line for line in self.decisions if line["action"] == "ready"), None)
        if first is None or not self.over.is_set():
            return {"ended": ""}
        last = self.decisions[-1]
        return {
            "ended": last["action"],
            "reason": last["reason"],
            "seconds": round(last["machine_at"] - first["machine_at"], 1),
            "flight_hours": round((last["data_at"] - first["data_at"]) / 3600, 1),
            "canary_labels": last["evidence"].get("n_candidate", 0),
            "shadow_pairs": last["evidence"].get("n_pairs", 0),
        }

    def sentence(self) -> str:
        """Say how it ended."""
        seen = self.figures()
        if not seen["ended"]:
            return "is still undecided"
        verb = "was promoted" if seen["ended"] == "promote" else "was demoted"
        reason = seen["reason"].rstrip(".")
        return f"{verb} after {seen['seconds']} s ({seen['flight_hours']:.0f} hours of flights): {reason}"


_RUN_ENDS = frozenset({"retrained", "retraining_failed"})


@dataclass
class Healing:
    """How one round of the loop has gone so far: the alarm, the run, the version that came of it, and its life.

    ``asked``: a run stands written down. ``trained``: it has ended. ``started``: its version has passed the gate and
    is on its first step, or was refused. ``over``: it is stable, or out.
    """

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    trained: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    decisions: list[dict[str, Any]] = field(default_factory=list)

    def take(self, line: dict[str, Any]) -> None:
        """Take one line of the timeline into account, but not the end of a run that was asked for before this round."""
        action = line["action"]
        if action in _RUN_ENDS and not self.asked.is_set():
            return
        self.decisions.append(line)
        events = {
            "retrain": self.asked,
            "retrained": self.trained,
            "retraining_failed": self.trained,
            "ready": self.started,
            "refuse": self.started,
            "promote": self.over,
            "demote": self.over,
        }
        if action in events:
            events[action].set()

    def first(self, action: str) -> dict[str, Any] | None:
        """The first decision of that name, None where there was none."""
        return next((line for line in self.decisions if line["action"] == action), None)

    @property
    def closed(self) -> bool:
        """Whether drift alone had it trained, every gate let it pass, and the judge made it stable: nobody's hand."""
        run, start, end = (self.first(action) or {} for action in ("retrain", "start", "promote"))
        seen = self.evidence()
        actors = (run.get("actor"), start.get("actor"), end.get("actor"))
        alone = actors == ("retraining", "registry", "judge") and seen["trigger"] == "drift"
        return alone and bool(seen["gates"]) and all(seen["gates"].values())

    def evidence(self) -> dict[str, Any]:
        """The run and what asked for it, which gates were passed, and on how much evidence the promotion rests."""
        run, start, end = ((self.first(action) or {}).get("evidence", {}) for action in ("retrain", "start", "promote"))
        return {
            "run": run.get("run"),
            "trigger": run.get("trigger"),
            "gates": {gate["gate"]: gate["passed"] for gate in start.get("gates", ())},
            "canary_labels": end.get("n_candidate", 0),
            "shadow_pairs": end.get("n_pairs", 0),
        }

    def figures(self, began: float) -> dict[str, Any]:
        """When what happened: hours of flights since data time ``began``, wall seconds since the alarm; and why."""
        alarm, found = self.first("drift"), dict[str, Any]()
        for action in ("drift", "retrain", "retrained", "ready", "promote"):
            line = self.first(action)
            if line is not None and alarm is not None:
                hours, seconds = (line["data_at"] - began) / 3600, line["machine_at"] - alarm["machine_at"]
                found[action] = {"hours": round(hours, 1), "seconds": round(seconds, 1), "reason": line["reason"]}
        return found

    async def until(self, event: asyncio.Event) -> None:
        """Wait for it as long as the timeline goes on. Raises TimeoutError where nothing new is told for long."""
        while not event.is_set():
            told = len(self.decisions)
            try:
                await asyncio.wait_for(event.wait(), _SILENCE_S)
            except TimeoutError:
                if len(self.decisions) == told:
                    raise


HEALS = _LIVES | {"drift", "retrain", "retraining_called", "retrained", "retraining_failed", "start", "refuse"}
_SILENCE_S = 900.0

T = TypeVar("T", Ending, Healing)


@asynccontextmanager
async def watching(gateway: Gateway, screen: Screen, what: T, actions: Collection[str] = _LIVES) -> AsyncIterator[T]:
    """Tell every new decision as it is made, and have ``what`` take it, until the block is left."""
    newest = max((line["revision"] for line in await _timeline(gateway)), default=0)
    watcher = asyncio.create_task(_watch(gateway, screen, what, newest, actions))
    try:
        yield what
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher


async def _watch(
    gateway: Gateway, screen: Screen, what: Ending | Healing, newest: int, actions: Collection[str]
) -> None:
    while True:
        for line in reversed(await _timeline(gateway)):
            if line["revision"] > newest and line["action"] in actions:
                newest = line["revision"]
                what.take(line)
                screen.decision(line)
        await asyncio.sleep(_POLL_S)


async def _timeline(gateway: Gateway) -> list[dict[str, Any]]:
    return list((await gateway.get("/timeline"))["decisions"])
