"""The command line: one sentence for each mistake, and reference pages that are never out of date."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.compose import controlling
from gateway.core.deployments import ModelCard, Task
from gateway.edge import cli
from gateway.settings import load_settings

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
CARD = ModelCard("m", "1", "models:/churn/1", "d1", "joblib", "", (), Task.BINARY)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(f"state_dir: {tmp_path}/state\ndeployments: {{churn: {{stable: models:/churn/1}}}}")
    return path


@pytest.mark.parametrize("page", ["settings", "metrics", "cli", "client"])
def test_the_reference_is_what_the_code_says(page: str) -> None:
    written = CliRunner().invoke(cli.app, ["reference", page])
    assert written.exit_code == 0
    assert (REFERENCE / f"{page}.md").read_text() == written.output, (
        f"run: gateway reference {page} > docs/reference/{page}.md"
    )


def test_check_says_what_the_settings_mean(config: Path) -> None:
    said = CliRunner().invoke(cli.app, ["check", "--config", str(config)])
    assert said.exit_code == 0
    assert "churn: stable models:/churn/1; plans careful; guardrails error_rate" in said.output


def test_a_mistake_is_one_sentence_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gateway.yaml").write_text("worker: 2")
    monkeypatch.setattr("sys.argv", ["gateway", "serve", "--config", str(tmp_path / "gateway.yaml")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "did you mean workers?" in capsys.readouterr().err


def test_apply_writes_a_changed_spec_with_its_reason(config: Path) -> None:
    parts = controlling(load_settings(config), [])
    parts.control.found(load_settings(config).specs()["churn"], CARD, "test")
    parts.store.close()
    config.write_text(config.read_text().replace("stable:", "blind: true, stable:"))
    runner = CliRunner()
    said = runner.invoke(cli.app, ["apply", "--config", str(config), "--reason", "labels must not learn the arm"])
    assert "churn: now at revision 2" in said.output
    again = runner.invoke(cli.app, ["apply", "--config", str(config), "--reason", "again"])
    assert "churn: nothing to change at revision 2" in again.output
    parts = controlling(load_settings(config), [])
    assert parts.control.read("churn").spec.rules.blind
    assert parts.store.control.timeline("churn")[0].reason == "labels must not learn the arm"
    parts.store.close()


def test_apply_beside_a_running_gateway_says_what_to_do(config: Path) -> None:
    parts = controlling(load_settings(config), [])
    said = CliRunner().invoke(cli.app, ["apply", "--config", str(config), "--reason", "no"])
    assert "Stop the gateway first" in str(said.exception)
    parts.store.close()
