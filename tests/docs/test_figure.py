"""The picture and the table in the README are drawn from a real report, and show what it says."""

import json
from pathlib import Path
from typing import Any

import pytest

from demo.figure import draw, table
from tests.docs.pages import DOCS, README

IMAGES = DOCS / "images"


@pytest.fixture
def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((IMAGES / "story.json").read_text())
    return found


def test_the_readme_shows_the_figures_of_the_report(report: dict[str, Any]) -> None:
    assert report["told"]
    assert table(report) in README.read_text()


def test_the_readme_says_on_which_machine(report: dict[str, Any]) -> None:
    machine = report["machine"]
    assert f"{machine['cores']} cores" in README.read_text()
    assert f"Python {machine['python']}" in README.read_text()


def test_the_picture_is_drawn_from_a_report(report: dict[str, Any], tmp_path: Path) -> None:
    draw(report, tmp_path / "story.svg")
    drawn = (tmp_path / "story.svg").read_text()
    assert drawn.startswith("<?xml")
    assert abs(len(drawn) - len((IMAGES / "story.svg").read_text())) < 0.1 * len(drawn)
