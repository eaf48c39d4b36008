"""What every control state promises: compare-and-set with its decisions, or nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.store import open_store
from gateway.core.course import CoursePoint, MetricPoint
from gateway.core.deployments import (
    DeploymentSpec,
    Durability,
    FeaturePolicy,
    Field,
    Guardrail,
    ModelCard,
    Plan,
    ServingRules,
    Step,
    Task,
    Type,
)
from gateway.core.errors import RevisionConflict
from gateway.core.events import Decision
from gateway.core.findings import Finding
from gateway.core.looks import Look, Opening
from gateway.core.retraining.runs import Retraining, Run, RunPhase
from gateway.core.retraining.terms import (
    Kpi,
    OnDrift,
    OnLabels,
    OnSchedule,
    RetrainingTerms,
    Source,
    Target,
    TargetKind,
    Trigger,
)
from gateway.core.rollout import Phase, Rollout
from gateway.core.routing import Part, Shadow
from gateway.core.state import DeploymentState
from gateway.ports import ControlState
from tests.postgres_house import fresh

CARD = ModelCard(
    "flight-delay",
    "7",
    "models:/flight-delay/7",
    "d" * 64,
    "sklearn",
    "m",
    (Field("x", Type.NUMBER),),
    Task.BINARY,
    (0, 1),
)
PLAN = Plan("careful", (Step(shadow=1.0, events=100), Step(weight=0.05, at_least_s=60.0)))
SPEC = DeploymentSpec(
    "flight-delay",
    "flight-delay",
    "models:/flight-delay/1",
    rules=ServingRules(default=True, durability=Durability.DISK),
    inputs={"x": Field("x", Type.NUMBER, default=1.5, minimum=0.0)},
    features={"f": FeaturePolicy(default="none")},
    guardrails=(Guardrail("error_rate"), Guardrail("accuracy", absolute=0.01)),
    plans={"careful": PLAN},
    label_values=(0, 1, "late"),
    retraining=RetrainingTerms(
        Target(TargetKind.COMMAND, ("train", "--fast"), export="lake"),
        OnDrift(("f",)),
        (Kpi("brier", 0.25, Source.ESTIMATED),),
        OnLabels(1_000),
        OnSchedule(86_400.0),
    ),
)
STATE = DeploymentState(
    "flight-delay",
    1,
    SPEC,
    Part("stable", "g1", CARD),
    previous=(Part("stable", "g0", CARD),),
    rollouts={"canary": Rollout("canary", "g2", CARD, PLAN, "salt", 1.0, 2.0, Phase.DEMOTED, reason="it was worse")},
    shadows={"v9": Shadow(Part("v9", "g3", CARD), "salt", 0.5)},
    retraining=Retraining(
        (
            Run(
                "drift-1", Trigger.DRIFT, "x moved", 1.0, 2.0, "retraining", 7, RunPhase.SUCCEEDED, 2, "r", ended_at=3.0
            ),
        ),
        since=0.5,
        joined=3,
    ),
)


@pytest.fixture(params=["memory:", "sqlite:{tmp_path}/store.db", "postgresql:"])  # a new adapter adds one URL
def control(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlState]:
    store = open_store(fresh(request.param, tmp_path=tmp_path))
    yield store.control
    store.close()


def decision(revision: int, reason: str = "because", **evidence: Any) -> Decision:
    return Decision("flight-delay", revision, "advance", "judge", reason, 1.0, 2.0, "canary", "g2", evidence)


def test_a_document_comes_back_as_it_was_written(control: ControlState) -> None:
    control.write(STATE, 0, [])
    assert control.read("flight-delay") == STATE
    assert control.read("unheard of") is None


def test_every_document_is_listed_by_name(control: ControlState) -> None:
    control.write(replace(STATE, deployment="churn"), 0, [])
    control.write(STATE, 0, [])
    control.write(replace(STATE, deployment="a"), 0, [])
    assert [state.deployment for state in control.all()] == ["a", "churn", "flight-delay"]


def test_a_write_made_for_another_revision_changes_nothing_and_says_which_is_there(control: ControlState) -> None:
    control.write(STATE, 0, [decision(1)])
    for expected in (0, 2):
        with pytest.raises(RevisionConflict) as conflict:
            control.write(replace(STATE, revision=9), expected, [decision(9)])
        assert (conflict.value.expected, conflict.value.found) == (expected, 1)
    assert control.read("flight-delay") == STATE
    assert control.timeline("flight-delay") == [decision(1)]


def test_a_revision_only_grows(control: ControlState) -> None:
    control.write(STATE, 0, [])
    with pytest.raises(ValueError, match="does not follow"):
        control.write(STATE, 1, [])


def test_a_timeline_is_newest_first_and_keeps_its_evidence(control: ControlState) -> None:
    control.write(STATE, 0, [decision(1, "first", e=2.5, cursor={"w-p000000": 12}), decision(1, "second")])
    control.write(replace(STATE, revision=2), 1, [decision(2, "third")])
    assert [line.reason for line in control.timeline("flight-delay")] == ["third", "second", "first"]
    assert [line.reason for line in control.timeline("flight-delay", limit=2)] == ["third", "second"]
    assert control.timeline("flight-delay")[-1].evidence == {"e": 2.5, "cursor": {"w-p000000": 12}}
    assert control.timeline("unheard of") == []


def test_what_a_judge_remembers_belongs_to_its_generation_and_moves_no_revision(control: ControlState) -> None:
    control.write(STATE, 0, [])
    assert control.judge_state("flight-delay", "g2") is None
    control.save_look("flight-delay", "g2", b"\x00one", Look(1.0))
    control.save_look("flight-delay", "g2", b"\x00two", Look(1.0))
    assert control.judge_state("flight-delay", "g2") == b"\x00two"
    assert control.judge_state("flight-delay", "g3") is None
    assert control.read("flight-delay") == STATE


def test_looks_are_kept_with_what_the_judge_remembers_and_come_back_in_order(control: ControlState) -> None:
    opening = Opening("flight-delay", "g2", "g1", 5.5, "1", STATE.rollouts["canary"])
    control.save_look("flight-delay", "g2", b"one", Look(10.25, {"w-p000000": 12, "w-o000000": 7}), opening)
    control.save_look("flight-delay", "g3", b"other", Look(10.5, {"w-p000000": 13}), replace(opening, generation="g3"))
    control.save_look("flight-delay", "g2", b"two", Look(11.0, {"w-p000000": 2**40}))
    control.save_look("flight-delay", "g2", b"three", Look(12.0))
    assert control.looks("flight-delay", "g2") == [
        Look(10.25, {"w-p000000": 12, "w-o000000": 7}),
        Look(11.0, {"w-p000000": 2**40}),
        Look(12.0),
    ]
    assert control.judge_state("flight-delay", "g2") == b"three"
    assert control.looks("flight-delay", "g3") == [Look(10.5, {"w-p000000": 13})]
    assert control.opening("flight-delay", "g2") == opening
    assert control.openings("flight-delay") == [opening, replace(opening, generation="g3")]
    assert (control.opening("flight-delay", "g9"), control.openings("churn")) == (None, [])


def test_looks_of_a_generation_whose_opening_nobody_kept_are_not_kept(control: ControlState) -> None:
    control.save_look("flight-delay", "g2", b"one", Look(10.0, {"w-p000000": 12}))
    assert control.judge_state("flight-delay", "g2") == b"one"
    assert control.looks("flight-delay", "g2") == []


def test_what_is_written_together_holds_as_a_whole_or_not_at_all(control: ControlState) -> None:
    opening = Opening("flight-delay", "g2", "g1", 5.5, "1", STATE.rollouts["canary"])
    with control.together():
        control.write(STATE, 0, [decision(1)])
        control.save_look("flight-delay", "g2", b"one", Look(10.0, {"w-p000000": 12}), opening)
        assert control.judge_state("flight-delay", "g2") == b"one"
    assert control.read("flight-delay") == STATE

    def fail() -> None:
        with control.together():
            control.save_look("flight-delay", "g2", b"two", Look(11.0, {"w-p000000": 13}))
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail()
    assert control.judge_state("flight-delay", "g2") == b"one"
    assert control.looks("flight-delay", "g2") == [Look(10.0, {"w-p000000": 12})]
    control.save_look("flight-delay", "g2", b"three", Look(12.0))
    assert control.judge_state("flight-delay", "g2") == b"three"


def test_points_of_a_course_come_back_in_order_bit_for_bit_and_belong_to_their_generation(
    control: ControlState,
) -> None:
    metric = MetricPoint(
        "accuracy", Finding.INCONCLUSIVE, 0.1, 0.0, 0.3, None, 0.0, 1.0, None, -1.0, 1 / 3, 1e300, 2.5, None, 40, 0
    )
    first, second = (CoursePoint(at, Finding.INCONCLUSIVE, (metric,)) for at in (1.25, 2.5))
    for point in (second, first, first):
        control.save_point("flight-delay", "g2", point)
    assert control.course("flight-delay", "g2") == [first, second]
    assert control.course("flight-delay", "g3") == control.course("churn", "g2") == []


def test_a_forgotten_generation_leaves_nothing_but_its_decisions(control: ControlState) -> None:
    control.write(STATE, 0, [decision(1)])
    for generation in ("g2", "g3"):
        opening = Opening("flight-delay", generation, "g1", 5.5, "1", STATE.rollouts["canary"])
        control.save_look("flight-delay", generation, b"one", Look(10.0, {"w-p000000": 12}), opening)
        control.save_point("flight-delay", generation, CoursePoint(10.0, Finding.INCONCLUSIVE, ()))
    control.forget_generation("flight-delay", "g2")
    control.forget_generation("flight-delay", "g9")
    assert [one.generation for one in control.openings("flight-delay")] == ["g3"]
    assert (control.looks("flight-delay", "g2"), control.course("flight-delay", "g2")) == ([], [])
    assert control.judge_state("flight-delay", "g2") is None
    assert len(control.looks("flight-delay", "g3")) == len(control.course("flight-delay", "g3")) == 1
    assert control.judge_state("flight-delay", "g3") == b"one"
    assert control.timeline("flight-delay") == [decision(1)]
