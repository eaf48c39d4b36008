"""Closed-loop rounds: everybody is asked in turn, so that what changes on the machine meets everybody."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.serve import load
from benchmarks.serve.goals import Points
from benchmarks.serve.progress import say
from benchmarks.serve.subject import Subject

WARM_UP_S = 1.0
_ids = itertools.count(1)
"""Every point has a prefix of its own in its request ids."""


def measure(
    points: Points, subjects: Sequence[Subject], connections: Sequence[int], rounds: int, seconds: float, scratch: Path
) -> None:
    """Add ``rounds`` points of ``seconds`` each, after a round that warms up and is not kept."""
    for number in range(-1, rounds):
        lasting = seconds if number >= 0 else WARM_UP_S
        say(f"round {number + 1} of {rounds}: {len(subjects)} subjects, {lasting:g} s at each number of connections")
        for count, subject in itertools.product(connections, _turned(subjects, number)):
            point = load.run(subject.url, subject.kind, count, lasting, scratch, next(_ids), subject.pid)
            if number >= 0:
                points.setdefault(subject.name, {}).setdefault(count, []).append(point)
            if subject.house is not None:
                subject.house.sweep()


def _turned(subjects: Sequence[Subject], number: int) -> Iterator[Subject]:
    """Another one begins in each round."""
    shift = max(0, number) % max(1, len(subjects))
    return itertools.chain(subjects[shift:], subjects[:shift])
