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


def test_plan_takes_its_figures_from_the_log_and_warns(config: Path) -> None:
    said = RUN.invoke(cli.app, ["plan", NAME, "-c", str(config), "--plan", "careful"])
    assert said.exit_code == 0, said.output
    assert f"{NAME}, plan careful: 86," in said.output
    assert "100% labelled within" in said.output
    assert "(from the log)" in said.output
    assert "an equal candidate is promoted after about" in said.output


def test_plan_needs_no_log_when_it_is_told_everything(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        f"state_dir: {tmp_path}/state\ndeployments:\n  churn:\n    stable: models:/churn/1\n    sticky: true\n"
        "    guardrails: [error_rate, accuracy]\n    maturity: 1h\n    plans: {p: [{weight: 5%, events: 100}]}\n"
    )
    words = ["plan", "-c", str(path)]
    assert "say --per-day" in str(refused(*words))
    words += ["--per-day", "50000"]
    assert "say --labelled" in str(refused(*words))
    words += ["--labelled", "95%"]
    assert "say --keys" in str(refused(*words))
    words += ["--keys", "8000", "--rate", "error_rate=0.5%", "--rate", "accuracy=10%", "--label-delay", "30m"]
    said = RUN.invoke(cli.app, words)
    assert said.exit_code == 0, said.output
    assert "8,000 new keys per epoch, 8,000 bets a day" in said.output
    found = json.loads(RUN.invoke(cli.app, [*words, "--json"]).output)
    assert found["steps"][0]["per_day"] == 8_000 * 0.05 * 0.95
    assert found["warnings"] == []
    assert not (tmp_path / "state").exists()


def test_plan_exits_with_1_when_the_rollout_can_never_decide(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        f"state_dir: {tmp_path}\ndeployments: {{churn: {{stable: models:/churn/1, plans: {{p: [{{weight: 1%}}]}}}}}}"
    )
    words = ["plan", "churn", "-c", str(path), "--per-day", "50", "--rate", "error_rate=1%"]
    said = RUN.invoke(cli.app, words)
    assert said.exit_code == 1
    assert "warning: it can never decide for an equal candidate: at max_age the plan says hold" in said.output


def test_plan_tells_latency_in_times_as_slow_and_a_signal_as_one(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        f"state_dir: {tmp_path}\ndeployments:\n  churn:\n    stable: models:/churn/1\n"
        "    guardrails: [error_rate, latency, auc]\n    maturity: 1h\n    plans: {p: [{weight: 5%}]}\n"
    )
    words = ["plan", "churn", "-c", str(path), "--per-day", "90000", "--labelled", "95%"]
    said = RUN.invoke(cli.app, [*words, "--rate", "error_rate=1%", "--rate", "auc=15%", "--label-delay", "30m"])
    assert said.exit_code == 0, said.output
    lines = {line.split()[0]: line for line in reversed(said.output.splitlines()) if line.strip()}
    assert "x 1.1" in lines["latency"]
    assert lines["auc"].startswith("auc (signal)")
    assert "p99 is taken to be 3.2 times its p50" in said.output
    found = json.loads(RUN.invoke(cli.app, [*words, "--rate", "error_rate=1%", "--json"]).output)
    assert found["traffic"]["tails"] == {}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--rate", "accuracy"], "write it as METRIC=SHARE"),
        (["--rate", "charm=1%"], "no metric of that name"),
        (["--labelled", "120%"], "not a share between 0 and 1"),
        (["--labelled", "lots"], "is not a share"),
        (["--label-delay", "soon"], "is not a duration"),
        (["--plan", "bold"], "must name a plan"),
        (["--rate", "latency=5%"], "what it is like, the log knows"),
    ],
)
def test_plan_says_what_is_wrong_with_what_was_typed(config: Path, words: list[str], reason: str) -> None:
    assert reason in str(refused("plan", NAME, "-c", str(config), *words))
