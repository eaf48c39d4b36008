"""The drift report by the real Evidently, in its process: what is on the page, what it costs, and what it refuses."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.drift import Reporter
from gateway.adapters.models.prepare import ModelCache
from gateway.adapters.models.profile import PROFILE_FILE, encode_profile
from gateway.adapters.store import Store, open_store
from gateway.contrast import Asked
from gateway.core.drift.sides import Span
from gateway.core.errors import ExtraMissing, NothingToCompare, ReportFailed, UnknownDeployment
from tests.control_house import NAME
from tests.drift_house import DriftHouse, usual

HOSTILE = "</script><script>parent.alert(1)</script>"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:{tmp_path}/store.db")
    yield opened
    opened.close()


@pytest.fixture
def house(store: Store) -> DriftHouse:
    return DriftHouse(store=store)


@pytest.fixture
def reporter(tmp_path: Path) -> Reporter:
    """With the stable model's profile where a prepared model keeps it."""
    artifact = tmp_path / "models" / "digest-1" / "artifact"
    artifact.mkdir(parents=True)
    (artifact / PROFILE_FILE).write_bytes(encode_profile(usual()))
    assert ModelCache(tmp_path / "models").profile("digest-1") is not None
    return Reporter(f"sqlite:{tmp_path}/store.db", tmp_path / "models")


def test_a_report_shows_every_feature_beside_the_models_profile_and_stands_alone(
    house: DriftHouse, reporter: Reporter
) -> None:
    house.tick(400, delay=2.0)
    page = reporter.page(Asked(NAME)).decode()
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert "stable version 1: what was served" in page and "profile (tests)" in page
    for name in ("delay", "carrier", "prediction.score", "prediction.label"):
        assert f'"{name}"' in page
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="(?!data:)', page)  # nothing to fetch


def test_what_people_sent_cannot_break_out_of_the_page(house: DriftHouse, reporter: Reporter) -> None:
    start = house.at
    house.tick(carriers=(HOSTILE, "UA"))
    middle = house.at
    house.tick(carriers=(HOSTILE, "UA"))
    page = reporter.page(Asked(NAME, Span(middle, house.at), Span(start, middle))).decode()
    assert "parent.alert(1)" in page
    assert "<script>parent.alert" not in page


def test_a_report_that_takes_too_much_time_or_memory_is_ended_and_says_so(house: DriftHouse, tmp_path: Path) -> None:
    house.tick()
    url, models, whole = f"sqlite:{tmp_path}/store.db", tmp_path / "models", Span(0.0, house.at)
    with pytest.raises(ReportFailed, match=r"took more than the 0\.5 seconds allowed"):
        Reporter(url, models, wall_s=0.5).page(Asked(NAME, whole, whole))
    with pytest.raises(ReportFailed, match=r"Making the report|Evidently could not"):
        Reporter(url, models, memory_bytes=400 << 20).page(Asked(NAME, whole, whole))


def test_what_cannot_be_compared_is_said_through_the_process(house: DriftHouse, reporter: Reporter) -> None:
    with pytest.raises(NothingToCompare, match="Nothing has been served yet"):
        reporter.page(Asked(NAME))
    with pytest.raises(UnknownDeployment):
        reporter.page(Asked("nobody"))
    with pytest.raises(NothingToCompare, match="its own process only"):
        Reporter("memory:", Path("models")).page(Asked(NAME))


def test_a_store_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReportFailed, match="There is no store"):
        Reporter(f"sqlite:{tmp_path}/nowhere.db", tmp_path).page(Asked(NAME))


def test_without_evidently_it_is_said_which_extra_brings_it(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "evidently", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'gateway\[drift-report\]'"):
        reporter.page(Asked(NAME))
