"""Training-serving skew on real flights: the same values are the same, and a served mistake is found."""

from pathlib import Path

import pandas as pd
import pytest

from gateway.adapters.drift import Comparer
from gateway.adapters.features import open_compiler
from gateway.core.drift.rows import LoggedRow
from models.flights.features import SERVICE, training_frame
from models.flights.layout import Layout
from models.flights.train import rows_of

FLIGHTS = 20
BROKEN = "carrier_late_share"


def served(layout: Layout, factor: float) -> tuple[list[LoggedRow], float]:
    """Flights as they would have been served, one history off by ``factor``."""
    flights = pd.read_parquet(layout.flights)
    late = flights[flights["late"].notna()].sort_values("sched_dep_at").tail(2_000).head(FLIGHTS)
    frame = training_frame(layout, late)
    plan = open_compiler(str(layout.feature_repo)).compile([SERVICE])
    keys = tuple(key.request for key in plan.join_keys())
    columns = dict.fromkeys((*keys, *plan.names()), float)
    rows = []
    for number, values in enumerate(rows_of(frame, columns)):
        asked = dict(zip(columns, values, strict=True))
        if asked[BROKEN] is not None:
            asked[BROKEN] *= factor
        statuses = bytes(5 if name in keys else 1 if asked[name] is None else 0 for name in columns)
        at = float(frame["event_timestamp"].iloc[number].timestamp())
        rows.append(LoggedRow(at, f"b{number}", "g", False, tuple(columns), tuple(asked.values()), statuses))
    return rows, max(row.at for row in rows)


@pytest.mark.timeout(300)
def test_values_served_as_they_were_known_show_no_skew_and_a_served_mistake_does(histories: Layout) -> None:
    plan = open_compiler(str(histories.feature_repo)).compile([SERVICE])
    rows, at = served(histories, 60.0)
    skew = Comparer(histories.feature_repo, longest_s=250.0).compare(plan, rows, at)
    assert (skew.trouble, skew.rows) == ("", FLIGHTS)
    found = {line.feature: line for line in skew.features}
    assert set(found) == set(plan.names())
    assert found[BROKEN].differing > FLIGHTS // 2
    assert [line for line in found.values() if line.share > 0.0] == [found[BROKEN]]


@pytest.mark.timeout(300)
def test_an_offline_store_that_is_not_there_is_said_and_hurts_nobody(histories: Layout, tmp_path: Path) -> None:
    plan = open_compiler(str(histories.feature_repo)).compile([SERVICE])
    keys = tuple(key.request for key in plan.join_keys())
    row = LoggedRow(0.0, "b", "g", False, keys, ("UA",) * len(keys), b"\x05" * len(keys))
    assert "The offline store failed" in Comparer(tmp_path, longest_s=250.0).compare(plan, [row], 0.0).trouble
