"""A small slice of the example, made once: flights from 8 February to 10 March, prepared like the whole."""

import sys
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the example is run from the root of the repository, and so it is tested

from models.flights import data  # noqa: E402  the path above has to be there first
from models.flights.layout import Layout  # noqa: E402  as above

FIRST, LAST = date(2013, 2, 8), date(2013, 3, 11)


def slice_of_flights(layout: Layout) -> None:
    start, end = data.instant(FIRST), data.instant(LAST)
    flights, weather = data.load_flights(), data.load_weather()
    layout.make()
    data.save(flights[flights["sched_dep_at"].between(start, end, inclusive="left")], layout.flights)
    data.save(weather[weather["observed_at"].between(start, end)], layout.weather)


@pytest.fixture(scope="session")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Data and offline histories, applied; no models."""
    from models.flights import features

    layout = Layout(tmp_path_factory.mktemp("flights"))
    slice_of_flights(layout)
    features.write_offline(layout)
    features.apply(layout)
    return layout


@pytest.fixture(scope="session")
def example(histories: Layout) -> Layout:
    """Everything, models and registry too."""
    from models.flights import register, train

    train.train(histories)
    register.register(histories)
    return histories
