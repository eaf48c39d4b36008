"""A shadow on trial, by the commands that operators type, on a gateway where nothing else is tried at the time."""

import json
import sys
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from gateway.edge.cli import main
from gateway.edge.control_client import Exit
from tests.e2e.harness import DEPLOYMENT, Gateway, until, with_better_ones
from tests.e2e.test_commands import Run, Said

PLANS = {"half": {"steps": [{"weight": 0.5, "events": 1_000_000}], "watch": "1d"}}
GUARDRAILS = [{"metric": "error_rate", "margin_absolute": 0.2}, {"metric": "accuracy", "margin_absolute": 0.02}]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Stable is always wrong; version 2 is right."""
    said = {"plans": PLANS, "guardrails": GUARDRAILS, "maturity": "3s"}
    gateway = with_better_ones(tmp_path_factory.mktemp("gw"), said, "2")
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.fixture
def run(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``gateway shadow`` on the gateway's own settings, as a shell would."""

    def run(*words: str) -> Said:
        monkeypatch.setattr(
            sys, "argv", ["gateway", "shadow", *words, "--config", str(gateway.folder / "gateway.yaml")]
        )
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Said(int(ended.value.code or 0), *capsys.readouterr())

    return run


def said(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("verdict", "right", "--json").out)
    return found


def test_a_shadow_is_added_judged_without_any_candidate_beside_it_and_made_stable(gateway: Gateway, run: Run) -> None:
    added = run("add", "right", f"models:/{DEPLOYMENT}/2", "--reason", "it looks better", "--json")
    assert (added.code, added.json["action"], added.json["reason"]) == (0, "shadow", "it looks better")
    early = run("promote", "right", "--to", "stable")
    assert early.code == Exit.REFUSED and "not shown to be safe on pairs" in early.err
    random = Random(5)

    def passed() -> bool:
        gateway.live(random)
        return bool(said(run)["finding"] == "pass")

    until(passed, 60.0)
    shown = run("verdict", "right")
    assert "paired_accuracy" in shown.out and "shown to be below" in shown.out
    revision = gateway.deployment()["revision"]
    stale = run("promote", "right", "--to", "stable", "--revision", str(revision - 1))
    assert stale.code == Exit.REFUSED and "revision" in stale.err
    risen = run(
        "promote",
        "right",
        "--to",
        "stable",
        "--plan",
        "half",
        "--revision",
        str(revision),
        "--reason",
        "pairs",
        "--json",
    )
    assert (risen.code, risen.json["action"], risen.json["candidate"]) == (0, "promote", "right")
    assert risen.json["evidence"]["n_pairs"] > 0
    assert gateway.variant("stable")["model_version"] == "2"  # type: ignore[index]
    assert gateway.variant("right")["phase"] == "watched"  # type: ignore[index]


def test_a_shadow_that_was_seen_enough_is_let_go(gateway: Gateway, run: Run) -> None:
    assert run("add", "half", f"models:/{DEPLOYMENT}/1", "--rate", "0.5").code == 0
    gone = run("remove", "half", "--reason", "seen enough")
    assert gone.code == 0 and "seen enough" in gone.out
    assert run("remove", "half").code == Exit.REFUSED
    assert run("add", "half", f"models:/{DEPLOYMENT}/1", "--rate", "1.5").code == Exit.REFUSED
