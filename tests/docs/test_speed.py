"""The page of speed, its plot and the README's figures are drawn from a run that is kept beside them."""

from pathlib import Path

import pytest

from benchmarks.serve import plots, report
from benchmarks.serve.goals import Run, judge
from benchmarks.serve.market import MODELS
from benchmarks.serve.peers import PEERS
from tests.docs.pages import README


@pytest.fixture
def run() -> Run:
    if not report.KEPT.exists():
        pytest.skip("no whole run has been kept yet: make bench")
    return report.kept()


def test_the_page_of_speed_says_what_was_measured(run: Run) -> None:
    assert report.page(run) == report.FILE.read_text()


def test_the_readme_shows_the_figures_of_the_run(run: Run) -> None:
    text = README.read_text()
    assert report.in_readme(text, run) == text
    assert report.summary(run) in text


def test_what_misses_its_goal_is_said(run: Run) -> None:
    missed = [goal for goal in judge(run) if not goal.reached]
    assert report.page(run).count("**missed**") == len(missed)


def test_no_peer_is_left_out(run: Run) -> None:
    for peer in PEERS:
        for model in MODELS:
            told = {peer.name, f"{peer.name}, {model}"} & run.absent.keys()
            assert told or peer.name in run.market[model], f"{peer.name}, {model}"


def test_the_plot_is_drawn_from_the_run(run: Run, tmp_path: Path) -> None:
    plots.draw(run, tmp_path / "serve.svg")
    drawn = (tmp_path / "serve.svg").read_text()
    assert drawn.startswith("<?xml")
    assert abs(len(drawn) - len(report.PLOT.read_text())) < 0.1 * len(drawn)
