"""Makes everything the story needs below one folder: data, histories, feature store, models, registry.

``python -m models.flights.prepare --dir state/demo`` does what has not been done yet; ``--force`` does it all again.
The online store is set back to the story's start whenever it stands anywhere else, and the registry forgets what was
registered since, so the story can be played again.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.flights import data
from models.flights.feed import VIEWS
from models.flights.layout import DEFAULT, MODEL, VERSIONS, Layout


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be made: what it is, whether it is there, and how to make it."""

    says: str
    done: Callable[[], bool]
    make: Callable[[], object]


def prepare(layout: Layout, force: bool = False, say: Callable[[str], None] = print) -> None:
    """Make what is missing, in order; what follows a step that had to be made is made again.

    Online store and registry depend on where they stand, not on what came before them.
    """
    layout.make()
    stale = force
    for step in _steps(layout):
        stale = stale or not step.done()
        if not stale:
            say(f"{step.says}: there already")
            continue
        started = time.perf_counter()
        step.make()
        say(f"{step.says}: {time.perf_counter() - started:.1f} s")
    if not stale:
        from models.flights import register

        register.set_back(layout)
    _fill_online_store(layout, stale, say)


def _steps(layout: Layout) -> tuple[Step, ...]:
    """The steps in order. Their libraries take seconds to import, so each is imported when it is needed."""

    def histories() -> None:
        from models.flights import features

        features.write_offline(layout)
        features.apply(layout)

    def models() -> None:
        from models.flights import train

        train.train(layout)

    def registry() -> None:
        from models.flights import register

        register.register(layout)

    return (
        Step(
            "flights and weather of 2013, January to September",
            lambda: _flights_are_there(layout),
            lambda: data.prepare(layout),
        ),
        Step("histories, as they became known (Feast offline source)", lambda: _histories_are_there(layout), histories),
        Step("models, trained on January and February", lambda: _models_are_there(layout), models),
        Step("registry and model folder", lambda: _models_are_registered(layout), registry),
    )


def _fill_online_store(layout: Layout, stale: bool, say: Callable[[str], None]) -> None:
    start = data.instant(data.STORY_START)
    says = f"online store, as of {data.STORY_START}"
    if not stale and layout.written_until() == start:
        say(f"{says}: there already")
        return
    from models.flights import features

    started = time.perf_counter()
    features.materialize(layout, start)
    say(f"{says}: {time.perf_counter() - started:.1f} s")


def _flights_are_there(layout: Layout) -> bool:
    return layout.flights.exists() and layout.weather.exists()


def _histories_are_there(layout: Layout) -> bool:
    return (
        all((layout.offline / f"{view}.parquet").exists() for view in VIEWS) and (layout.feast / "registry.db").exists()
    )


def _models_are_there(layout: Layout) -> bool:
    return all((layout.trained / f"{number}.json").exists() for number in VERSIONS)


def _models_are_registered(layout: Layout) -> bool:
    """The manifests are written last."""
    folder = layout.model_folder / MODEL
    registry = layout.registry_file.exists() and layout.registry_at_start.exists()
    return registry and all((folder / f"{number}/manifest.json").exists() for number in VERSIONS)


def main() -> None:
    """Prepare as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m models.flights.prepare", description=__doc__)
    parser.add_argument("--dir", type=Path, default=DEFAULT, help="folder to make everything in (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="make everything again")
    asked = parser.parse_args()
    os.environ["TZ"] = "UTC"  # Feast's SQLite store writes event times in local time
    time.tzset()
    started = time.perf_counter()
    prepare(Layout(asked.dir), asked.force)
    print(f"ready in {time.perf_counter() - started:.1f} s: {asked.dir}")


if __name__ == "__main__":
    main()
