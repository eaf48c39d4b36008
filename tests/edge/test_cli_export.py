"""``gateway export`` from a terminal, beside the gateway that writes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from gateway.adapters.store import Store, open_store
from gateway.core.errors import LakeUnavailable, UnknownDeployment
from gateway.edge import cli
from tests.control_house import NAME, House

RUN = CliRunner()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:{tmp_path}/store.db")
    house = House(opened.control, opened.events).open()
    house.start()
    house.live(20, {})
    (tmp_path / "gateway.yaml").write_text(
        f"state_dir: {tmp_path}\ndeployments: {{{NAME}: {{stable: models:/flights/1}}}}"
    )
    yield opened
    opened.close()


def run(folder: Path, *words: str, to: str | None = None) -> list[str]:
    said = RUN.invoke(cli.app, ["export", to or str(folder / "lake"), "-c", str(folder / "gateway.yaml"), *words])
    if said.exception is not None:
        raise said.exception
    return said.output.splitlines()


def test_an_export_says_what_it_wrote_and_a_second_one_that_nothing_changed(tmp_path: Path, store: Store) -> None:
    lines = run(tmp_path)
    table = pq.read_table(tmp_path / "lake" / NAME)
    assert lines == [f"{NAME} 2013-03-11: {table.num_rows:,} predictions", "days written: 1"]
    assert table.num_rows == store.events.books(NAME).predictions["stored"]
    assert table["outcome_label"].null_count == 0
    assert run(tmp_path) == ["nothing has changed since the last export"]


def test_scripts_get_a_line_of_json_per_day(tmp_path: Path, store: Store) -> None:
    [line] = run(tmp_path, "--json", "--deployment", NAME)
    rows = store.events.books(NAME).predictions["stored"]
    assert json.loads(line) == {"deployment": NAME, "date": "2013-03-11", "rows": rows}


def test_what_cannot_be_exported_is_said(tmp_path: Path, store: Store) -> None:
    with pytest.raises(UnknownDeployment):
        run(tmp_path, "--deployment", "churn")
    with pytest.raises(LakeUnavailable, match="nosuch"):
        run(tmp_path, to="nosuch://bucket")
