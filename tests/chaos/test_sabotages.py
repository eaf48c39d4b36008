"""The twelve sabotages of row T1 still fit the tree, and each names a row. ``make chaos-teeth`` runs them."""

import shutil
from pathlib import Path

import pytest

from tests.chaos.__main__ import ROWS
from tests.chaos.sabotage import TWELVE, Edit, Sabotage
from tests.chaos.teeth import ROOT, Bite, Run


def test_there_are_twelve_and_no_two_alike() -> None:
    assert len(TWELVE) == len({one.name for one in TWELVE}) == 12


@pytest.mark.parametrize("sabotage", TWELVE, ids=lambda one: one.name)
def test_each_fits_the_tree_and_names_a_row(sabotage: Sabotage, tmp_path: Path) -> None:
    for path in {edit.path for edit in sabotage.edits}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    for edit in sabotage.edits:
        edit.apply(tmp_path)
        compile((tmp_path / edit.path).read_text(), edit.path, "exec")
    assert (ROOT / sabotage.test).is_file() if sabotage.test else sabotage.row in {row.id for row in ROWS}


def test_one_that_no_longer_fits_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    with pytest.raises(ValueError, match="holds 0 times, not once: 'b = 1'"):
        Edit("a.py", "b = 1", "b = 2").apply(tmp_path)


def test_a_row_that_fails_anyway_or_by_another_figure_has_caught_nothing() -> None:
    one = TWELVE[0]
    right, passed = Run(False, ("! committed batches of the store lost (9, 0)",)), Run(True, ())
    assert Bite(one, whole=passed, broken=right).caught
    assert not Bite(one, whole=right, broken=right).caught
    assert not Bite(one, whole=passed, broken=passed).caught
    assert not Bite(one, whole=passed, broken=Run(False, ("! something else",))).caught
