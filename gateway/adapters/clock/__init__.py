"""The clocks: the only files that ask the machine what time it is."""

from gateway.adapters.clock.memory import ManualClock
from gateway.adapters.clock.replay import ReplayClock
from gateway.adapters.clock.wall import WallClock

__all__ = ["ManualClock", "ReplayClock", "WallClock", "open_clock"]


def open_clock(kind: str) -> "WallClock | ReplayClock":
    """Open ``wall`` or ``replay``, as the settings name them."""
    clocks: dict[str, type[WallClock] | type[ReplayClock]] = {"wall": WallClock, "replay": ReplayClock}
    return clocks[kind]()
