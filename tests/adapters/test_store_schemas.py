"""The numbered SQL files: a number twice would hide a file."""

from importlib import resources

import pytest


@pytest.mark.parametrize("folder", ["sql", "postgresql_sql"])
def test_no_two_sql_files_have_one_number(folder: str) -> None:
    files = sorted(file.name for file in resources.files("gateway.adapters.store").joinpath(folder).iterdir())
    numbers = [int(name[:4]) for name in files if name.endswith(".sql")]
    assert numbers == sorted(set(numbers))
