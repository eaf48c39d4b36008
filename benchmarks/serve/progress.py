"""Tells whoever watches how far it is."""

import time


def say(words: str) -> None:
    """Print a line with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)
