"""The judge's commands: what they print, and what they exit with."""

import json
from pathlib import Path

import apsw
import pytest
from typer.testing import CliRunner

from gateway.adapters.store import open_store
from gateway.core.errors import GatewayError, NotReplayable, SettingsError, UnknownDeployment
from gateway.edge import cli
from tests.control_house import NAME, House

WORSE = {"1": 0.2, "2": 0.6}
RUN = CliRunner()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gateway that has demoted a candidate and still runs: its store is held by another writer."""
    store = open_store(f"sqlite:{tmp_path}/store.db")
    house = House(store.control, store.events).open()
    house.start()
    house.live(20, WORSE)
    store.close()
    path = tmp_path / "gateway.yaml"
    path.write_text(f"state_dir: {tmp_path}\ndeployments: {{{NAME}: {{stable: models:/flights/1}}}}")
    return path


def refused(*words: str) -> GatewayError:
    said = RUN.invoke(cli.app, list(words))
    assert isinstance(said.exception, GatewayError), said.output
    return said.exception


@pytest.mark.parametrize("named", [[], [f"{NAME}@4"], ["4"]])
def test_replay_prints_both_and_exits_with_0_when_they_are_the_same(config: Path, named: list[str]) -> None:
    said = RUN.invoke(cli.app, ["replay", *named, "-c", str(config)])
    assert said.exit_code == 0, said.output
    assert f"{NAME}@4 demote canary: the same after" in said.output
    assert "recorded:   accuracy" in said.output
    assert "recomputed: demote: accuracy" in said.output
    assert "1 of 1 the same" in said.output


def test_replay_exits_with_1_when_the_log_says_something_else(config: Path) -> None:
    connection = apsw.Connection(str(config.parent / "store.db"))
    connection.execute("DELETE FROM outcomes WHERE body IN (SELECT body FROM outcomes LIMIT 5)")
    connection.close()
    said = RUN.invoke(cli.app, ["replay", "-c", str(config)])
    assert said.exit_code == 1
    assert "NOT the same" in said.output
    assert "verdict.findings." in said.output
    assert "0 of 1 the same" in said.output


def test_replay_reads_beside_a_running_gateway(config: Path) -> None:
    writer = open_store(f"sqlite:{config.parent}/store.db")
    assert RUN.invoke(cli.app, ["replay", "-c", str(config)]).exit_code == 0
    writer.close()


def test_replay_says_what_it_cannot_compute(config: Path) -> None:
    assert "nothing to compute" in str(refused("replay", f"{NAME}@2", "-c", str(config)))
    assert isinstance(refused("replay", "99", "-c", str(config)), NotReplayable)
    assert isinstance(refused("replay", "churn@2", "-c", str(config)), UnknownDeployment)


def test_backtest_prints_a_table_and_what_it_comes_to(config: Path) -> None:
    policy = config.with_name("new.yaml")
    policy.write_text("alpha: 0.04")
    said = RUN.invoke(cli.app, ["backtest", "--policy", str(policy), "-c", str(config)])
    assert said.exit_code == 0, said.output
    head, row, summary = said.output.splitlines()
    assert head.split()[:3] == ["candidate", "generation", "then"]
    assert row.startswith(f"{NAME} canary 2")
    assert "demote (judge)" in row
    assert "demote (policy)" in row
    assert summary == "1 candidates: 1 the same"


def test_backtest_gives_everything_as_json(config: Path) -> None:
    policy = config.with_name("new.yaml")
    policy.write_text("guardrails: [error_rate]")
    words = ["backtest", "--policy", str(policy), "-c", str(config), "--deployment", NAME, "--json"]
    [course] = json.loads(RUN.invoke(cli.app, words).output)
    assert course["compared"] == "only then decides"
    assert course["happened"][-1]["action"] == "demote"
    assert course["happened"][-1]["samples"] > 0
    assert course["would_have"] == []


def test_backtest_refuses_a_deployment_nobody_knows_and_a_file_that_is_none(config: Path) -> None:
    policy = config.with_name("new.yaml")
    assert isinstance(refused("backtest", "--policy", str(policy), "-c", str(config)), SettingsError)
    policy.write_text("alpha: 0.01")
    words = ["backtest", "--policy", str(policy), "-c", str(config), "--deployment", "churn"]
    assert isinstance(refused(*words), UnknownDeployment)
