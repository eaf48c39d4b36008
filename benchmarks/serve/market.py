"""The gateway among its peers: one model at a time, all of them serving it from the same file, in the same rounds.

Everybody is alive at once, so whatever an idle peer costs the machine costs all of them. What cannot be installed or
started is not left out: it is named with its error.
"""

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.serve import rounds
from benchmarks.serve.goals import Run
from benchmarks.serve.load import resident_mb
from benchmarks.serve.peers import PEERS, install, served
from benchmarks.serve.progress import say
from benchmarks.serve.subject import Subject
from benchmarks.serve.world import World

MODELS = ("logistic", "forest", "boosting")
Standing = contextlib.AbstractContextManager[Sequence[Subject]]


def settle(run: Run) -> None:
    """Make the peers' environments before anything is measured."""
    for peer in PEERS:
        run.settings[peer.name] = peer.settings
        try:
            install(peer)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            run.absent[peer.name] = f"not installed: {error}"
            say(f"{peer.name} could not be installed: {error}")


def measure(
    run: Run,
    world: World,
    ours: Callable[[str], Standing],
    *,
    connections: Sequence[int],
    count: int,
    seconds: float,
    scratch: Path,
) -> None:
    """Measure every peer with each model, beside those that ``ours`` starts for it."""
    for model in MODELS:
        say(f"peers, {model}")
        with contextlib.ExitStack() as open_:
            subjects = [*open_.enter_context(ours(model)), *_peers(run, world, model, open_)]
            rounds.measure(run.market.setdefault(model, {}), subjects, connections, count, seconds, scratch)
            for subject in subjects:
                run.resident_mb.setdefault(f"{subject.name}, {model}", resident_mb(subject.pid))


def _peers(run: Run, world: World, model: str, open_: contextlib.ExitStack) -> Iterator[Subject]:
    for peer in PEERS:
        if peer.name in run.absent:
            continue
        try:
            yield open_.enter_context(served(peer, world, model))
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            run.absent[f"{peer.name}, {model}"] = f"not started: {error}"
            say(f"{peer.name} could not be started: {error}")
