"""Children for the supervisor's tests: what each does depends on its number. Run as a module, as real ones are."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

DILIGENT, FROZEN, BRIEF, UNWILLING = range(4)


def main() -> None:
    """Leave a line in the diary (the settings' folder), then behave as numbered."""
    parser = argparse.ArgumentParser()
    for name in ("settings", "parent", "listen", "beat", "index"):
        parser.add_argument(f"--{name}")
    said = parser.parse_args()
    kind, beat = int(said.index), int(said.beat)
    with Path(f"{said.settings}.diary").open("a") as diary:
        diary.write(f"{kind} {os.getpid()}\n")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if kind == UNWILLING else _leave)
    os.write(beat, b".")
    while kind != BRIEF:
        time.sleep(0.05)
        if kind != FROZEN:
            os.write(beat, b".")


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
