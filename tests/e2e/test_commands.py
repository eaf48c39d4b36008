"""What operators type: ``gateway rollout``, ``models``, ``validate``, ``doctor``, ``init``, against a real gateway."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
import yaml

from gateway.edge.cli import main
from gateway.edge.control_client import Exit
from gateway.settings import load_settings
from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, train, until
from tests.e2e.test_rollouts import GUARDRAILS

PLANS = {
    "half": [{"weight": 0.5, "events": 30}],
    "slow": [{"weight": 0.1, "events": 1_000_000}, {"weight": 0.5, "events": 1_000_000}],
}


class Said(NamedTuple):
    """What a command ended with and printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its standard output, read."""
        found: dict[str, Any] = json.loads(self.out)
        return found


Run = Callable[..., Said]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gw")
    for version in ("1", "2", "3"):
        train(folder / "models", version, right=version != "3")
    gate = {"holdout": {"at_least": 100, "margin": -0.1}, "robustness": {"flips": "30%"}}
    config = simple_config(folder, deployment={"plans": PLANS, "guardrails": GUARDRAILS, "gate": gate})
    gateway = Gateway(folder, config)
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.fixture
def run(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on the gateway's own settings, as a shell would."""

    def run(*words: str) -> Said:
        own = words[0] == "init" or "--config" in words
        settings = [] if own else ["--config", str(gateway.folder / "gateway.yaml")]
        monkeypatch.setattr(sys, "argv", ["gateway", *words, *settings])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Said(int(ended.value.code or 0), *capsys.readouterr())

    return run


def test_a_rollout_is_started_shown_paused_resumed_and_demoted(gateway: Gateway, run: Run) -> None:
    started = run("rollout", "start", f"models:/{DEPLOYMENT}/2", "--plan", "slow", "--reason", "by hand", "--json")
    assert (started.code, started.json["action"], started.json["reason"]) == (0, "start", "by hand")
    assert {gate["gate"] for gate in started.json["evidence"]["gates"]} >= {"schema", "golden", "latency", "memory"}
    until(lambda: run("rollout", "status", "--json").json["variants"][1]["phase"] == "running")
    shown = run("rollout", "status")
    assert "canary" in shown.out
    assert "slow" in shown.out
    again = run("rollout", "start", f"models:/{DEPLOYMENT}/2", "--plan", "slow")
    assert (again.code, again.out) == (Exit.REFUSED, "")
    assert "already running" in again.err
    assert run("rollout", "pause").code == 0
    assert run("rollout", "watch", "--every", "0.1").code == Exit.NEEDS_A_PERSON
    assert run("rollout", "resume").code == 0
    assert run("rollout", "watch", "--timeout", "0.2", "--every", "0.1", "--json").code == Exit.TIMED_OUT
    assert run("rollout", "demote", "--reason", "enough").code == 0
    assert "demoted" in run("rollout", "pause").err


def test_a_promotion_can_be_rolled_back_once(gateway: Gateway, run: Run) -> None:
    assert run("rollout", "start", f"models:/{DEPLOYMENT}/2", "--plan", "half", "--override").code == 0
    until(lambda: (gateway.variant("canary") or {}).get("phase") == "running")
    assert run("rollout", "promote", "--reason", "for the test").code == 0
    assert run("rollout", "rollback").code == 0
    assert run("rollout", "rollback").code == Exit.REFUSED
    assert gateway.variant("stable")["model_version"] == "1"  # type: ignore[index]


def test_the_hold_out_refuses_a_model_that_is_worse_than_stable_and_says_by_how_much(
    gateway: Gateway, run: Run
) -> None:
    for _ in range(4):
        gateway.live(Random(5))
    gateway.ledger()
    worse = run("validate", f"models:/{DEPLOYMENT}/3", "--json")
    assert worse.code == Exit.REFUSED
    [failed] = [gate for gate in worse.json["gates"] if not gate["passed"]]
    assert (failed["gate"], failed["limit"]) == ("holdout", -0.1)
    assert failed["figure"] < -0.8
    refused = run("rollout", "start", f"models:/{DEPLOYMENT}/3", "--plan", "half")
    assert refused.code == Exit.REFUSED
    assert "Gate holdout: accuracy on" in refused.err
    [line, *_] = gateway.control.get(f"/admin/deployments/{DEPLOYMENT}/timeline").json()["decisions"]
    assert (line["action"], line["evidence"]["version"]) == ("refuse", "3")


def test_models_are_listed_with_what_they_serve_as(run: Run) -> None:
    listed = {one["version"]: one for one in run("models", "--json").json["models"][DEPLOYMENT]}
    assert set(listed) == {"1", "2", "3"}
    assert listed["1"]["serves_as"] == f"{DEPLOYMENT}/stable"
    assert run("models", "unheard-of").code == Exit.MISUSED


def test_the_doctor_finds_a_sound_gateway_sound_and_says_what_to_fix_elsewhere(
    gateway: Gateway, run: Run, tmp_path: Path
) -> None:
    well = run("doctor", "--json")
    assert well.code == 0, well.out
    assert {check["level"] for check in well.json["checks"]} == {"ok"}
    ill = dict(gateway.config, state_dir=str(tmp_path / "elsewhere"), registry=f"joblib:{tmp_path}", control_port=9)
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(ill))
    found = run("doctor", "--json", "--config", str(tmp_path / "gateway.yaml"))
    assert found.code == Exit.REFUSED
    bad = {check["about"]: check["fix"] for check in found.json["checks"] if check["level"] != "ok"}
    assert bad == {
        f"{DEPLOYMENT}: stable": "is the registry up, and is stable (and model) named as it is there?",
        "gateway": "gateway serve",
    }


def test_init_writes_a_file_that_says_what_was_found_and_can_be_served(
    gateway: Gateway, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "gateway.yaml"
    words = ("init", DEPLOYMENT, "--registry", f"joblib:{gateway.folder / 'models'}", "--out", str(out))
    assert run(*words).code == 0
    text = out.read_text()
    assert "# Applications send features: age (number), visits (number)" in text
    assert "# version 3, joblib, binary, 2 inputs" in text
    spec = load_settings(out).specs()[DEPLOYMENT]
    assert (spec.follow_aliases, spec.stable) == (True, f"models:/{DEPLOYMENT}/3")
    assert run(*words).code == Exit.MISUSED  # it is there already


def test_where_no_gateway_answers_commands_say_so(run: Run) -> None:
    gone = run("rollout", "status", "--url", "http://127.0.0.1:9")
    assert gone.code == Exit.UNREACHABLE
    assert "No control plane answers at http://127.0.0.1:9" in gone.err
