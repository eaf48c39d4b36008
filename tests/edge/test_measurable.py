"""A guardrail that cannot be measured here is refused when the rollout starts; one that can is measured."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.core.deployments import Guardrail, Plan, Role, Step, Task
from gateway.core.errors import ModelUnusable, Unmeasurable
from gateway.core.features import NO_FEATURES
from gateway.core.metrics import default_guardrail
from tests.control_house import NAME, SPEC, House, card

HALF = Plan("half", (Step(weight=0.5, events=50),))
WATCHFUL = SPEC.plans["watchful"]
PLANS = {"half": HALF, "watchful": WATCHFUL}


def house(*guardrails: Guardrail, **model: object) -> House:
    """A deployment of these guardrails whose stable is what ``model`` says of its card."""
    house = House()
    house.control.found(replace(SPEC, guardrails=guardrails, plans=PLANS), card("1", **model), actor="test")
    return house


def start(house: House, plan: str, *, asked: tuple[Guardrail, ...] | None = None, **model: object) -> None:
    house.control.start_canary(NAME, card("2", **model), NO_FEATURES, plan=plan, guardrails=asked, actor="ann")


def test_disagreement_is_measured_where_the_plan_lets_the_candidate_watch_and_refused_elsewhere() -> None:
    both = house(default_guardrail("error_rate"), default_guardrail("disagreement"))
    with pytest.raises(Unmeasurable, match="no step of the plan lets the candidate watch as a shadow"):
        start(both, "half")
    start(both, "watchful")
    assert "disagreement" in {found.metric for found in both.control.verdict(NAME)[1].findings}


def test_a_deployment_no_plan_of_which_has_a_shadow_cannot_declare_disagreement() -> None:
    spec = replace(SPEC, guardrails=(default_guardrail("disagreement"),), plans={"half": HALF})
    with pytest.raises(Unmeasurable, match="watch as a shadow"):
        House().control.found(spec, card("1"), actor="test")


@pytest.mark.parametrize("metric", ["brier", "log_loss", "auc", "calibration_error"])
@pytest.mark.parametrize(("stable", "candidate"), [(False, True), (True, False)])
def test_probabilities_are_refused_where_either_model_answers_labels_only(
    metric: str, stable: bool, candidate: bool
) -> None:
    here = house(default_guardrail("error_rate"), scored=stable)
    with pytest.raises(Unmeasurable, match="answer labels only"):
        start(here, "half", asked=(default_guardrail(metric),), scored=candidate)
    start(here, "half", scored=candidate)


def test_a_class_that_the_model_does_not_know_is_refused_by_name() -> None:
    words: dict[str, Any] = {"task": Task.MULTICLASS, "classes": ("early", "late", "on time")}
    here = house(default_guardrail("recall:late"), **words)
    with pytest.raises(Unmeasurable, match="no class 'cancelled' here, only 'early', 'late', 'on time'"):
        start(here, "half", asked=(default_guardrail("recall:cancelled"),), **words)
    start(here, "half", **words)


def test_a_metric_of_another_kind_of_model_and_a_signal_in_another_part_are_refused() -> None:
    here = house(default_guardrail("error_rate"))
    for asked in (default_guardrail("mae"), replace(default_guardrail("f1"), role=Role.GUARDRAIL)):
        with pytest.raises(Unmeasurable):
            start(here, "half", asked=(asked,))


def test_labels_that_come_of_age_after_the_plan_has_given_up_cannot_decide_it() -> None:
    here = House()
    spec = replace(SPEC, plans={"short": replace(HALF, max_age_s=3_600.0)}, maturity_s=7_200.0)
    here.control.found(spec, card("1"), actor="test")
    with pytest.raises(Unmeasurable, match="labels count at the age of 2 hours, the plan gives up after 1 hour"):
        start(here, "short")


def test_a_binary_candidate_of_other_classes_is_no_candidate() -> None:
    here = house(default_guardrail("error_rate"), classes=(0, 1))
    with pytest.raises(ModelUnusable, match="Its classes"):
        start(here, "half", classes=("no", "yes"))
    start(here, "half", classes=(0, 1))
