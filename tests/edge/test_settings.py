"""The settings file: what a person may write, and what they are told when it does not make sense."""

from pathlib import Path

import pytest

from gateway.core.deployments import Durability, Step, Type
from gateway.core.errors import SettingsError
from gateway.settings import DeploymentSettings, Settings, freeze, load_settings, thaw

EXAMPLE = """
workers: 2
deployments:
  flight-delay:
    stable: v1
    deadline: 3s
    features_budget: 50ms
    maturity: 10h
    durability: disk
    inputs:
      distance: {type: number, minimum: 0}
    features:
      delay_mean: {default: 0.0, max_age: 1d}
    guardrails:
      - error_rate
      - {metric: accuracy, relative: 1.2}
    plans:
      careful:
        - {shadow: 100%, events: 200}
        - {weight: 5%, at_least: 1h, events: 100}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "gateway.yaml"


def load(path: Path, text: str) -> Settings:
    path.write_text(text)
    return load_settings(path)


def test_nothing_said_runs_on_a_laptop() -> None:
    settings = load_settings(None)
    assert (settings.data_host, settings.data_port) == ("127.0.0.1", 8000)
    assert (settings.control_host, settings.control_port) == ("127.0.0.1", 8001)
    assert settings.store_url == "sqlite:state/store.db"


def test_the_store_lies_in_the_state_folder_unless_said_otherwise(tmp_path: Path) -> None:
    assert load_settings(None, state_dir=tmp_path).store_url == f"sqlite:{tmp_path}/store.db"


def test_a_deployment_becomes_a_core_value_in_seconds_and_shares(written: Path) -> None:
    spec = load(written, EXAMPLE).specs()["flight-delay"]
    assert (spec.rules.deadline_s, spec.rules.features_budget_s, spec.maturity_s) == (3.0, 0.05, 36_000.0)
    assert spec.rules.durability is Durability.DISK
    assert spec.inputs["distance"].type is Type.NUMBER
    assert spec.features["delay_mean"].max_age_s == 86_400.0
    assert [guardrail.metric for guardrail in spec.guardrails] == ["error_rate", "accuracy"]
    assert spec.guardrails[1].relative == 1.2
    assert spec.plans["careful"].steps == (
        Step(shadow=1.0, events=200),
        Step(weight=0.05, at_least_s=3_600.0, events=100),
    )


def test_a_deployment_without_plans_gets_the_careful_one(written: Path) -> None:
    spec = load(written, "deployments: {churn: {stable: v1}}").specs()["churn"]
    assert [step.weight for step in spec.plans["careful"].steps] == [0.0, 0.05, 0.25, 0.5]


def test_the_environment_wins_over_the_file(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_WORKERS", "3")
    monkeypatch.setenv("GATEWAY_DEPLOYMENTS__FLIGHT-DELAY__ALPHA", "1%")
    settings = load(written, EXAMPLE)
    assert settings.workers == 3
    assert settings.deployments["flight-delay"].alpha == 0.01
    assert settings.deployments["flight-delay"].deadline == 3.0


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_WORKERS", "3")
    assert load_settings(None, workers=4).workers == 4


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("worker: 2", "worker: no such setting; did you mean workers?"),
        ("deployments: {churn: {stable: v1, deadine: 3s}}", "churn.deadine: no such setting; did you mean deadline?"),
        ("deployments: {churn: {stable: v1, inputs: {age: {type: number, minium: 0}}}}", "did you mean minimum?"),
        ("deployments: {churn: {stable: v1, plans: {fast: {steps: [{wieght: 5%}]}}}}", "did you mean weight?"),
        ("deployments: {churn: {stable: v1, deadline: soon}}", "is not a duration such as 500ms"),
        ("deployments: {churn: {}}", "deployments.churn.stable: Field required"),
        ("clock: sundial", "clock: Input should be 'wall' or 'replay'"),
        ("deployments: {a: {stable: v1}, b: {stable: v1}}", "one deployment must be marked default: true, of a, b"),
        ("control_host: 0.0.0.0", "control_host must be a loopback address"),
        ("{clock: replay, data_host: 0.0.0.0}", "data_host must be a loopback address"),
        ("deployments: {churn: {stable: v1, guardrails: [eror_rate]}}", "did you mean error_rate?"),
        ("deployments: {a: {stable: v1, plans: {p: {dry_run: true, steps: [{weight: 5%}]}}}}", "shadow, not weight"),
        ("deployments: {a: {stable: v1, plans: {p: {dry_run: true, watch: 1d, steps: [{}]}}}}", "leave out watch"),
        ("[1, 2]", "must be a mapping"),
        ("a: [", "is not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_the_right_word(written: Path, text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written, text).specs()
    assert sentence in str(caught.value)


def test_a_value_that_does_not_fit_is_never_repeated(written: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written, "workers: hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_misspelt_variable_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_WORKRES", "2")
    with pytest.raises(SettingsError, match="did you mean GATEWAY_WORKERS"):
        load_settings(None)


def test_the_variables_of_a_kubernetes_service_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("GATEWAY_PORT_8000_TCP_ADDR", "10.0.0.1")
    load_settings(None)


def test_a_missing_file_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "absent.yaml")


def test_every_knob_has_a_sentence() -> None:
    for section in (Settings, DeploymentSettings):
        assert all(field.description for field in section.model_fields.values())


def test_the_processes_of_one_run_see_the_same_settings(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(written, EXAMPLE)
    monkeypatch.setenv("GATEWAY_WORKERS", "7")
    assert thaw(freeze(settings)).model_dump() == settings.model_dump()
