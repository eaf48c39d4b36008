"""Training again in a real gateway: a cause is found, the log lies exported, a command runs, a kill costs nothing."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.edge.cli import app
from gateway.edge.control_client import CommandFailed, Exit
from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, train, until

MARCH_S = 1_362_132_000.0
HERE = f"/admin/deployments/{DEPLOYMENT}/retraining"
COUNTS = """
import os, sys
import pyarrow.dataset as ds
table = ds.dataset(os.environ["RETRAINING_EXPORT"], format="parquet").to_table()
print(table.num_rows, "rows, of which labelled:", sum(one is not None for one in table["outcome_label"].to_pylist()))
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    train(tmp_path / "models", "1")
    made = Gateway(tmp_path, {})
    yield made
    made.close()


def started(gateway: Gateway, **retraining: Any) -> Gateway:
    gateway.config = simple_config(gateway.folder, deployment={"retraining": retraining})
    return gateway.start()


def last(gateway: Gateway) -> dict[str, Any] | None:
    runs: list[dict[str, Any]] = gateway.control.get(HERE).json()["runs"]
    return runs[0] if runs else None


def ended(gateway: Gateway) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        run = last(gateway)
        return run if run is not None and run["phase"] in ("succeeded", "failed") else None

    return until(look, 60.0)


def test_new_labels_have_the_model_trained_again_on_the_exported_log(gateway: Gateway) -> None:
    lake = gateway.folder / "lake"
    target = {"command": [sys.executable, "-c", COUNTS], "export": str(lake)}
    started(gateway, target=target, on_labels={"count": 3})
    until(lambda: gateway.predict() and gateway.control.get(HERE).json()["since"] is not None, 30.0, 0.2)
    for _ in range(3):
        gateway.tell({"prediction_id": gateway.predict()["prediction_id"], "outcome": 1}).raise_for_status()
    run = ended(gateway)
    assert (run["trigger"], run["phase"], run["attempt"]) == ("labels", "succeeded", 1)
    assert run["said"].endswith("rows, of which labelled: 3")
    assert "exported" in Path(run["link"]).read_text()
    steps = gateway.sample("gateway_retraining_steps_total")
    assert {labels.split('step="')[1].split('"')[0] for labels in steps} == {"asked", "called", "succeeded"}


WEEKLY = {"on_schedule": {"every": "7d"}}
BELOW = {"on_performance": [{"metric": "accuracy", "worse_than": 0.9, "window": "1h", "at_least": 100}]}


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("causes", "trigger", "step_s"), [(WEEKLY, "schedule", 86_400.0), (BELOW, "performance", 3_600.0)]
)
def test_the_time_and_a_figure_below_its_floor_have_the_model_trained_again_once(
    gateway: Gateway, causes: dict[str, Any], trigger: str, step_s: float
) -> None:
    train(gateway.folder / "models", "2", right=False)
    retraining = {"target": {"command": ["true"]}, **causes}
    said = {"stable": f"models:/{DEPLOYMENT}/2", "retraining": retraining, "maturity": "1h"}
    gateway.config = simple_config(gateway.folder, deployment=said, clock="replay")
    gateway.start()
    random, times = Random(3), count(MARCH_S, step_s)

    def goes_on() -> dict[str, Any] | None:
        gateway.live(random, 150, at=next(times))
        run = last(gateway)
        return run if run is not None and run["phase"] == "succeeded" else None

    run = until(goes_on, 300.0, 0.5)  # a cause is looked for every ten seconds
    assert (run["trigger"], run["attempt"]) == (trigger, 1)
    for _ in range(3):  # the same cause asks no more
        goes_on()
    assert [one["id"] for one in gateway.control.get(HERE).json()["runs"]] == [run["id"]]


def test_a_run_whose_agent_is_killed_ends_with_it_and_is_called_again_under_its_id(gateway: Gateway) -> None:
    pids = gateway.folder / "pids"
    script = f'echo "$RETRAINING_RUN_ID $$" >> {pids}; test "$RETRAINING_ATTEMPT" -gt 1 || sleep 600; echo trained'
    started(gateway, target={"command": ["sh", "-c", script], "backoff": "100ms"})
    assert gateway.control.post(HERE, json={"key": "one"}).status_code == 201
    until(pids.exists)
    [agent] = gateway.children("agent")
    os.kill(agent, signal.SIGKILL)
    until(lambda: gateway.children("agent") not in ([], [agent]), 30.0)
    until(lambda: gateway.control.get("/readyz").status_code == 200, 30.0)
    run = ended(gateway)
    assert (run["phase"], run["attempt"], run["said"]) == ("succeeded", 2, "trained")
    calls = [line.split() for line in pids.read_text().splitlines()]
    assert [name for name, _ in calls] == [run["id"]] * 2
    until(lambda: not Path(f"/proc/{calls[0][1]}").exists())
    assert gateway.control.post(HERE, json={"key": "one"}).json()["id"] == run["id"]


def test_what_runs_is_stopped_when_the_gateway_stops_and_the_run_goes_on_at_its_next_start(gateway: Gateway) -> None:
    pids = gateway.folder / "pids"
    script = f'echo $$ >> {pids}; test "$RETRAINING_ATTEMPT" -gt 1 || sleep 600'
    started(gateway, target={"command": ["sh", "-c", script], "backoff": "100ms"})
    gateway.control.post(HERE, json={"key": "one"})
    until(pids.exists)
    assert gateway.stop() == 0
    until(lambda: not Path(f"/proc/{pids.read_text().split()[0]}").exists())
    gateway.start()
    assert ended(gateway)["phase"] == "succeeded"


def test_operators_ask_for_runs_and_see_them_in_a_terminal(gateway: Gateway) -> None:
    started(gateway, target={"command": ["sh", "-c", 'test "$RETRAINING_CAUSE" != fail'], "attempts": 1})
    url = ["--url", str(gateway.control.base_url)]
    asked = typed("ask", "--key", "one", "--reason", "please", "--wait", "--every", "0.1", "--json", *url)
    assert (asked.exit_code, json.loads(asked.output)["phase"]) == (0, "succeeded")
    assert typed("ask", "--key", "two", "--reason", "fail", "--wait", "--every", "0.1", *url).exit_code == Exit.REFUSED
    shown = typed("runs", *url)
    assert "command trains it again, on nothing but a hand" in shown.output
    assert "exit code 1" in shown.output
    assert isinstance(typed("end", "nothing", "succeeded", *url).exception, CommandFailed)


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, ["retraining", *words])
