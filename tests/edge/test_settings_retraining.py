"""The section ``retraining``: five who may train, four causes, and what makes no sense of them."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.retraining.terms import Kpi, OnDrift, OnLabels, OnSchedule, Source, Target, TargetKind
from gateway.settings.retraining import RetrainingSettings

COMMAND = {"command": ["train", "--fast"]}


def terms(**said: Any) -> Any:
    return RetrainingSettings.model_validate(said).terms()


@pytest.mark.parametrize(
    ("said", "target"),
    [
        (COMMAND, Target(TargetKind.COMMAND, ("train", "--fast"))),
        (
            {"webhook": {"url": "https://t.example", "token": "T"}, "calls_back": False},
            Target(TargetKind.WEBHOOK, url="https://t.example", secret="T", calls_back=False),
        ),
        (
            {"airflow": {"url": "https://a.example/api/v2", "dag": "retrain", "user": "u", "token": "T"}},
            Target(TargetKind.AIRFLOW, url="https://a.example/api/v2", place="retrain", user="u", secret="T"),
        ),
        (
            {"github": {"repository": "octo/flights", "workflow": "retrain.yml"}, "callback": "https://g.example"},
            Target(
                TargetKind.GITHUB,
                url="https://api.github.com",
                place="octo/flights",
                workflow="retrain.yml",
                ref="main",
                secret="GITHUB_TOKEN",
                callback="https://g.example",
            ),
        ),
        (
            {"gitlab": {"project": "octo/flights"}, "timeout": "2h", "attempts": 5, "backoff": "1m"},
            Target(
                TargetKind.GITLAB,
                url="https://gitlab.com/api/v4",
                place="octo/flights",
                ref="main",
                secret="GITLAB_TRIGGER_TOKEN",
                timeout_s=7_200.0,
                attempts=5,
                backoff_s=60.0,
            ),
        ),
    ],
)
def test_each_target_becomes_a_core_value(said: dict[str, Any], target: Target) -> None:
    assert terms(target=said).target == target


def test_each_cause_becomes_a_core_value() -> None:
    found = terms(
        target=COMMAND,
        on_drift={"cooldown": "3d", "features": ["delay"]},
        on_performance=[{"metric": "brier", "worse_than": 0.2, "source": "estimated", "window": "1d"}],
        on_labels={"count": 1_000},
        on_schedule={"every": "7d", "first": "2026-01-05T03:00:00Z"},
    )
    assert found.drift == OnDrift(("delay",), 3 * 86_400.0)
    assert found.kpis == (Kpi("brier", 0.2, Source.ESTIMATED, window_s=86_400.0),)
    assert found.labels == OnLabels(1_000)
    assert found.schedule == OnSchedule(7 * 86_400.0, first=1_767_582_000.0)
    assert found.by_itself


def test_nothing_said_trains_nothing() -> None:
    assert not terms().by_itself
    assert terms().target is None


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"on_drift": {}}, "somebody has to be called"),
        ({"target": {}}, "exactly one of command, webhook, airflow, github, gitlab"),
        ({"target": COMMAND | {"webhook": {"url": "https://t.example"}}}, "exactly one of"),
        ({"target": {"webhook": {"url": "ftp://t.example"}}}, "String should match"),
        ({"target": {"webhook": {"url": "https://t.example", "token": "not a name"}}}, "String should match"),
        ({"target": {"github": {"repository": "flights", "workflow": "w"}}}, "String should match"),
        ({"target": COMMAND, "on_performance": [{"metric": "auc", "worse_than": 0.5}]}, "'accuracy'"),
        (
            {"target": COMMAND, "on_performance": [{"metric": "mae", "worse_than": 1, "source": "estimated"}]},
            "only accuracy and brier can be estimated",
        ),
        ({"target": COMMAND, "on_performance": [{"metric": "accuracy", "worse_than": 70}]}, "between 0 and 1"),
        ({"target": COMMAND, "on_schedule": {"every": 0}}, "greater than 0"),
    ],
)
def test_what_makes_no_sense_is_said(said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        RetrainingSettings.model_validate(said)
