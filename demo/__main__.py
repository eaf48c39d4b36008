"""Prepare real flights, serve them, play the story, and go on serving. ``make demo`` and ``make serve`` run this."""

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import sys
import time
import urllib.request
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from demo.client import Gateway
from demo.healing import CLOSING
from demo.pictures import Photographer
from demo.player import Player
from demo.process import Serving, somebody_serves
from demo.screen import Screen
from demo.story import MARCH, OPENING, SAMPLE, Stage
from demo.writer import HistoryWriter
from models.flights.data import instant
from models.flights.layout import DEFAULT, MODEL, Layout
from models.flights.prepare import prepare

ACTS = (*OPENING, *CLOSING)
CONFIG = Path("gateway.yaml")
REPORT = Path("demo-report.json")
STATE = Path("state/gateway")
LOG = Path("state/gateway.log")
DATA, CONTROL = "http://127.0.0.1:8000", "http://127.0.0.1:8001"


def main() -> int:
    """Return 0 when every act went as told."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the story")
    parser.add_argument("--serve-only", action="store_true", help="serve what was prepared, without the story")
    parser.add_argument("--pictures", action="store_true", help="take pictures of the control room meanwhile")
    asked = parser.parse_args()
    os.environ["TZ"] = "UTC"  # Feast's SQLite store writes event times in local time
    time.tzset()
    taken = somebody_serves(DATA, CONTROL)
    if taken is not None:
        sys.stderr.write(f"Something is served at {taken} already: stop it first.\n")
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end like Ctrl-C: the gateway ends with us
    return _serve() if asked.serve_only else _play(asked.once, pictures=asked.pictures)


def _play(once: bool, *, pictures: bool = False) -> int:
    layout = Layout(DEFAULT)
    with Screen() as screen:
        screen.say("Preparing real flights: New York, 2013 (about a minute the first time) ...")
        prepare(layout, say=lambda line: screen.say(f"  {line}"))
        _forget_the_last_story()
        with Serving(CONFIG, LOG) as serving:
            with Photographer(CONTROL, MODEL) if pictures else nullcontext():
                told = asyncio.run(_tell(layout, serving, screen))
            screen.say(f"The figures stand in {REPORT}.")
            screen.stop()
            if not once:
                _show_around()
                serving.wait()
    return 0 if told else 1


async def _tell(layout: Layout, serving: Serving, screen: Screen) -> bool:
    """Tell the story to its end, or to the first act that does not go as told; and write the report."""
    started = time.monotonic()
    start = instant(MARCH.first)
    async with Gateway(DATA, CONTROL, MODEL) as gateway, HistoryWriter(layout.root, start) as writer:
        screen.say(f"The gateway is ready after {await serving.until_ready(gateway):.1f} s (its log: {LOG})")
        stage = Stage(layout.root, gateway, Player(gateway, writer, screen.progress), screen)
        for title, act in ACTS:
            if not await stage.act(title, act):
                break
        books = await gateway.ledger()
    told = len(stage.acts) == len(ACTS) and all(act.told for act in stage.acts)
    _report(stage, told, books, time.monotonic() - started)
    return told


def _forget_the_last_story() -> None:
    """The story is told from its beginning; what the gateway remembered of the last one would be in its way."""
    shutil.rmtree(STATE, ignore_errors=True)


def _report(stage: Stage, told: bool, books: Any, seconds: float) -> None:
    report = {
        "told": told,
        "seconds": round(seconds, 1),
        "sample": list(map(str, SAMPLE)),
        "acts": [asdict(act) for act in stage.acts],
        "ledger": books,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
    }
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _serve() -> int:
    if not Layout(DEFAULT).registry_file.exists():
        sys.stderr.write("Nothing has been prepared yet: run `make demo` first.\n")
        return 1
    with Serving(CONFIG, LOG) as serving:
        asyncio.run(_until_ready(serving))
        _show_around()
        serving.wait()
    return 0


async def _until_ready(serving: Serving) -> None:
    async with Gateway(DATA, CONTROL, MODEL) as gateway:
        await serving.until_ready(gateway)


def _show_around() -> None:
    """Say what there is to see and to try."""
    with urllib.request.urlopen(f"{CONTROL}/admin/deployments/{MODEL}", timeout=10) as answer:
        example = json.load(answer)["inputs"]["example"]
    sys.stdout.write(
        f"""
Serving until Ctrl-C. Look at
  {CONTROL}/                                  the control room
  {CONTROL}/admin/deployments/{MODEL}/timeline   every decision and why
  {CONTROL}/metrics                           what Prometheus reads
  {DATA}/docs                              the data plane's API
and try
  curl -s {CONTROL}/admin/deployments/{MODEL} | python3 -m json.tool
  curl -s {DATA}/predict -H 'content-type: application/json' -d '{json.dumps(example)}'
"""
    )
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
