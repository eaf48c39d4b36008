"""The numbered SQL files: a number twice would hide a file, and a gap would be a file that somebody took away."""

from importlib import resources

import pytest


@pytest.mark.parametrize("folder", ["sql", "postgresql_sql"])
def test_sql_files_are_numbered_one_after_the_other(folder: str) -> None:
    files = sorted(file.name for file in resources.files("gateway.adapters.store").joinpath(folder).iterdir())
    assert [int(name[:4]) for name in files if name.endswith(".sql")] == list(range(1, len(files) + 1))
