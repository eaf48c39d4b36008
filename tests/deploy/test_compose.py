"""The compose file, without Docker: held to compose's own schema, and to the files, settings and versions it names."""

import json
import re
import shutil
import subprocess
import warnings
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway.settings import load_settings
from tests.deploy.promql import DASHBOARD, DEPLOY
from tests.docs.dockerfile import environment, instructions
from tests.docs.pages import ROOT

COMPOSE = DEPLOY / "compose"
TEXT = (COMPOSE / "compose.yaml").read_text()
SAID: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = SAID["services"]


def schema(name: str) -> dict[str, Any]:
    """A schema that check-jsonschema carries."""
    text = (files("check_jsonschema") / "builtin_schemas" / "vendor" / f"{name}.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def mounts() -> list[tuple[str, str, str]]:
    """Service, source and target of every volume."""
    parts = [(name, *volume.split(":")[:2]) for name, one in SERVICES.items() for volume in one.get("volumes", ())]
    return [(name, source, target) for name, source, target in parts]


def test_it_is_a_compose_file() -> None:
    jsonschema.validate(SAID, schema("compose-spec"))


def test_it_brings_everything_that_is_promised() -> None:
    assert SERVICES.keys() >= {"gateway", "valkey", "postgres", "mlflow", "prometheus", "grafana"}


def test_every_file_it_mounts_is_there_and_every_volume_is_declared() -> None:
    for name, source, _ in mounts():
        if source.startswith("."):
            assert (COMPOSE / source).exists(), (name, source)
        else:
            assert source in SAID["volumes"], (name, source)


def test_every_variable_it_needs_is_in_the_example_and_no_password_is_written_down() -> None:
    needed = set(re.findall(r"\$\{(\w+)", TEXT))
    example = re.findall(r"^(\w+)=(.*)$", (COMPOSE / ".env.example").read_text(), re.MULTILINE)
    assert {name for name, _ in example} == needed
    assert {value for _, value in example} == {""}
    assert all(f"${{{name}:?" in TEXT for name in needed)


def test_every_image_is_one_version() -> None:
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.]+", service["image"]), name


def test_its_dependencies_are_there_and_say_when_they_are_well() -> None:
    for name, service in SERVICES.items():
        wanted = service.get("depends_on", {})
        for other in wanted:
            assert other in SERVICES, name
            if isinstance(wanted, dict) and wanted[other]["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], (name, other)


def test_nothing_listens_beyond_this_machine() -> None:
    assert [
        port for service in SERVICES.values() for port in service.get("ports", ()) if "127.0.0.1:" not in port
    ] == []


def test_the_gateway_runs_as_its_image_says_it_should() -> None:
    gateway = SERVICES["gateway"]
    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    targets = {target for name, _, target in mounts() if name == "gateway"}
    assert environment(instructions(ROOT / "Dockerfile"))["GATEWAY_STATE_DIR"] in targets
    assert "/etc/gateway/gateway.yaml" in targets


def test_the_gateways_configuration_is_one_and_finds_the_others_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(COMPOSE / "gateway.yaml")
    assert settings.specs().keys() == {"flight-delay"}
    assert settings.registry == "http://mlflow:5000"
    assert any(target == str(settings.features) for name, _, target in mounts() if name == "gateway")
    store = yaml.safe_load((COMPOSE / "feature_store.yaml").read_text())
    assert store["online_store"]["connection_string"].partition(":")[0] in SERVICES
    assert SERVICES["gateway"]["environment"]["GATEWAY_STORE"].startswith("postgresql://")


def test_mlflow_answers_by_the_name_under_which_it_is_asked_and_knows_its_options() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's imports, about SQLAlchemy
        from mlflow.cli import cli

    program, command, *options = SERVICES["mlflow"]["command"]
    assert program == "mlflow"
    known = {name for parameter in cli.commands[command].params for name in parameter.opts}
    said = dict(option.partition("=")[::2] for option in options)
    assert said.keys() <= known
    asked = load_settings(COMPOSE / "gateway.yaml").registry.removeprefix("http://")
    assert asked in said["--allowed-hosts"].split(",")


def test_the_feature_repository_differs_from_the_examples_in_where_things_are_only() -> None:
    ours = yaml.safe_load((COMPOSE / "feature_store.yaml").read_text())
    theirs = yaml.safe_load((ROOT / "feature_repo" / "feature_store.yaml").read_text())
    places = {"registry", "online_store"}
    assert {k: v for k, v in ours.items() if k not in places} == {k: v for k, v in theirs.items() if k not in places}


def test_prometheus_scrapes_the_control_plane_from_within_its_network_and_grafana_finds_it() -> None:
    prometheus = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    assert SERVICES["prometheus"]["network_mode"] == "service:gateway"
    assert prometheus["scrape_configs"][0]["static_configs"] == [{"targets": ["localhost:8001"]}]
    provisioning = DEPLOY / "grafana" / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://gateway:9090"
    [provider] = yaml.safe_load((provisioning / "dashboards" / "gateway.yaml").read_text())["providers"]
    [target] = [target for _, source, target in mounts() if source.endswith(DASHBOARD.name)]
    assert str(Path(target).parent) == provider["options"]["path"]


def test_promtool_takes_the_configuration(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on this machine; on Debian: apt-get install prometheus")
    for source in (COMPOSE / "prometheus.yml", DEPLOY / "prometheus" / "rules.yaml"):
        shutil.copy(source, tmp_path)
    done = subprocess.run(
        [promtool, "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
