"""Watches one candidate's life on the control plane's timeline, as an operator would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

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


@asynccontextmanager
async def watching(gateway: Gateway, screen: Screen) -> AsyncIterator[Ending]:
    """Tell every new decision as it is made, and keep them in the Ending, until the block is left."""
    ending = Ending()
    newest = max((line["revision"] for line in await _timeline(gateway)), default=0)
    watcher = asyncio.create_task(_watch(gateway, screen, ending, newest))
    try:
        yield ending
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher


async def _watch(gateway: Gateway, screen: Screen, ending: Ending, newest: int) -> None:
    while True:
        for line in reversed(await _timeline(gateway)):
            if line["revision"] > newest and line["action"] in _LIVES:
                newest = line["revision"]
                ending.take(line)
                screen.decision(line)
        await asyncio.sleep(_POLL_S)


async def _timeline(gateway: Gateway) -> list[dict[str, Any]]:
    return list((await gateway.get("/timeline"))["decisions"])
